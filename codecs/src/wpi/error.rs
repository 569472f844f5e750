//! What can be wrong with a message.

use std::fmt;

/// Why a body is not a WPI message.
///
/// It never holds a piece of the body: bodies carry passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    /// Which rule was broken.
    pub kind: ParseErrorKind,
    /// Where, in bytes from the start of the body.
    pub offset: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: expected {}", self.kind.as_text(), self.offset, self.expected)
    }
}

impl std::error::Error for ParseError {}

/// The rule that a body breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Nothing but white space.
    Empty,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A NUL byte.
    Nul,
    /// A character that XML 1.0 forbids, raw or as a reference.
    IllegalCharacter,
    /// A document type declaration.
    Dtd,
    /// The body ends in the middle.
    Truncated,
    /// Not well-formed XML.
    NotXml,
    /// A reference to an entity other than the five predefined ones, or a broken reference.
    UnknownEntity,
    /// Elements nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// An element with more than [`MAX_ATTRIBUTES`](super::MAX_ATTRIBUTES) attributes.
    TooManyAttributes,
    /// The root element is another one.
    WrongRoot,
    /// Something follows the root element.
    TrailingContent,
    /// No `Message` element.
    NoMessage,
    /// `Message` has no nonce.
    NoNonce,
    /// The nonce is not 1 to 128 letters and digits.
    BadNonce,
    /// A phone's message without `ReasonForContact`, or with an empty one.
    NoReason,
    /// A reason that is longer than any name may be.
    BadReason,
    /// A service's message without `Action`, or with an empty one.
    NoAction,
    /// An action that does not exist.
    UnknownAction,
}

impl ParseErrorKind {
    /// A short fixed word, fit for a metric label.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotUtf8 => "not_utf8",
            Self::Nul => "nul",
            Self::IllegalCharacter => "illegal_character",
            Self::Dtd => "dtd",
            Self::Truncated => "truncated",
            Self::NotXml => "not_xml",
            Self::UnknownEntity => "unknown_entity",
            Self::TooDeep => "too_deep",
            Self::TooManyAttributes => "too_many_attributes",
            Self::WrongRoot => "wrong_root",
            Self::TrailingContent => "trailing_content",
            Self::NoMessage => "no_message",
            Self::NoNonce => "no_nonce",
            Self::BadNonce => "bad_nonce",
            Self::NoReason => "no_reason",
            Self::BadReason => "bad_reason",
            Self::NoAction => "no_action",
            Self::UnknownAction => "unknown_action",
        }
    }

    fn as_text(self) -> &'static str {
        match self {
            Self::Empty => "empty body",
            Self::NotUtf8 => "invalid UTF-8",
            Self::Nul => "NUL byte",
            Self::IllegalCharacter => "forbidden character",
            Self::Dtd => "document type declaration",
            Self::Truncated => "truncated XML",
            Self::NotXml => "malformed XML",
            Self::UnknownEntity => "unknown or broken reference",
            Self::TooDeep => "elements nested too deeply",
            Self::TooManyAttributes => "too many attributes",
            Self::WrongRoot => "wrong root element",
            Self::TrailingContent => "content after the root element",
            Self::NoMessage => "no Message element",
            Self::NoNonce => "no nonce",
            Self::BadNonce => "unusable nonce",
            Self::NoReason => "no reason for contact",
            Self::BadReason => "overlong reason for contact",
            Self::NoAction => "no action",
            Self::UnknownAction => "unknown action",
        }
    }
}

/// Why a message cannot be written. The output buffer is then as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The message, or a single item on its own, is over the size limit.
    #[error("the message would be longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// An item's value, status or name has a character that XML 1.0 cannot carry.
    #[error("item {item} has a character that XML forbids")]
    IllegalCharacter {
        /// Position in the given items, from 0.
        item: usize,
    },
    /// An item's name is empty or has white space at an end.
    #[error("item {item} has no usable name")]
    BadName {
        /// Position in the given items, from 0.
        item: usize,
    },
    /// The nonce is not 1 to 128 letters and digits.
    #[error("the nonce is not 1 to 128 letters and digits")]
    BadNonce,
    /// The reason is empty or has a character that XML 1.0 cannot carry.
    #[error("the reason for contact cannot be written")]
    BadReason,
}
