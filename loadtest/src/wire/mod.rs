//! TLS and HTTP as a phone does them.

pub(crate) mod head;
pub(crate) mod link;
pub(crate) mod tls;
