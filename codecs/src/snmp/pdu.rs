//! PDUs (RFC 3416, section 3; RFC 1157, section 4.1.6).

use super::ber::{Reader, Writer, tag};
use super::fault::{Fault, FaultKind};
use super::message::Version;
use super::oid::Oid;
use super::value::{VarBinds, address};

/// What a PDU is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PduKind {
    /// GetRequest: the values of variables.
    Get,
    /// GetNextRequest: the variables behind others.
    GetNext,
    /// Response, GetResponse.
    Response,
    /// SetRequest.
    Set,
    /// GetBulkRequest: many variables behind others; not in version 1.
    GetBulk,
    /// InformRequest: a notification that is to be acknowledged; not in version 1.
    Inform,
    /// SNMPv2-Trap: a notification; not in version 1, which has [`TrapV1`].
    Trap,
    /// Report: what engines tell each other; not in version 1.
    Report,
}

impl PduKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::GetNext,
        Self::Response,
        Self::Set,
        Self::GetBulk,
        Self::Inform,
        Self::Trap,
        Self::Report,
    ];

    const fn tag(self) -> u8 {
        match self {
            Self::Get => 0xa0,
            Self::GetNext => 0xa1,
            Self::Response => 0xa2,
            Self::Set => 0xa3,
            Self::GetBulk => 0xa5,
            Self::Inform => 0xa6,
            Self::Trap => 0xa7,
            Self::Report => 0xa8,
        }
    }

    fn of(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    /// The word used in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetNext => "getnext",
            Self::Response => "response",
            Self::Set => "set",
            Self::GetBulk => "getbulk",
            Self::Inform => "inform",
            Self::Trap => "trap",
            Self::Report => "report",
        }
    }

    /// Whether whoever sends it waits for an answer: the confirmed class (RFC 3411, section 2.8).
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        matches!(self, Self::Get | Self::GetNext | Self::Set | Self::GetBulk | Self::Inform)
    }
}

/// What went wrong with a request (RFC 3416, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)] // the names of the RFC
pub enum ErrorStatus {
    #[default]
    NoError,
    TooBig,
    NoSuchName,
    BadValue,
    ReadOnly,
    GenErr,
    NoAccess,
    WrongType,
    WrongLength,
    WrongEncoding,
    WrongValue,
    NoCreation,
    InconsistentValue,
    ResourceUnavailable,
    CommitFailed,
    UndoFailed,
    AuthorizationError,
    NotWritable,
    InconsistentName,
}

impl ErrorStatus {
    const ALL: [Self; 19] = [
        Self::NoError,
        Self::TooBig,
        Self::NoSuchName,
        Self::BadValue,
        Self::ReadOnly,
        Self::GenErr,
        Self::NoAccess,
        Self::WrongType,
        Self::WrongLength,
        Self::WrongEncoding,
        Self::WrongValue,
        Self::NoCreation,
        Self::InconsistentValue,
        Self::ResourceUnavailable,
        Self::CommitFailed,
        Self::UndoFailed,
        Self::AuthorizationError,
        Self::NotWritable,
        Self::InconsistentName,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// The two numbers behind the request's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Of all PDUs but `GetBulk`.
    Error {
        /// What went wrong; [`ErrorStatus::NoError`] in requests.
        status: ErrorStatus,
        /// With which variable, from 1; 0 with none.
        index: u32,
    },
    /// Of `GetBulk`. Negative numbers are taken for 0 (RFC 3416, section 4.2.3).
    Bulk {
        /// So many variables are asked for once.
        non_repeaters: u32,
        /// The others are asked for so many times.
        max_repetitions: u32,
    },
}

impl Numbers {
    /// Nothing went wrong.
    pub const NONE: Self = Self::Error { status: ErrorStatus::NoError, index: 0 };
}

/// A PDU of versions 2 and 3; in version 1 all but its trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// What it is for. It has [`Numbers::Bulk`] if it is a `GetBulk`, and only then.
    pub kind: PduKind,
    /// Joins answers with requests.
    pub request_id: i32,
    /// What went wrong, or how much is wanted.
    pub numbers: Numbers,
    /// The variables.
    pub varbinds: VarBinds<'a>,
}

/// A trap of version 1 (RFC 1157, section 4.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapV1<'a> {
    /// Whose trap it is.
    pub enterprise: Oid<'a>,
    /// The address of whoever it is about.
    pub agent_addr: [u8; 4],
    /// 0 to 5: what all agents have; 6: what `specific_trap` says.
    pub generic_trap: u8,
    /// Which of the enterprise's traps.
    pub specific_trap: i32,
    /// Hundredths of a second since the agent began.
    pub time_stamp: u32,
    /// The variables.
    pub varbinds: VarBinds<'a>,
}

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A PDU.
    Pdu(Pdu<'a>),
    /// A trap of version 1.
    TrapV1(TrapV1<'a>),
}

/// The tag of [`TrapV1`].
const TRAP_V1: u8 = 0xa4;

impl<'a> Payload<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, version: Version) -> Result<Self, Fault> {
        let element = reader.any()?;
        let first = version == Version::V1;
        let of_other = FaultKind::PduOfOtherVersion(element.tag);
        match (PduKind::of(element.tag), element.tag) {
            (Some(kind), _) if first && !is_in_first(kind) => Err(element.fault(of_other)),
            (Some(kind), _) => read_pdu(kind, element.open(), !first).map(Self::Pdu),
            (None, TRAP_V1) if first => read_trap(element.open()).map(Self::TrapV1),
            (None, TRAP_V1) => Err(element.fault(of_other)),
            (None, unknown) => Err(element.fault(FaultKind::PduTag(unknown))),
        }
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Pdu(pdu) => pdu.write(to),
            Self::TrapV1(trap) => trap.write(to),
        }
    }
}

const fn is_in_first(kind: PduKind) -> bool {
    matches!(kind, PduKind::Get | PduKind::GetNext | PduKind::Response | PduKind::Set)
}

fn read_pdu(kind: PduKind, mut own: Reader<'_>, later: bool) -> Result<Pdu<'_>, Fault> {
    let request_id = own.integer()?;
    let numbers = if kind == PduKind::GetBulk {
        let natural = |number: i32| u32::try_from(number).unwrap_or(0);
        Numbers::Bulk { non_repeaters: natural(own.integer()?), max_repetitions: natural(own.integer()?) }
    } else {
        let element = own.element(tag::INTEGER)?;
        let number = element.integer()?;
        let status = usize::try_from(number).ok().and_then(|number| ErrorStatus::ALL.get(number).copied());
        let status = status.ok_or(element.fault(FaultKind::Number { value: number.into() }))?;
        Numbers::Error { status, index: own.natural()? }
    };
    let varbinds = VarBinds::within(own.sequence()?, later)?;
    own.end()?;
    Ok(Pdu { kind, request_id, numbers, varbinds })
}

fn read_trap(mut own: Reader<'_>) -> Result<TrapV1<'_>, Fault> {
    let enterprise = own.oid()?;
    let agent_addr = address(&own.element(tag::IP_ADDRESS)?)?;
    let generic = own.element(tag::INTEGER)?;
    let number = generic.integer()?;
    let generic_trap = u8::try_from(number).ok().filter(|number| *number <= 6);
    let generic_trap = generic_trap.ok_or(generic.fault(FaultKind::Number { value: number.into() }))?;
    let specific_trap = own.integer()?;
    let time_stamp = own.element(tag::TIME_TICKS)?.unsigned()?;
    let varbinds = VarBinds::within(own.sequence()?, false)?;
    own.end()?;
    Ok(TrapV1 { enterprise, agent_addr, generic_trap, specific_trap, time_stamp, varbinds })
}

impl Pdu<'_> {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let (one, two) = match self.numbers {
            Numbers::Error { status, index } => (status.number(), index),
            Numbers::Bulk { non_repeaters, max_repetitions } => (narrow(non_repeaters), max_repetitions),
        };
        to.nest(self.kind.tag(), |own| {
            own.integer(self.request_id);
            own.integer(one);
            own.integer(narrow(two));
            self.varbinds.write(own);
        });
    }
}

/// The largest INTEGER is as good as any larger number.
fn narrow(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl TrapV1<'_> {
    fn write(&self, to: &mut Writer<'_>) {
        to.nest(TRAP_V1, |own| {
            own.octets(tag::OBJECT_ID, self.enterprise.as_bytes());
            own.octets(tag::IP_ADDRESS, &self.agent_addr);
            own.integer(self.generic_trap.into());
            own.integer(self.specific_trap);
            own.unsigned(tag::TIME_TICKS, self.time_stamp);
            self.varbinds.write(own);
        });
    }
}
