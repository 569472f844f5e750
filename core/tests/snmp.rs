//! SNMP as other programs speak it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod snmp {
    mod receive;
    mod security;
    mod usm;
    mod world;
}
