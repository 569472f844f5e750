//! What can be wrong with a dialogue, from the phone's point of view.

use std::io;

/// A dialogue that did not go as the WPI reference says. The label of each kind counts in the report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    #[error("connection broke while {doing}: {source}")]
    Broken { doing: &'static str, source: io::Error },
    #[error("connection ended while {0}")]
    Ended(&'static str),
    #[error("no answer within {0} s")]
    Timeout(u64),
    #[error("HTTP status {0} in place of 200")]
    Status(u16),
    #[error("HTTP head: {0}")]
    Head(String),
    #[error("Content-Type is {0:?}")]
    ContentType(String),
    #[error("Content-Length: {0}")]
    ContentLength(String),
    #[error("a transfer coding is used, which old phones cannot read")]
    Chunked,
    #[error("Set-Cookie: {0}")]
    Cookie(String),
    #[error("{0} bytes after the end of the answer")]
    Trailing(usize),
    #[error("answer is not a service message: {0}")]
    Xml(String),
    #[error("nonce {0:?} is not that of the request")]
    Nonce(String),
    #[error("action {got} in place of {expected}")]
    Action { got: &'static str, expected: &'static str },
    #[error("items: {0}")]
    Items(String),
    #[error("file: {0}")]
    File(String),
    #[error("poll answered with {got} in place of {expected}")]
    Poll { got: u16, expected: u16 },
    #[error("told to come later {0} times in a row")]
    Overload(u32),
}

impl Fault {
    /// Name of the kind in the report.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Handshake(_) => "handshake",
            Self::Broken { .. } | Self::Ended(_) => "connection_ended",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "status",
            Self::Head(_) => "http_head",
            Self::ContentType(_) => "content_type",
            Self::ContentLength(_) => "content_length",
            Self::Chunked => "chunked",
            Self::Cookie(_) => "cookie",
            Self::Trailing(_) => "trailing_bytes",
            Self::Xml(_) => "xml",
            Self::Nonce(_) => "nonce",
            Self::Action { .. } => "action",
            Self::Items(_) => "items",
            Self::File(_) => "file",
            Self::Poll { .. } => "poll_answer",
            Self::Overload(_) => "overload_for_too_long",
        }
    }

    /// Whether the peer, or the way to it, went away: what a killed server looks like.
    pub(crate) fn is_disconnect(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Handshake(_) | Self::Broken { .. } | Self::Ended(_))
    }
}
