//! Why bytes are no SNMP message.

use super::oid::OidFault;

/// What is wrong with a message, and where. The message is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct Fault {
    /// Bytes before the element that is wrong. Counted from the beginning of what was read: of the datagram, or of the decrypted
    /// part of it.
    pub offset: usize,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// An element ends behind what holds it, or is not there.
    #[error("an element goes on behind the end of what holds it, or is missing")]
    Truncated,
    /// A length that is not definite (X.690, section 8.1.3.6).
    #[error("an indefinite length")]
    IndefiniteLength,
    /// A length of more than four bytes.
    #[error("a length of {0} bytes, at most 4 are allowed")]
    LengthOfLength(u8),
    /// Another element than the one that has to be here.
    #[error("the tag is {found:#04x} and should be {expected:#04x}")]
    Tag {
        /// Which should be here.
        expected: u8,
        /// Which is.
        found: u8,
    },
    /// Elements behind the last.
    #[error("more elements than belong here")]
    Surplus,
    /// A number without bytes.
    #[error("a number of no bytes")]
    EmptyNumber,
    /// A number that does not fit its type.
    #[error("a number that does not fit its type")]
    NumberRange,
    /// A field has a number that it cannot have.
    #[error("{value} is not allowed here")]
    Number {
        /// Which.
        value: i64,
    },
    /// An object identifier.
    #[error("object identifier: {0}")]
    ObjectId(OidFault),
    /// A text, address, or empty value of a length that it cannot have.
    #[error("a value of {0} bytes, which its type does not allow")]
    ValueLength(usize),
    /// A type of value that there is not.
    #[error("no type of value has the tag {0:#04x}")]
    ValueTag(u8),
    /// A type of value that version 1 does not have.
    #[error("version 1 has no type of value {0:#04x}")]
    ValueOfLaterVersion(u8),
    /// More variables than are read.
    #[error("more than {} variables", super::MAX_VARBINDS)]
    VarBinds,
    /// A version that there is not.
    #[error("version {0}; 0 (v1), 1 (v2c) and 3 are known")]
    Version(i32),
    /// A kind of PDU that there is not.
    #[error("no PDU has the tag {0:#04x}")]
    PduTag(u8),
    /// A kind of PDU that this version does not have.
    #[error("this version has no PDU {0:#04x}")]
    PduOfOtherVersion(u8),
    /// Privacy without authentication (RFC 3412, section 7.2).
    #[error("the flags {0:#04x}: privacy without authentication")]
    Flags(u8),
}

impl FaultKind {
    /// The word used in metrics: one of few.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::IndefiniteLength | Self::LengthOfLength(_) => "length",
            Self::Tag { .. } | Self::Surplus => "structure",
            Self::EmptyNumber | Self::NumberRange | Self::Number { .. } | Self::Flags(_) => "number",
            Self::ObjectId(_) => "object-id",
            Self::ValueLength(_) | Self::ValueTag(_) | Self::ValueOfLaterVersion(_) => "value",
            Self::VarBinds => "varbinds",
            Self::Version(_) => "version",
            Self::PduTag(_) | Self::PduOfOtherVersion(_) => "pdu",
        }
    }
}
