//! How contact-me calls end.

use super::target::NotCallable;
use crate::time::Timestamp;

/// How a contact-me call ended. That a phone understood does not mean that it comes (WPI reference, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Answered with a status from 200 to 299.
    Understood,
    /// Answered with another status.
    Status(u16),
    /// Something answered that does not speak HTTP.
    NotHttp,
    /// Nothing takes connections there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The network knows no way there.
    Unreachable,
    /// The connection broke before there was an answer.
    Broken,
    /// This server could not make the call: it has no socket for it.
    NoSocket,
    /// Not called: the edge of its site is away, or has too much to do. It is tried again.
    EdgeAway,
    /// Not called: its address may not be called, or there is none.
    NotCalled(NotCallable),
    /// Not called: its address was called for another reason a short while ago. It may be called at this time.
    Postponed(Timestamp),
}

impl CallOutcome {
    /// All labels, for metrics.
    pub const LABELS: [&'static str; 11] = [
        "understood",
        "status",
        "not-http",
        "refused",
        "timeout",
        "unreachable",
        "broken",
        "no-socket",
        "not-called",
        "postponed",
        "edge-away",
    ];

    /// The word used in the API and in metrics.
    pub const fn as_str(&self) -> &'static str {
        Self::LABELS[self.label()]
    }

    /// Place of [`CallOutcome::as_str`] among [`CallOutcome::LABELS`].
    pub const fn label(&self) -> usize {
        match self {
            Self::Understood => 0,
            Self::Status(_) => 1,
            Self::NotHttp => 2,
            Self::Refused => 3,
            Self::TimedOut => 4,
            Self::Unreachable => 5,
            Self::Broken => 6,
            Self::NoSocket => 7,
            Self::NotCalled(_) => 8,
            Self::Postponed(_) => 9,
            Self::EdgeAway => 10,
        }
    }

    /// Whether the phone has heard the call.
    pub const fn is_delivered(&self) -> bool {
        matches!(self, Self::Understood)
    }

    /// Whether nothing was sent to anybody.
    pub const fn is_no_call(&self) -> bool {
        matches!(self, Self::NotCalled(_) | Self::Postponed(_) | Self::EdgeAway)
    }
}

impl std::fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Understood => f.write_str("the phone understood"),
            Self::Status(status) => write!(f, "not delivered: answered with status {status}"),
            Self::NotHttp => f.write_str("not delivered: what answered does not speak HTTP"),
            Self::Refused => f.write_str("not delivered: the connection was refused"),
            Self::TimedOut => f.write_str("not delivered: no answer in time"),
            Self::Unreachable => f.write_str("not delivered: there is no way to the address"),
            Self::Broken => f.write_str("not delivered: the connection broke"),
            Self::NoSocket => f.write_str("not delivered: this server had no socket for the call"),
            Self::EdgeAway => f.write_str("not called yet: the edge of its site is away or busy"),
            Self::NotCalled(why) => write!(f, "not called: {why}"),
            Self::Postponed(_) => f.write_str("not called yet: the address was called a short while ago"),
        }
    }
}
