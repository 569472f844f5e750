//! What a branch edge and the core say to each other, inside of QUIC.
//!
//! One bidirectional stream per connection is the control stream: [`Frame`]s in both directions, each with its length
//! before it. All other streams are relayed connections of phones: a [`RelayHeader`], then the phone's bytes as they are.
//!
//! The protocol is Callboard's own. Its version is agreed on by ALPN ([`ALPN`]), so that no byte of another version is
//! ever read.

mod frame;
mod ids;
mod read;
mod relay;
mod write;

pub use frame::{CallOutcome, Frame, RefusalCause, Report, Target};
pub use ids::{IdList, Ids};
pub use read::{FrameError, read_frame};
pub use relay::{RELAY_HEADER_BYTES, RelayDoor, RelayHeader, read_relay_header};
pub use write::{FrameTooLong, write_frame};

/// The protocol by which both sides know each other (RFC 7301).
pub const ALPN: &[u8] = b"callboard-edge/1";

/// Longest frame, without the four bytes of its length.
pub const MAX_FRAME_BYTES: usize = 65_536;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Longest device id in a frame.
pub const MAX_ID_BYTES: usize = 64;

/// Longest text in a frame: a token, a path, a host, a reason.
pub const MAX_TEXT_BYTES: usize = 1_024;
