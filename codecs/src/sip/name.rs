//! Names of header fields: recognised once, in any case, long or compact.

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A header field's name (RFC 3261, section 20, and the RFCs named beside the others).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum HeaderName {
            $($(#[$doc])* $variant,)*
            /// A name that is not in this list.
            Other,
        }

        /// Names and their texts, in the order of the enum.
        const NAMES: &[(&str, HeaderName)] = &[$(($text, HeaderName::$variant),)*];

        impl HeaderName {
            /// The name with a colon and a space, as it begins a line.
            pub(super) const fn line_start(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($text, ": "),)*
                    Self::Other => "",
                }
            }

            /// The name in its long form as RFCs write it; empty for [`HeaderName::Other`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }
        }
    };
}

names! {
    /// Accept.
    Accept = "Accept",
    /// Accept-Contact (RFC 3841).
    AcceptContact = "Accept-Contact",
    /// Accept-Encoding.
    AcceptEncoding = "Accept-Encoding",
    /// Accept-Language.
    AcceptLanguage = "Accept-Language",
    /// Alert-Info.
    AlertInfo = "Alert-Info",
    /// Allow.
    Allow = "Allow",
    /// Allow-Events (RFC 6665).
    AllowEvents = "Allow-Events",
    /// Authentication-Info.
    AuthenticationInfo = "Authentication-Info",
    /// Authorization.
    Authorization = "Authorization",
    /// Call-ID.
    CallId = "Call-ID",
    /// Call-Info.
    CallInfo = "Call-Info",
    /// Contact.
    Contact = "Contact",
    /// Content-Disposition.
    ContentDisposition = "Content-Disposition",
    /// Content-Encoding.
    ContentEncoding = "Content-Encoding",
    /// Content-Language.
    ContentLanguage = "Content-Language",
    /// Content-Length.
    ContentLength = "Content-Length",
    /// Content-Type.
    ContentType = "Content-Type",
    /// `CSeq`.
    CSeq = "CSeq",
    /// Date.
    Date = "Date",
    /// Error-Info.
    ErrorInfo = "Error-Info",
    /// Event (RFC 6665).
    Event = "Event",
    /// Expires.
    Expires = "Expires",
    /// Flow-Timer (RFC 5626).
    FlowTimer = "Flow-Timer",
    /// From.
    From = "From",
    /// Identity (RFC 8224).
    Identity = "Identity",
    /// Identity-Info (RFC 4474).
    IdentityInfo = "Identity-Info",
    /// In-Reply-To.
    InReplyTo = "In-Reply-To",
    /// Max-Forwards.
    MaxForwards = "Max-Forwards",
    /// MIME-Version.
    MimeVersion = "MIME-Version",
    /// Min-Expires.
    MinExpires = "Min-Expires",
    /// Organization.
    Organization = "Organization",
    /// Path (RFC 3327).
    Path = "Path",
    /// Priority.
    Priority = "Priority",
    /// Privacy (RFC 3323).
    Privacy = "Privacy",
    /// Proxy-Authenticate.
    ProxyAuthenticate = "Proxy-Authenticate",
    /// Proxy-Authorization.
    ProxyAuthorization = "Proxy-Authorization",
    /// Proxy-Require.
    ProxyRequire = "Proxy-Require",
    /// Record-Route.
    RecordRoute = "Record-Route",
    /// Refer-To (RFC 3515).
    ReferTo = "Refer-To",
    /// Referred-By (RFC 3892).
    ReferredBy = "Referred-By",
    /// Reject-Contact (RFC 3841).
    RejectContact = "Reject-Contact",
    /// Reply-To.
    ReplyTo = "Reply-To",
    /// Request-Disposition (RFC 3841).
    RequestDisposition = "Request-Disposition",
    /// Require.
    Require = "Require",
    /// Retry-After.
    RetryAfter = "Retry-After",
    /// Route.
    Route = "Route",
    /// Server.
    Server = "Server",
    /// Service-Route (RFC 3608).
    ServiceRoute = "Service-Route",
    /// Session-Expires (RFC 4028).
    SessionExpires = "Session-Expires",
    /// SIP-ETag (RFC 3903).
    SipETag = "SIP-ETag",
    /// SIP-If-Match (RFC 3903).
    SipIfMatch = "SIP-If-Match",
    /// Subject.
    Subject = "Subject",
    /// Subscription-State (RFC 6665).
    SubscriptionState = "Subscription-State",
    /// Supported.
    Supported = "Supported",
    /// Timestamp.
    Timestamp = "Timestamp",
    /// To.
    To = "To",
    /// Unsupported.
    Unsupported = "Unsupported",
    /// User-Agent.
    UserAgent = "User-Agent",
    /// Via.
    Via = "Via",
    /// Warning.
    Warning = "Warning",
    /// WWW-Authenticate.
    WwwAuthenticate = "WWW-Authenticate",
}

/// Sets of names are bits of a word.
const _: () = assert!(HeaderName::Other as u8 == 61);

/// For each [`slot`] one more than the place in [`NAMES`] of the name that has it; 0 if none has. The factors of `slot` were
/// searched for so that no two names share one.
const SLOTS: [u8; 256] = slots();

const fn slots() -> [u8; 256] {
    let mut slots = [0; 256];
    let mut at = 0;
    while at < NAMES.len() {
        let slot = slot(NAMES[at].0.as_bytes());
        assert!(slots[slot] == 0, "two names share a slot");
        at += 1;
        slots[slot] = NAMES[at - 1].1 as u8 + 1;
    }
    slots
}

/// A number below 256 from a name's length, first, middle and last byte in small letters.
const fn slot(name: &[u8]) -> usize {
    const CASE: u8 = 0x20;
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    let middle = name[name.len() / 2];
    let sum = name.len().wrapping_mul(106)
        + (*first | CASE) as usize * 31
        + (middle | CASE) as usize * 232
        + (*last | CASE) as usize * 141;
    (sum >> 4) & 255
}

impl HeaderName {
    /// The name that these bytes are, in any case, in its long or its compact form.
    #[must_use]
    pub fn recognise(name: &[u8]) -> Self {
        if let [letter] = name {
            return Self::compact(*letter);
        }
        let place = usize::from(SLOTS[slot(name)]).checked_sub(1);
        match place.and_then(|place| NAMES.get(place)) {
            Some((text, known)) if name == text.as_bytes() || name.eq_ignore_ascii_case(text.as_bytes()) => {
                *known
            }
            _ => Self::Other,
        }
    }

    /// The compact forms (RFC 3261, section 20, and the RFCs of the others).
    const fn compact(letter: u8) -> Self {
        match letter.to_ascii_lowercase() {
            b'a' => Self::AcceptContact,
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'd' => Self::RequestDisposition,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'j' => Self::RejectContact,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'n' => Self::IdentityInfo,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b's' => Self::Subject,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => Self::Other,
        }
    }

    /// The name as a bit of a set.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for (text, name) in NAMES {
            assert_eq!(HeaderName::recognise(text.as_bytes()), *name);
            assert_eq!(HeaderName::recognise(text.to_ascii_uppercase().as_bytes()), *name);
            assert_eq!(name.as_str(), *text);
            assert_eq!(HeaderName::recognise(format!("{text}s").as_bytes()), HeaderName::Other);
        }
        for other in [&b""[..], b"C%6Fntact", b"z", b"Aastra-Mac", &[b'x'; 300]] {
            assert_eq!(HeaderName::recognise(other), HeaderName::Other);
        }
    }

    #[test]
    fn compact_forms_are_letters_in_any_case() {
        for (letter, name) in [(b'V', HeaderName::Via), (b'v', HeaderName::Via), (b'I', HeaderName::CallId)] {
            assert_eq!(HeaderName::recognise(&[letter]), name);
        }
        let known = (0..=u8::MAX).filter(|letter| HeaderName::recognise(&[*letter]) != HeaderName::Other);
        assert_eq!(known.count(), 40);
    }
}
