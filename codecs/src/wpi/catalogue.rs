//! The item catalogue: every item name known from public sources (WPI reference, section 10).
//!
//! The tables are made at build time from `codecs/data/wpi-items.csv`. That file is **append-only**: an
//! [`ItemId`] is a row number, and stored records hold ids. Real phones know more names than the catalogue;
//! an unknown name is passed through as it is.

use tables::{ENTRIES, IDS};

#[allow(clippy::unreadable_literal, reason = "generated")]
mod tables {
    use super::{Access, Confidence, Entry, Indexed, Kind};

    include!(concat!(env!("OUT_DIR"), "/wpi_catalogue.rs"));
}

/// Number of names in the catalogue.
pub const COUNT: usize = ENTRIES.len();

/// A name of the catalogue as a number: its row in the source file, from 0. Stable over versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(u16);

impl ItemId {
    /// The id with this number, if the catalogue of this build has it.
    pub fn from_number(number: u16) -> Option<Self> {
        (usize::from(number) < COUNT).then_some(Self(number))
    }

    /// The number to store in a record.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// What is known about one item name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The name as phones write it; case matters.
    pub name: &'static str,
    /// Whether instances are told apart by an index.
    pub indexed: Indexed,
    /// The form of the value.
    pub kind: Kind,
    /// Allowed or known values, examples and defaults, as free text.
    pub values: &'static str,
    /// Who writes it.
    pub access: Access,
    /// One line for people.
    pub description: &'static str,
    /// The topic it belongs to, for example `sip` or `keys`.
    pub group: &'static str,
    /// How sure it is that phones know the name.
    pub confidence: Confidence,
    /// Whether the value must never be shown: passwords, PINs, communities, private keys.
    pub secret: bool,
}

/// Whether an item has an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Indexed {
    /// One instance, no index.
    No,
    /// Several instances.
    Yes,
    /// Met with and without an index.
    Maybe,
}

/// The form of an item's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Free text.
    Text,
    /// A decimal number.
    Integer,
    /// `true` or `false`.
    Bool,
    /// One of a few codes, mostly decimal.
    Enum,
    /// A host name or an IP address.
    Address,
    /// An IPv4 address.
    Ipv4,
    /// A TCP or UDP port number.
    Port,
    /// A URL.
    Url,
    /// Binary data in base64.
    Base64,
    /// A certificate in PEM.
    Pem,
}

/// Who writes an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// The phone reports it; a write is answered `read only`.
    ReadOnly,
    /// Reported and written.
    ReadWrite,
    /// Written, never reported.
    WriteOnly,
    /// A control item inside one action, not a setting.
    Message,
}

/// How sure it is that a name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confidence {
    /// Seen in the vendor's documents.
    Documented,
    /// Seen in software that worked with phones.
    Implemented,
    /// Not confirmed.
    Guessed,
}

/// The id of a name; `None` for a name the catalogue does not hold. Case matters.
pub fn lookup(name: &str) -> Option<ItemId> {
    IDS.get(name).copied().map(ItemId)
}

/// What is known about an item.
pub fn entry(id: ItemId) -> &'static Entry {
    &ENTRIES[usize::from(id.0)]
}

/// All entries in the order of their ids.
pub fn all() -> impl Iterator<Item = (ItemId, &'static Entry)> {
    (0u16..).map(ItemId).zip(&ENTRIES)
}

/// Whether the value of this item must never reach a log, an error or an answer.
///
/// The catalogue decides for its names; any other name is secret when it looks like one, because a name
/// wrongly hidden costs little.
pub fn is_secret(name: &str) -> bool {
    match lookup(name) {
        Some(id) => entry(id).secret,
        None => looks_secret(name),
    }
}

fn looks_secret(name: &str) -> bool {
    const PARTS: [&str; 8] =
        ["pwd", "passw", "passphrase", "secret", "token", "private-key", "credential", "pkcs12"];
    const WORDS: [&str; 4] = ["pin", "tan", "psk", "community"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
        || name.ends_with("-client-certificate")
        || name.ends_with("-server-certificate")
        || name.split(['-', '_', '.']).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a, 64 bits.
    fn fingerprint<'a>(names: impl Iterator<Item = &'a str>) -> u64 {
        names
            .collect::<Vec<_>>()
            .join("\n")
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Ids are stored: rows may be added at the end of the file, never moved, renamed or removed.
    #[test]
    fn order_of_ids_is_kept() {
        const PINNED: usize = 448;
        const { assert!(COUNT >= PINNED) };
        assert_eq!(fingerprint(all().take(PINNED).map(|(_, entry)| entry.name)), 0xaa99_8bce_4729_5603);
    }

    #[test]
    fn every_name_leads_to_its_own_entry() {
        for (id, entry) in all() {
            assert_eq!(lookup(entry.name), Some(id));
            assert_eq!(super::entry(id), entry);
            assert_eq!(ItemId::from_number(id.number()), Some(id));
        }
        assert_eq!(ItemId::from_number(u16::try_from(COUNT).unwrap()), None);
        assert_eq!(lookup("Mac-addr"), None);
        assert_eq!(lookup(""), None);
    }

    #[test]
    fn columns_are_read() {
        let key = entry(lookup("function-key-def").unwrap());
        assert_eq!((key.indexed, key.kind, key.access), (Indexed::Yes, Kind::Integer, Access::ReadWrite));
        assert_eq!(key.group, "keys");
        let authority = entry(lookup("dls-server-ca").unwrap());
        assert_eq!((authority.kind, authority.access), (Kind::Pem, Access::WriteOnly));
        assert_eq!(entry(lookup("mac-addr").unwrap()).confidence, Confidence::Documented);
    }

    #[test]
    fn secrets_are_known_by_name() {
        for name in [
            "sip-pwd",
            "line-sip-pwd",
            "user-pwd",
            "user-pwd-unicode",
            "admin-pwd",
            "ssh-password",
            "file-pwd",
            "ldap-pwd",
            "snmp-pwd",
            "snmp-trap-pwd",
            "send-url-passwd",
            "bootstrapping-tan",
            "dls-client-certificate",
            "secure-mode-data",
            "wbm-server-certificate",
            "cloud-pin-value",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "min-admin-passw-length",
            "passw-char-set",
            "default-passw-policy",
            "mobility-password-on-logoff",
            "max-pin-retries",
            "fault-report-admin-pwd",
            "srtp-key-negotiation-method",
            "wbm-server-certificate-info",
            "mac-addr",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn unknown_names_are_judged_by_their_look() {
        for name in
            ["new-pwd", "WLAN-Passwd", "api-token", "door-pin", "wlan-psk", "radius-client-certificate"]
        {
            assert!(lookup(name).is_none() && is_secret(name), "{name}");
        }
        for name in ["spinning-wheel", "standard-tone", "new-item"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
