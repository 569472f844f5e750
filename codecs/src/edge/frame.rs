//! The messages of the control stream.

use std::net::SocketAddr;

use super::Ids;

/// Why the core does not do what an edge asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// The token is wrong, has ended or was used.
    Token,
    /// The request for a certificate cannot be read, or its key is of a kind that is not taken.
    Request,
    /// Not now: too many ask, or the store takes nothing.
    Later,
}

/// How a contact-me call ended (WPI reference, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The phone understood: any 2xx.
    Understood,
    /// It answered something else.
    Answered,
    /// Nothing took the connection.
    Refused,
    /// No answer in time, or the connection broke.
    Silent,
    /// The edge must not call this address.
    Forbidden,
    /// The edge has too many calls to make, or makes none.
    NotCalled,
}

/// Whom an edge is to call: the parts of the phone's `contact-me-uri`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Address and port of the phone.
    pub address: SocketAddr,
    /// Path with its query, beginning with `/`.
    pub path: &'a str,
    /// Address and port that the phone is to call instead of the configured ones.
    pub dls: Option<(&'a str, u16)>,
}

/// What an edge has counted since it started, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Relayed connections open now.
    pub relays: u64,
    /// Connections relayed.
    pub relayed: u64,
    /// Connections of phones that were closed because they could not be relayed.
    pub refused: u64,
    /// Bytes from phones to the core.
    pub bytes_up: u64,
    /// Bytes from the core to phones.
    pub bytes_down: u64,
    /// Polls answered.
    pub polls: u64,
    /// Of these, polls that were told that work waits.
    pub polls_waiting: u64,
    /// Contact-me calls made.
    pub calls: u64,
}

impl Report {
    /// The figures in their order on the wire.
    pub(super) const fn figures(&self) -> [u64; 8] {
        [
            self.relays,
            self.relayed,
            self.refused,
            self.bytes_up,
            self.bytes_down,
            self.polls,
            self.polls_waiting,
            self.calls,
        ]
    }

    pub(super) const fn of(
        [relays, relayed, refused, bytes_up, bytes_down, polls, polls_waiting, calls]: [u64; 8],
    ) -> Self {
        Self { relays, relayed, refused, bytes_up, bytes_down, polls, polls_waiting, calls }
    }
}

/// A message of the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Edge to core, first: the set of devices with waiting work that it holds, and what it runs.
    Hello {
        /// The core process that the set came from; 0 if it holds none.
        epoch: u64,
        /// The set's version.
        version: u64,
        /// The edge's program and version, for people.
        software: &'a str,
    },
    /// Edge to core, first and only, from an edge without certificate.
    Enrol {
        /// The secret part of its token.
        token: &'a str,
        /// A request for a certificate (PKCS#10, DER; RFC 2986).
        request: &'a [u8],
    },
    /// Edge to core: a new certificate before the present one ends.
    Renew {
        /// As in `Enrol`.
        request: &'a [u8],
    },
    /// Core to edge: its certificate.
    Certificate {
        /// The certificate, DER.
        certificate: &'a [u8],
    },
    /// Core to edge: no certificate.
    Refused {
        /// Why.
        cause: RefusalCause,
        /// The same for people.
        text: &'a str,
    },
    /// Core to edge: a part of the whole set of devices with waiting work. The parts of one set follow each other, the
    /// set holds from the last on.
    Full {
        /// The core process.
        epoch: u64,
        /// The set's version.
        version: u64,
        /// The first part: forget what was begun.
        first: bool,
        /// The last part.
        last: bool,
        /// Devices.
        ids: Ids<'a>,
    },
    /// Core to edge: what changed. One that does not go on from the version that the edge holds is a fault of the core.
    Delta {
        /// The version that it builds on.
        from: u64,
        /// The version that it makes.
        to: u64,
        /// Devices that have work now.
        added: Ids<'a>,
        /// Devices that have none now.
        removed: Ids<'a>,
    },
    /// Edge to core: it holds this version now.
    Holds {
        /// The core process.
        epoch: u64,
        /// The version.
        version: u64,
    },
    /// Core to edge: call a phone.
    Call {
        /// Number of the call, unique on this connection.
        call: u64,
        /// Whom.
        target: Target<'a>,
    },
    /// Edge to core: the call is over.
    Called {
        /// Its number.
        call: u64,
        /// How it ended.
        outcome: CallOutcome,
        /// The status that the phone answered; 0 if none.
        status: u16,
    },
    /// Edge to core, every few seconds.
    Report(Report),
}

/// The first byte of each frame. A number once used is never given to another kind.
pub(super) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const ENROL: u8 = 2;
    pub(crate) const RENEW: u8 = 3;
    pub(crate) const CERTIFICATE: u8 = 4;
    pub(crate) const REFUSED: u8 = 5;
    pub(crate) const FULL: u8 = 6;
    pub(crate) const DELTA: u8 = 7;
    pub(crate) const HOLDS: u8 = 8;
    pub(crate) const CALL: u8 = 9;
    pub(crate) const CALLED: u8 = 10;
    pub(crate) const REPORT: u8 = 11;
}

impl Frame<'_> {
    /// Its name, for logs and errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Enrol { .. } => "enrol",
            Self::Renew { .. } => "renew",
            Self::Certificate { .. } => "certificate",
            Self::Refused { .. } => "refused",
            Self::Full { .. } => "full",
            Self::Delta { .. } => "delta",
            Self::Holds { .. } => "holds",
            Self::Call { .. } => "call",
            Self::Called { .. } => "called",
            Self::Report(_) => "report",
        }
    }
}

impl RefusalCause {
    /// All causes, by their byte on the wire.
    pub(super) const ALL: [Self; 3] = [Self::Token, Self::Request, Self::Later];
}

impl CallOutcome {
    /// All outcomes, by their byte on the wire.
    pub const ALL: [Self; 6] =
        [Self::Understood, Self::Answered, Self::Refused, Self::Silent, Self::Forbidden, Self::NotCalled];
}
