//! What a key may hold: its form, and the way between its text and its typed field.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::listen::{BadNetwork, Network};

/// A value as written, before it becomes a typed field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number, never negative.
    Whole(u64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// What a key may hold; the source of the type column and of the "allowed" part of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A number from `min` to `max`, both included.
    Whole {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// `address:port` of a door, or an empty text.
    Door,
    /// A path, or an empty text for "none".
    Path,
    /// A text that `check` accepts.
    Text(Rule),
    /// Up to 32 texts that `check` accepts, at least one.
    List(Rule),
    /// Up to 32 networks.
    Networks,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text that is never shown.
    Secret,
}

/// A rule for texts.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is allowed, for people.
    pub allowed: &'static str,
    /// Whether a text keeps the rule.
    pub check: fn(&str) -> bool,
}

/// Most entries of a list.
const MAX_LIST: usize = 32;
/// Longest text, secret and path, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

impl Form {
    /// What is allowed, for a fault and for the documentation.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Whole { min, max, .. } => format!("{min} to {max}"),
            Self::Door => "address:port, [address]:port or empty (closed)".to_owned(),
            Self::Path => "a path or empty (none)".to_owned(),
            Self::Text(rule) => rule.allowed.to_owned(),
            Self::List(rule) => format!("1 to {MAX_LIST} entries, each {}", rule.allowed),
            Self::Networks => {
                format!("0 to {MAX_LIST} entries, each an IP address or a network as `address/prefix`")
            }
            Self::Choice(words) => {
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
            }
            Self::Secret => format!("a text of at most {MAX_TEXT_BYTES} bytes"),
        }
    }

    /// The type, in a word or two, with the unit of a number.
    #[must_use]
    pub fn type_name(&self) -> String {
        match self {
            Self::Whole { unit, .. } => format!("number ({unit})"),
            Self::Door | Self::Path | Self::Text(_) | Self::Choice(_) => "text".to_owned(),
            Self::List(_) | Self::Networks => "list of texts".to_owned(),
            Self::Secret => "secret text".to_owned(),
        }
    }

    /// Whether the value must never be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret)
    }

    /// Checks type and range. The error says what is wrong, without the value of a secret.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Whole { min, max, .. }, Value::Whole(number)) => {
                if (min..=max).contains(&number) {
                    Ok(())
                } else {
                    Err(format!("{number} is out of range"))
                }
            }
            (Self::Text(rule), Value::Text(text)) => checked(rule, text),
            (Self::List(rule), Value::List(entries)) => {
                if entries.is_empty() || entries.len() > MAX_LIST {
                    return Err(format!("{} entries", entries.len()));
                }
                entries.iter().try_for_each(|entry| checked(rule, entry))
            }
            (Self::Networks, Value::List(entries)) => {
                if entries.len() > MAX_LIST {
                    return Err(format!("{} entries", entries.len()));
                }
                entries.iter().try_for_each(|entry| within_length(entry))
            }
            (Self::Choice(words), Value::Text(text)) => {
                within_length(text)?;
                if words.contains(&text.as_str()) {
                    Ok(())
                } else {
                    Err(format!("{text:?} is not one of the words"))
                }
            }
            (Self::Door | Self::Path | Self::Secret, Value::Text(text)) => within_length(text),
            (form, other) => Err(format!("is {}, must be {}", other.kind(), form.type_name())),
        }
    }
}

fn checked(rule: &Rule, text: &str) -> Result<(), String> {
    within_length(text)?;
    if (rule.check)(text) { Ok(()) } else { Err(format!("{text:?} is not allowed")) }
}

/// Refuses texts beyond [`MAX_TEXT_BYTES`] and control characters, without repeating them.
fn within_length(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("is {} bytes long, at most {MAX_TEXT_BYTES} are allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(())
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Whole(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
        }
    }
}

/// The value as TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |text: &str| toml_edit::Value::from(text).to_string();
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quote(text)),
            Self::List(entries) => {
                let quoted: Vec<_> = entries.iter().map(|entry| quote(entry)).collect();
                write!(f, "[{}]", quoted.join(", "))
            }
        }
    }
}

/// A typed field: made from a [`Value`] whose form was checked, and turned back for `config show`.
pub(super) trait Field: Sized {
    /// Parses; the error says what is wrong, never what a secret holds.
    fn read(value: &Value) -> Result<Self, String>;
    /// The way back.
    fn write(&self) -> Value;
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("is {}, must be a text", other.kind())),
    }
}

macro_rules! whole_field {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(value: &Value) -> Result<Self, String> {
                match value {
                    Value::Whole(number) => Self::try_from(*number).map_err(|_| format!("{number} is too large")),
                    other => Err(format!("is {}, must be a number", other.kind())),
                }
            }
            fn write(&self) -> Value {
                Value::Whole(u64::try_from(*self).unwrap_or(u64::MAX))
            }
        }
    )*};
}
whole_field!(u16, u64, usize);

impl Field for String {
    fn read(value: &Value) -> Result<Self, String> {
        text(value).map(str::to_owned)
    }
    fn write(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Field for Vec<String> {
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(entries) => Ok(entries.clone()),
            other => Err(format!("is {}, must be a list of texts", other.kind())),
        }
    }
    fn write(&self) -> Value {
        Value::List(self.clone())
    }
}

impl Field for Vec<Network> {
    fn read(value: &Value) -> Result<Self, String> {
        let network = |text: &String| {
            text.parse().map_err(|fault: BadNetwork| format!("{text:?} is no network: {fault}"))
        };
        Vec::<String>::read(value)?.iter().map(network).collect()
    }
    fn write(&self) -> Value {
        Value::List(self.iter().map(Network::to_string).collect())
    }
}

impl Field for Option<SocketAddr> {
    fn read(value: &Value) -> Result<Self, String> {
        match text(value)? {
            "" => Ok(None),
            address => {
                address.parse().map(Some).map_err(|_| format!("{address:?} is not an address with a port"))
            }
        }
    }
    fn write(&self) -> Value {
        Value::Text(self.map(|address| address.to_string()).unwrap_or_default())
    }
}

impl Field for Option<PathBuf> {
    fn read(value: &Value) -> Result<Self, String> {
        Ok(Some(text(value)?).filter(|path| !path.is_empty()).map(PathBuf::from))
    }
    fn write(&self) -> Value {
        Value::Text(self.as_deref().map(Path::to_string_lossy).unwrap_or_default().into_owned())
    }
}

impl Field for Secret {
    fn read(value: &Value) -> Result<Self, String> {
        text(value).map(Self::new)
    }
    fn write(&self) -> Value {
        Value::Text(if self.0.is_empty() { "" } else { "********" }.to_owned())
    }
}

/// How a number in a given unit becomes a [`Duration`] and back. A sub-unit rest is dropped on the way back.
pub(super) struct Unit {
    /// Milliseconds in one unit.
    pub(super) millis: u64,
}

impl Unit {
    pub(super) fn read(&self, value: &Value) -> Result<Duration, String> {
        u64::read(value).map(|number| Duration::from_millis(number.saturating_mul(self.millis)))
    }

    pub(super) fn write(&self, duration: Duration) -> Value {
        Value::Whole(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / self.millis)
    }
}

/// A text that no `Debug`, `Display` or `config show` gives away.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Declares an enum whose variants are words of the configuration.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// The words, in the order of the variants.
            pub(super) const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl Field for $name {
            fn read(value: &Value) -> Result<Self, String> {
                match text(value)? {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is not one of the words")),
                }
            }
            fn write(&self) -> Value {
                Value::Text(match self { $(Self::$variant => $word),* }.to_owned())
            }
        }
    };
}

words! {
    /// Kind of the key pairs made for phones.
    KeyKind {
        /// RSA with 2048 bits: every phone takes it.
        Rsa2048 = "rsa-2048",
        /// Elliptic curve P-256: small and fast.
        P256 = "p-256",
    }
}

words! {
    /// Encryption of PKCS#12 containers.
    Pkcs12Encryption {
        /// Triple DES with SHA-1, the only one old firmware reads.
        Legacy3Des = "legacy-3des",
        /// AES-256-CBC with PBKDF2.
        Aes256 = "aes-256",
    }
}

words! {
    /// What becomes of a connection when its flow is over.
    AfterCleanUp {
        /// It is closed, as phones do too.
        Close = "close",
        /// It stays open for another flow, for proxies that carry many phones.
        Keep = "keep",
    }
}

words! {
    /// Which phones are told to poll.
    DcmpMode {
        /// None.
        Disabled = "disabled",
        /// Those that contact-me does not bring.
        Automatic = "automatic",
        /// All.
        Enabled = "enabled",
    }
}

words! {
    /// Algorithms of SIP digest authentication.
    SipAlgorithms {
        /// SHA-256, and MD5 for those that do not know it (RFC 8760).
        Sha256Md5 = "sha-256-md5",
        /// The same, for those that look at the first challenge only.
        Md5Sha256 = "md5-sha-256",
        /// SHA-256 only.
        Sha256 = "sha-256",
        /// MD5 only.
        Md5 = "md5",
    }
}

words! {
    /// Whose requests for a profile are taken.
    PlugAndPlayMode {
        /// Nobody's.
        Off = "off",
        /// Those sent to the group.
        Multicast = "multicast",
        /// Those sent to this server itself, too.
        On = "on",
    }
}

words! {
    /// Something that is there or not.
    Switch {
        /// It is not.
        Off = "off",
        /// It is.
        On = "on",
    }
}

words! {
    /// Form of the log.
    LogFormat {
        /// One line per event, for people.
        Text = "text",
        /// One JSON object per line, for collectors.
        Json = "json",
    }
}

/// Rules of the texts in the table.
pub(super) mod rules {
    use callboard_codecs::snmp::ObjectId;
    use callboard_core::dialogue::snmp::EngineId;

    use super::{IpAddr, Rule};
    use crate::config::address;

    pub(crate) const HOST_LABEL: Rule = Rule {
        allowed: "at most 64 printable ASCII characters without space, or empty",
        check: |text| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic()),
    };

    pub(crate) const ORGANISATION: Rule = Rule {
        allowed: "1 to 64 bytes (RFC 5280, ub-organization-name)",
        check: |text| (1..=64).contains(&text.len()),
    };

    pub(crate) const SIP_REALM: Rule = Rule {
        allowed: "1 to 128 printable ASCII characters without quotes and backslashes",
        check: |text| {
            (1..=128).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| (byte == b' ' || byte.is_ascii_graphic()) && !b"\"\\".contains(&byte))
        },
    };

    pub(crate) const CERTIFICATE_NAME: Rule =
        Rule { allowed: "a DNS name (a leading `*.` is taken) or an IP address", check: is_certificate_name };

    pub(crate) const ENGINE_ID: Rule = Rule {
        allowed: "5 to 32 bytes in hexadecimal digits, not all of them 00 or FF, or empty",
        check: |text| text.is_empty() || text.parse::<EngineId>().is_ok(),
    };

    pub(crate) const OBJECT_IDS: Rule = Rule {
        allowed: "at most 64 object identifiers (numbers with dots between them) separated by commas, or empty",
        check: |text| {
            let mut parts = text.split(',');
            let is_id = |part: &str| part.trim().parse::<ObjectId>().is_ok();
            text.is_empty() || (parts.clone().count() <= 64 && parts.all(is_id))
        },
    };

    pub(crate) const IPV4_ADDRESSES: Rule = Rule {
        allowed: "at most 16 IPv4 addresses separated by commas, or empty",
        check: |text| {
            let mut parts = text.split(',');
            let is_address = |part: &str| part.trim().parse::<std::net::Ipv4Addr>().is_ok();
            text.is_empty() || (parts.clone().count() <= 16 && parts.all(is_address))
        },
    };

    pub(crate) const IP_ADDRESS: Rule = Rule {
        allowed: "an IP address, or empty",
        check: |text| text.is_empty() || text.parse::<IpAddr>().is_ok(),
    };

    pub(crate) const REQUEST_PATH: Rule = Rule {
        allowed: "an absolute URL path of at most 255 bytes without query",
        check: |text| {
            text.starts_with('/')
                && text.len() <= 255
                && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte))
        },
    };

    pub(crate) const PHONES_ADDRESS: Rule = Rule {
        allowed: "HOST, HOST:PORT or a URL with http or https, at most 200 bytes, or empty",
        check: |text| text.is_empty() || address::is_reachable(text),
    };

    pub(crate) const ITEM_NAME: Rule = Rule {
        allowed: "1 to 64 letters, digits, `-`, `_` and `.`",
        check: |text| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        },
    };

    pub(crate) const LOG_FILTER: Rule = Rule {
        allowed: "a level (error, warn, info, debug, trace) or a list such as \"info,callboard::wpi=debug\"",
        // The parser of filters can panic at what is not ASCII.
        check: |text| {
            !text.is_empty() && text.is_ascii() && tracing_subscriber::EnvFilter::try_new(text).is_ok()
        },
    };

    /// RFC 5890 host name in LDH form, RFC 6125 wild card in the first label only.
    fn is_certificate_name(text: &str) -> bool {
        if text.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        (1..=253).contains(&name.len())
            && name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
    }
}
