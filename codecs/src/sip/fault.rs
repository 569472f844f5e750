//! What can be wrong with a message: unusable, to be refused, or malformed in one place.

use super::HeaderName;

/// Bytes that are no message anybody could answer. They are dropped; over a stream the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// There is nothing but line ends.
    #[error("there is no message")]
    Empty,
    /// The first line is neither a request line nor a status line (RFC 3261, sections 7.1 and 7.2).
    #[error("the first line is neither a request line nor a status line")]
    StartLine,
    /// More bytes than [`Limits::message_bytes`](super::Limits::message_bytes).
    #[error("the message is too long")]
    TooLong,
    /// A line, with those that continue it, is longer than [`Limits::line_bytes`](super::Limits::line_bytes).
    #[error("the line at byte {at} is too long")]
    LineTooLong {
        /// Where it begins.
        at: usize,
    },
    /// More header fields than [`Limits::headers`](super::Limits::headers).
    #[error("there are too many header fields")]
    TooManyHeaders,
}

/// A piece of a value that does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is malformed at byte {at}")]
pub struct Malformed {
    /// The rule that is broken.
    pub part: Part,
    /// Where, in bytes from the beginning of the value that was read.
    pub at: usize,
}

impl Malformed {
    pub(super) const fn new(part: Part, at: usize) -> Self {
        Self { part, at }
    }
}

/// A rule of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A URI as a whole (RFC 3261, section 19.1).
    Uri,
    /// The user or password of a URI.
    UserInfo,
    /// A host name or address.
    Host,
    /// A port: 0 to 65535.
    Port,
    /// Parameters of a URI.
    UriParameter,
    /// Headers of a URI.
    UriHeader,
    /// `name-addr` or `addr-spec` (section 20.10).
    Address,
    /// Parameters of a header field.
    Parameter,
    /// A Via (section 20.42).
    Via,
    /// A Contact (section 20.10), its `q` or `reg-id`.
    Contact,
    /// A `CSeq`: a number below 2^31 and a method (section 20.16).
    CSeq,
    /// A Call-ID (section 20.8).
    CallId,
    /// A number, or one that is too big.
    Number,
    /// A token, or a list of them.
    Token,
    /// Credentials or a challenge (section 22, RFC 7616).
    Authentication,
    /// An Event (RFC 6665, section 8.2.1).
    Event,
    /// A Subscription-State (RFC 6665, section 8.2.3).
    SubscriptionState,
    /// A media type (section 20.15).
    MediaType,
    /// More values than the limits allow.
    TooMany,
}

/// What is wrong with a message that could be read in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
    /// White space where the first line has none, or too much of it (section 7.1).
    #[error("the first line is malformed")]
    StartLine,
    /// A line that is no header field (section 7.3.1).
    #[error("the line at byte {at} is no header field")]
    HeaderLine {
        /// Where it begins in the message.
        at: usize,
    },
    /// There is no empty line behind the header fields.
    #[error("the header fields have no end")]
    NoEnd,
    /// A Content-Length that is no number.
    #[error("the Content-Length is no number")]
    ContentLength,
    /// The body is shorter than its Content-Length (section 18.3).
    #[error("the body is shorter than it is said to be")]
    ShortBody,
    /// A mandatory header field is missing (section 8.1.1).
    #[error("there is no {}", .0.as_str())]
    Missing(HeaderName),
    /// A header field with one value stands there more than once.
    #[error("there is more than one {}", .0.as_str())]
    Repeated(HeaderName),
    /// A header field's value.
    #[error("{}: {cause}", .header.as_str())]
    Value {
        /// The header field.
        header: HeaderName,
        /// What is wrong with its value.
        #[source]
        cause: Malformed,
    },
    /// The Request-URI.
    #[error("Request-URI: {0}")]
    RequestUri(#[source] Malformed),
    /// The Request-URI has headers (section 19.1.1, table 1).
    #[error("the Request-URI has headers")]
    RequestUriHeaders,
    /// The method of the `CSeq` is another one, and the request's is known.
    #[error("the CSeq has another method")]
    MethodMismatch,
    /// The method of the `CSeq` is another one, and the request's is unknown too (RFC 4475, section 3.1.2.18).
    #[error("the method is unknown, and the CSeq has another one")]
    UnknownMethodMismatch,
    /// The From of a client of RFC 3261 has no tag.
    #[error("the From has no tag")]
    NoFromTag,
    /// The topmost Via has no branch with the cookie of RFC 3261.
    #[error("the Via has no branch of RFC 3261")]
    NoBranch,
}

impl Fault {
    /// The status of the answer to a request with this fault.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::UnknownMethodMismatch => 501,
            _ => 400,
        }
    }

    /// The reason phrase of the answer.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Version => "Version Not Supported",
            Self::StartLine => "Malformed Request-Line",
            Self::HeaderLine { .. } => "Malformed Header Field",
            Self::NoEnd => "Missing Empty Line",
            Self::ContentLength => "Malformed Content-Length",
            Self::ShortBody => "Body Shorter Than Content-Length",
            Self::Missing(header) => missing(header),
            Self::Repeated(header) => repeated(header),
            Self::Value { header, cause } => value(header, cause),
            Self::RequestUri(_) => "Malformed Request-URI",
            Self::RequestUriHeaders => "Headers In Request-URI",
            Self::MethodMismatch => "CSeq Method Mismatch",
            Self::UnknownMethodMismatch => "Not Implemented",
            Self::NoFromTag => "Missing From Tag",
            Self::NoBranch => "Missing Via Branch",
        }
    }
}

const fn missing(header: HeaderName) -> &'static str {
    match header {
        HeaderName::Via => "Missing Via",
        HeaderName::From => "Missing From",
        HeaderName::To => "Missing To",
        HeaderName::CallId => "Missing Call-ID",
        HeaderName::CSeq => "Missing CSeq",
        HeaderName::Event => "Missing Event",
        HeaderName::Contact => "Missing Contact",
        _ => "Missing Header Field",
    }
}

const fn repeated(header: HeaderName) -> &'static str {
    match header {
        HeaderName::From => "More Than One From",
        HeaderName::To => "More Than One To",
        HeaderName::CallId => "More Than One Call-ID",
        HeaderName::CSeq => "More Than One CSeq",
        HeaderName::MaxForwards => "More Than One Max-Forwards",
        HeaderName::ContentLength => "More Than One Content-Length",
        HeaderName::ContentType => "More Than One Content-Type",
        HeaderName::Expires => "More Than One Expires",
        HeaderName::Event => "More Than One Event",
        _ => "Repeated Header Field",
    }
}

const fn value(header: HeaderName, cause: Malformed) -> &'static str {
    match header {
        HeaderName::Via if matches!(cause.part, Part::TooMany) => "Too Many Vias",
        HeaderName::Contact if matches!(cause.part, Part::TooMany) => "Too Many Contacts",
        HeaderName::Via => "Malformed Via",
        HeaderName::From => "Malformed From",
        HeaderName::To => "Malformed To",
        HeaderName::CallId => "Malformed Call-ID",
        HeaderName::CSeq => "Malformed CSeq",
        HeaderName::MaxForwards => "Malformed Max-Forwards",
        HeaderName::Contact => "Malformed Contact",
        HeaderName::Path => "Malformed Path",
        HeaderName::Event => "Malformed Event",
        HeaderName::Authorization => "Malformed Authorization",
        HeaderName::ContentType => "Malformed Content-Type",
        _ => "Malformed Header Field",
    }
}
