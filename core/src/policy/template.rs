//! Templates: sets of values for many phones.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use callboard_codecs::wpi::catalogue::{self, Access, Indexed, Kind};
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use crate::item::ItemKey;
use crate::secret::{Sealed, Secret, Vault, VaultError};
use crate::time::Timestamp;

/// Highest ranking a template can have.
pub const MAX_RANKING: u32 = 1_000_000;

/// A template's id: twelve hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateId(u64);

impl TemplateId {
    /// From a number, of which the low 48 bits are taken.
    pub const fn from_u64(number: u64) -> Self {
        Self(number & 0xffff_ffff_ffff)
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TemplateId {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let digits =
            text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or(BadTemplate::Id)
    }
}

/// When a template is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateKind {
    /// Once, at the first contact of a device.
    Onboarding,
    /// At each start-up, local change and refresh.
    Default,
    /// Never.
    Disabled,
}

/// To which devices a template applies, among those of its device and software types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppliesTo {
    /// To those it is assigned to.
    Assigned,
    /// To all.
    All,
}

/// The value of a template item at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TemplateValue {
    /// Readable, may hold variables.
    Plain(Box<str>),
    /// A secret; may hold variables too.
    Sealed(Sealed),
}

/// One value of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateItem {
    /// Where it goes.
    pub key: ItemKey,
    /// What is written.
    pub value: TemplateValue,
}

impl TemplateItem {
    /// An item of `name` with the given value, sealed if the name is a secret one.
    pub fn new(key: ItemKey, value: &str, vault: &Vault) -> Result<Self, VaultError> {
        let value = if key.is_secret() {
            TemplateValue::Sealed(vault.seal(&Secret::new(value))?)
        } else {
            TemplateValue::Plain(value.into())
        };
        Ok(Self { key, value })
    }

    /// The value, opened.
    pub fn reveal(&self, vault: &Vault) -> Result<Secret, VaultError> {
        match &self.value {
            TemplateValue::Plain(text) => Ok(Secret::new(text.as_ref())),
            TemplateValue::Sealed(sealed) => vault.open(sealed),
        }
    }
}

/// A template (vendor guide, section 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Counts changes, from 1.
    pub revision: u64,
    /// What people call it; unique.
    pub name: Box<str>,
    /// Free text.
    pub description: Box<str>,
    /// When it is applied.
    pub kind: TemplateKind,
    /// Where two templates set one item, the higher ranking wins. From 1.
    pub ranking: u32,
    /// Device types it is for; empty means all.
    pub device_types: Vec<Box<str>>,
    /// Software types it is for; empty means all.
    pub software_types: Vec<Box<str>>,
    /// Which devices of those types.
    pub applies_to: AppliesTo,
    /// The values.
    pub items: Vec<TemplateItem>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
}

/// Bounds on templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateBounds {
    /// Items in one template.
    pub items: usize,
    /// Bytes of one value, before variables are put in.
    pub value_bytes: usize,
}

impl Default for TemplateBounds {
    fn default() -> Self {
        Self { items: 2_000, value_bytes: 16_384 }
    }
}

/// What is wrong with a template id or record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// Not twelve hexadecimal digits.
    #[error("a template id is twelve lower-case hexadecimal digits")]
    Id,
}

/// One thing wrong with a template that somebody wants to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, as a path: `name`, `items[3].value`.
    pub field: String,
    /// Why, and what is allowed.
    pub reason: String,
}

impl Template {
    /// Everything wrong with this template; empty if it may be stored.
    pub fn faults(&self, bounds: &TemplateBounds, vault: &Vault) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |field: String, reason: String| faults.push(Fault { field, reason });
        if self.name.trim().is_empty() || self.name.chars().count() > 128 {
            fault("name".into(), "1 to 128 characters".into());
        }
        if self.description.chars().count() > 1_024 {
            fault("description".into(), "at most 1,024 characters".into());
        }
        if self.ranking == 0 || self.ranking > MAX_RANKING {
            fault("ranking".into(), format!("1 to {MAX_RANKING}"));
        }
        for (field, types) in [("device_types", &self.device_types), ("software_types", &self.software_types)]
        {
            if types.len() > 100 {
                fault(field.into(), "at most 100 entries".into());
            }
            for (at, entry) in types.iter().enumerate() {
                if entry.trim().is_empty() || entry.len() > 128 {
                    fault(format!("{field}[{at}]"), "1 to 128 bytes".into());
                }
            }
        }
        if self.items.len() > bounds.items {
            fault("items".into(), format!("at most {} items, not {}", bounds.items, self.items.len()));
        }
        let mut seen = HashSet::new();
        for (at, item) in self.items.iter().enumerate() {
            if !seen.insert(&item.key) {
                fault(format!("items[{at}]"), format!("{} stands in the template twice", item.key));
            }
            if let Some((part, reason)) = setting_fault(&item.key) {
                fault(format!("items[{at}].{part}"), reason);
            }
            match item.reveal(vault) {
                Ok(value) => {
                    if let Some(reason) = value_fault(&item.key, value.expose(), bounds) {
                        fault(format!("items[{at}].value"), reason);
                    }
                }
                Err(error) => fault(format!("items[{at}].value"), error.to_string()),
            }
        }
        faults
    }
}

fn entry_of(key: &ItemKey) -> Option<&'static catalogue::Entry> {
    catalogue::lookup(key.name()).map(catalogue::entry)
}

/// Why no value may be written at `key`: which part of it is wrong, `name` or `index`, and why; `None` if one may. Phones
/// may know names that the catalogue does not, so unknown names pass.
pub fn setting_fault(key: &ItemKey) -> Option<(&'static str, String)> {
    if let Some(reason) = name_fault(key) {
        return Some(("name", reason));
    }
    let name = key.name();
    match (entry_of(key)?.indexed, key.index()) {
        (Indexed::No, Some(_)) => Some(("index", format!("{name} takes no index"))),
        (Indexed::Yes, None) => Some(("index", format!("{name} needs an index"))),
        _ => None,
    }
}

fn name_fault(key: &ItemKey) -> Option<String> {
    let name = key.name();
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("1 to 64 visible ASCII characters without blanks".into());
    }
    // These drive the protocol; a template must not reach them.
    if matches!(
        name,
        "goto-secure-mode"
            | "secure-mode-data"
            | "max-pin-retries"
            | "dls-client-certificate"
            | "dls-server-ca"
            | "dls-secure-port"
            | "dls-mode-secure"
    ) {
        return Some(format!("{name} is set through the device's secure mode"));
    }
    match entry_of(key)?.access {
        Access::ReadOnly => Some(format!("{name} is read only")),
        Access::Message => Some(format!("{name} is a control item, not a setting")),
        Access::ReadWrite | Access::WriteOnly => None,
    }
}

fn value_fault(key: &ItemKey, value: &str, bounds: &TemplateBounds) -> Option<String> {
    if let Some(reason) = text_fault(value, bounds.value_bytes) {
        return Some(reason);
    }
    let pattern = match Pattern::parse(value) {
        Ok(pattern) => pattern,
        Err(error) => return Some(error.to_string()),
    };
    // What variables yield is known per device only.
    kind_fault(key, pattern.literal()?)
}

/// Why a value with its variables put in cannot be written at `key`; `None` if it can.
pub(super) fn expanded_fault(key: &ItemKey, value: &str, value_bytes: usize) -> Option<String> {
    text_fault(value, value_bytes).or_else(|| kind_fault(key, value))
}

fn text_fault(value: &str, value_bytes: usize) -> Option<String> {
    if value.len() > value_bytes {
        return Some(format!("at most {value_bytes} bytes, not {}", value.len()));
    }
    // The last two are no characters in XML 1.0 either (section 2.2).
    let unfit = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let at = value.chars().position(unfit)?;
    let at = at + 1;
    Some(format!("character {at} cannot be sent to a phone: no control characters, nor U+FFFE and U+FFFF"))
}

/// Whether the catalogue's kind allows this value. NULL clears any item.
fn kind_fault(key: &ItemKey, literal: &str) -> Option<String> {
    if literal == "NULL" {
        return None;
    }
    match entry_of(key)?.kind {
        Kind::Bool if !matches!(literal, "true" | "false") => Some("true, false or NULL".into()),
        Kind::Integer if literal.parse::<i64>().is_err() => Some("a decimal number or NULL".into()),
        Kind::Port if literal.parse::<u16>().is_err() => {
            Some("a port number from 0 to 65535, or NULL".into())
        }
        Kind::Ipv4 if literal.parse::<std::net::Ipv4Addr>().is_err() => {
            Some("an IPv4 address or NULL".into())
        }
        _ => None,
    }
}

/// Version of the record form that this build writes. Older ones stay readable.
pub(super) const VERSION: u8 = 1;

/// A record that cannot be read as a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplateRecord {
    /// Written by a newer Callboard.
    #[error("template record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed template record: {0}")]
    Malformed(postcard::Error),
}

/// Pack a template.
pub fn encode(template: &Template) -> Result<Vec<u8>, BadTemplateRecord> {
    postcard::to_extend(template, vec![VERSION]).map_err(BadTemplateRecord::Malformed)
}

/// Unpack a template.
pub fn decode(bytes: &[u8]) -> Result<Template, BadTemplateRecord> {
    match bytes.split_first() {
        Some((&VERSION, payload)) => postcard::from_bytes(payload).map_err(BadTemplateRecord::Malformed),
        Some((&version, _)) if version > VERSION => Err(BadTemplateRecord::Newer(version)),
        _ => Err(BadTemplateRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::secret::KEY_LEN;

    pub(crate) fn template(id: u64, ranking: u32, items: &[(&str, Option<u32>, &str)]) -> Template {
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        Template {
            id: TemplateId::from_u64(id),
            revision: 1,
            name: format!("t{id}").into(),
            description: "".into(),
            kind: TemplateKind::Default,
            ranking,
            device_types: Vec::new(),
            software_types: Vec::new(),
            applies_to: AppliesTo::All,
            items: items
                .iter()
                .map(|(name, index, value)| {
                    TemplateItem::new(ItemKey::new(name, *index), value, &vault).unwrap()
                })
                .collect(),
            created: Timestamp::default(),
            changed: Timestamp::default(),
        }
    }

    fn faults(items: &[(&str, Option<u32>, &str)]) -> Vec<Fault> {
        template(1, 1, items).faults(&TemplateBounds::default(), &Vault::new(&[1; KEY_LEN]).unwrap())
    }

    #[test]
    fn ids_have_one_spelling() {
        let id = TemplateId::from_u64(0xabc);
        assert_eq!(id.to_string(), "000000000abc");
        assert_eq!("000000000abc".parse(), Ok(id));
        for bad in ["abc", "000000000ABC", "+00000000abc", "0000000000abc"] {
            assert_eq!(bad.parse::<TemplateId>(), Err(BadTemplate::Id), "{bad}");
        }
    }

    #[test]
    fn a_sound_template_has_no_faults() {
        let items = [
            ("sntp-addr", None, "ntp.example.net"),
            ("key-label-unicode", Some(1), "%%{e164,$-4}"),
            ("dial-plan-enabled", None, "NULL"),
            ("sip-pwd", None, "secret"),
            ("name-of-tomorrow", Some(3), "x"),
            ("reg-port", None, "%%{e164,$-4}"),
        ];
        assert_eq!(faults(&items), []);
    }

    #[test]
    fn each_fault_names_its_field() {
        let items = [
            ("device-type", None, "X"),
            ("restart-type", None, "X"),
            ("sntp-addr", Some(1), "x"),
            ("alert", None, "x"),
            ("dhcp", None, "yes"),
            ("reg-port", None, "70000"),
            ("sntp-tz-offset", None, "one"),
            ("hostname", None, "%%{mac"),
            ("hostname", None, "x"),
            ("a b", None, "x"),
            ("goto-secure-mode", None, "nopin"),
        ];
        let fields: Vec<_> = faults(&items).into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "items[0].name",
                "items[1].name",
                "items[2].index",
                "items[3].index",
                "items[4].value",
                "items[5].value",
                "items[6].value",
                "items[7].value",
                "items[8]",
                "items[9].name",
                "items[10].name",
            ]
        );
    }

    #[test]
    fn what_xml_cannot_hold_is_refused() {
        for bad in ["ab\u{1}", "ab\u{fffe}", "ab\u{ffff}", "ab\u{85}"] {
            let found = faults(&[("realm", None, bad)]);
            assert_eq!((found.len(), &*found[0].field), (1, "items[0].value"), "{bad:?}");
            assert!(found[0].reason.starts_with("character 3 cannot"), "{}", found[0].reason);
        }
        assert_eq!(faults(&[("realm", None, "a\tb\r\n\u{fffd}\u{10ffff}")]), []);
    }

    #[test]
    fn faults_of_secrets_do_not_repeat_them() {
        let parts = ["%%{hunter2}", "%%{mac,hunter2}", "%%{mac,$hunter2}", "hunter2%%{mac", "hunter2\u{1}"];
        for value in parts {
            for name in ["sip-pwd", "admin-pwd"] {
                let found = faults(&[(name, None, value)]);
                assert_eq!((found.len(), &*found[0].field), (1, "items[0].value"), "{value}");
                assert!(found[0].reason.contains("character "), "{}", found[0].reason);
                assert!(!found[0].reason.contains("hunter2"), "{}", found[0].reason);
            }
        }
    }

    #[test]
    fn records_come_back_and_hide_secrets() {
        let template = template(7, 3, &[("sip-pwd", None, "hunter2"), ("realm", None, "example")]);
        let bytes = encode(&template).unwrap();
        assert_eq!(decode(&bytes).unwrap(), template);
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
        assert_eq!(decode(&[9]), Err(BadTemplateRecord::Newer(9)));
    }
}
