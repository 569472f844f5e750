//! SIP as endpoints meet it: messages in, answers out, time in the test's hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod sip {
    mod authenticate;
    mod drive;
    mod liveness;
    mod orders;
    mod outbound;
    mod pnp;
    mod register;
    mod sync;
    mod torture;
    mod words;
    mod world;
}
