//! Contact-me calls on the core's behalf.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use callboard_codecs::edge::CallOutcome;

/// A call that is being made: how it ends, and the status that the phone answers (0 if none).
pub type Calling = Pin<Box<dyn Future<Output = (CallOutcome, u16)> + Send>>;

/// Makes contact-me calls (WPI reference, section 3) and decides which addresses may be called.
pub trait Caller: Send + Sync + 'static {
    /// Call the phone at `address`. `path` begins with `/`; `dls` is the address and port that the phone is to call instead
    /// of the configured ones.
    fn call(&self, address: SocketAddr, path: &str, dls: Option<(&str, u16)>) -> Calling;
}

/// Makes no calls: the core is told so.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct NoCaller;

#[cfg(test)]
impl Caller for NoCaller {
    fn call(&self, _: SocketAddr, _: &str, _: Option<(&str, u16)>) -> Calling {
        Box::pin(async { (CallOutcome::NotCalled, 0) })
    }
}
