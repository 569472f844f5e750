//! How messages fare, and why phones are told to come later.

/// How a message fared, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Answered,
    /// Answered, and the flow is over and durable.
    Finished,
    /// Answered with what was answered to the same message before.
    Repeated,
    /// Told to come later.
    Overload(OverloadCause),
    /// A later message of no known flow.
    LostSession,
    /// Turned away at the wrong door.
    Refused,
    /// An opening message without a usable device id.
    NoDevice,
}

/// Why a phone was told to come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverloadCause {
    /// The listener is over its connection limits.
    Connections,
    /// As many flows as may be.
    Flows,
    /// As many flows of one sender's address as may be.
    Source,
    /// The commit queue is nearly full, or the store takes nothing.
    Store,
    /// The fleet is full.
    Fleet,
    /// Another message of the flow is being worked on.
    Busy,
    /// The server is stopping.
    Draining,
    /// As many requests of one sender's address as it may send.
    SourceRequests,
    /// As many unknown devices of one sender's address as it may bring.
    SourceNewDevices,
    /// Credentials for secure mode are not made now: too many wait, or this device got too many lately.
    Credentials,
}

impl OverloadCause {
    /// All causes.
    pub const ALL: [Self; 10] = [
        Self::Connections,
        Self::Flows,
        Self::Source,
        Self::Store,
        Self::Fleet,
        Self::Busy,
        Self::Draining,
        Self::SourceRequests,
        Self::SourceNewDevices,
        Self::Credentials,
    ];

    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Flows => "flows",
            Self::Source => "source",
            Self::Store => "store",
            Self::Fleet => "fleet",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::SourceRequests => "source_requests",
            Self::SourceNewDevices => "source_new_devices",
            Self::Credentials => "credentials",
        }
    }
}

impl Outcome {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Finished => "finished",
            Self::Repeated => "repeated",
            Self::Overload(_) => "overload",
            Self::LostSession => "lost_session",
            Self::Refused => "refused",
            Self::NoDevice => "no_device",
        }
    }
}
