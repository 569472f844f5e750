//! What can be wrong with a registration, from the phone's point of view.

/// A registration that did not go as RFC 3261 says, or was refused. The label of each kind counts in the report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no answer within 32 s")]
    Timeout,
    #[error("answered {status} {reason}")]
    Status { status: u16, reason: String },
    #[error("an answer that cannot be read: {0}")]
    Unreadable(String),
    #[error("an answer that does not belong to its request: {0}")]
    Foreign(String),
    #[error("Contact in the answer: {0}")]
    Contact(String),
    #[error("challenge: {0}")]
    Challenge(String),
    #[error("told to come later without being told when")]
    LaterWithoutTime,
    #[error("the connection ended: {0}")]
    Connection(String),
}

impl Fault {
    /// Name of the kind in the report.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Status { .. } => "status",
            Self::Unreadable(_) => "unreadable",
            Self::Foreign(_) => "foreign_answer",
            Self::Contact(_) => "contact",
            Self::Challenge(_) => "challenge",
            Self::LaterWithoutTime => "later_without_time",
            Self::Connection(_) => "connection_ended",
        }
    }
}
