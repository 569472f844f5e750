//! Requests in any order. What is promised about them stands in `drive.rs`; the fuzz target `sip_registrar` plays more.

use proptest::prelude::*;

use super::drive;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_whatever_order(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        drive::run(&bytes);
    }
}
