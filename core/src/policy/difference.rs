//! The difference between what a phone should be and what it said it is.

use callboard_codecs::wpi::catalogue::{self, Access, Kind};

use super::evaluate::{Desired, DesiredItem};
use crate::device::{Device, TemplateFault};
use crate::item::{Entry, ItemKey, ItemSet, NameRef};
use crate::secret::Vault;

/// What has to be written to a phone, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Values to write, in the order of their keys.
    pub writes: Vec<DesiredItem>,
    /// Template items that this phone cannot have.
    pub faults: Vec<TemplateFault>,
    /// How many of them it has refused.
    pub refused: usize,
}

/// Compare `desired` with `reported`.
///
/// Written is only what differs, and only under names that the phone reported or that are known to be write-only
/// (WPI reference, section 10.1). What `device` refused before with the same value, and write-only values that it
/// already took, are left out.
pub fn difference(desired: Desired, device: &Device, reported: &ItemSet, vault: &Vault) -> Difference {
    let mut result = Difference { writes: Vec::new(), faults: desired.faults, refused: 0 };
    let mut cursor = reported.iter().peekable();
    // The name of the entry before the cursor: indexes of one name lie side by side.
    let mut passed: Option<NameRef<'_>> = None;
    for item in desired.items {
        let key = &item.key;
        while let Some(entry) = cursor.peek() {
            if (entry.name, entry.index) >= (key.name_ref(), key.index()) {
                break;
            }
            passed = Some(entry.name);
            cursor.next();
        }
        let next = cursor.peek().copied();
        let here = next.filter(|entry| (entry.name, entry.index) == (key.name_ref(), key.index()));
        let name_reported =
            passed == Some(key.name_ref()) || next.is_some_and(|entry| entry.name == key.name_ref());
        match verdict(&item, here, name_reported, device, vault) {
            Verdict::Equal => {}
            Verdict::Write => result.writes.push(item),
            Verdict::Refused(status) => {
                let reason = format!("the phone answered `{status}`").into_boxed_str();
                result.refused += 1;
                result.faults.push(TemplateFault { template: item.template, key: item.key, reason });
            }
            Verdict::Fault(reason) => {
                let reason = reason.into_boxed_str();
                result.faults.push(TemplateFault { template: item.template, key: item.key, reason });
            }
        }
    }
    result
}

enum Verdict {
    Equal,
    Write,
    /// The phone refused this very value, with this status.
    Refused(Box<str>),
    Fault(String),
}

fn verdict(
    item: &DesiredItem,
    here: Option<Entry<'_>>,
    name_reported: bool,
    device: &Device,
    vault: &Vault,
) -> Verdict {
    let value = item.value.expose();
    if let Some(entry) = here
        && entry.status.is_none()
        && same(&item.key, entry, value, vault)
    {
        return Verdict::Equal;
    }
    if let Some(refusal) = device.refused.iter().find(|refusal| refusal.key == item.key)
        && refusal.digest == vault.digest(value)
    {
        return Verdict::Refused(refusal.status.clone());
    }
    if let Some(status) = here.and_then(|entry| entry.status)
        && matches!(status, "unknown item" | "read only" | "not supported" | "invalid index")
    {
        return Verdict::Fault(format!("the phone reported `{status}`"));
    }
    let write_only =
        catalogue::lookup(item.key.name()).is_some_and(|id| catalogue::entry(id).access == Access::WriteOnly);
    if write_only || here.is_some_and(|entry| entry.status.is_some()) {
        let digest = vault.digest(value);
        let known = device.written.iter().any(|written| written.key == item.key && written.digest == digest);
        return if known { Verdict::Equal } else { Verdict::Write };
    }
    if name_reported { Verdict::Write } else { Verdict::Fault("the phone does not report this item".into()) }
}

/// Whether the phone's value is the wanted one, in the terms of phones: `NULL` clears, and words of truth come in
/// any case.
fn same(key: &ItemKey, entry: Entry<'_>, value: &str, vault: &Vault) -> bool {
    if entry.value.equals(value, vault) {
        return true;
    }
    if value == "NULL" {
        return entry.value.equals("", vault);
    }
    let is_bool = catalogue::lookup(key.name()).is_some_and(|id| catalogue::entry(id).kind == Kind::Bool);
    is_bool && entry.value.text().is_some_and(|own| own.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Refusal, Written};
    use crate::item::ItemSetBuilder;
    use crate::policy::TemplateId;
    use crate::secret::{KEY_LEN, Secret};
    use crate::time::Timestamp;

    fn vault() -> Vault {
        Vault::new(&[1; KEY_LEN]).unwrap()
    }

    fn desired(items: &[(&str, Option<u32>, &str)]) -> Desired {
        let mut items: Vec<_> = items
            .iter()
            .map(|(name, index, value)| DesiredItem {
                key: ItemKey::new(name, *index),
                value: Secret::new(*value),
                template: TemplateId::from_u64(1),
            })
            .collect();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        Desired { items, faults: Vec::new() }
    }

    fn device(reported: &[(&str, Option<u32>, &str, Option<&str>)]) -> Device {
        let vault = vault();
        let mut builder = ItemSetBuilder::default();
        for (name, index, value, status) in reported {
            builder.push(name, *index, value, *status, &vault).unwrap();
        }
        let mut device = Device::new("00:1a:e8:0a:0b:0c".parse().unwrap());
        device.reported = builder.build(100).unwrap();
        device
    }

    fn writes(device: &Device, items: &[(&str, Option<u32>, &str)]) -> (Vec<String>, Vec<String>) {
        let result = difference(desired(items), device, &device.reported, &vault());
        (
            result.writes.iter().map(|item| item.key.to_string()).collect(),
            result.faults.iter().map(|fault| format!("{}: {}", fault.key, fault.reason)).collect(),
        )
    }

    #[test]
    fn only_what_differs_is_written() {
        let device = device(&[
            ("dhcp", None, "True", None),
            ("sntp-addr", None, "old", None),
            ("realm", None, "", None),
            ("alert", Some(1), "a", None),
            ("alert", Some(3), "c", None),
            ("sip-pwd", None, "same", None),
            ("name-of-tomorrow", None, "x", None),
        ]);
        let (writes, faults) = writes(
            &device,
            &[
                ("dhcp", None, "true"),
                ("sntp-addr", None, "new"),
                ("realm", None, "NULL"),
                ("alert", Some(1), "a"),
                ("alert", Some(2), "b"),
                ("alert", Some(4), "d"),
                ("sip-pwd", None, "same"),
                ("name-of-tomorrow", None, "y"),
            ],
        );
        assert_eq!(writes, ["sntp-addr", "alert[2]", "alert[4]", "name-of-tomorrow"]);
        assert!(faults.is_empty());
    }

    #[test]
    fn names_that_the_phone_does_not_know_are_faults() {
        let device = device(&[("dhcp", None, "true", None), ("vlan-id", None, "", Some("unknown item"))]);
        let (writes, faults) = writes(&device, &[("hostname", None, "x"), ("vlan-id", None, "7")]);
        assert!(writes.is_empty());
        assert_eq!(
            faults,
            ["hostname: the phone does not report this item", "vlan-id: the phone reported `unknown item`"]
        );
    }

    #[test]
    fn write_only_items_are_written_once_per_value() {
        let mut device = device(&[]);
        assert_eq!(writes(&device, &[("admin-pwd", None, "one")]).0, ["admin-pwd"]);
        device.written.push(Written { key: ItemKey::new("admin-pwd", None), digest: vault().digest("one") });
        assert!(writes(&device, &[("admin-pwd", None, "one")]).0.is_empty());
        assert_eq!(writes(&device, &[("admin-pwd", None, "two")]).0, ["admin-pwd"]);
    }

    #[test]
    fn a_refused_value_is_not_sent_again_but_another_is() {
        let mut device = device(&[("sntp-addr", None, "old", None)]);
        device.refused.push(Refusal {
            key: ItemKey::new("sntp-addr", None),
            digest: vault().digest("bad"),
            status: "invalid data".into(),
            at: Timestamp::default(),
        });
        let (none, faults) = writes(&device, &[("sntp-addr", None, "bad")]);
        assert!(none.is_empty());
        assert_eq!(faults, ["sntp-addr: the phone answered `invalid data`"]);
        assert_eq!(writes(&device, &[("sntp-addr", None, "good")]).0, ["sntp-addr"]);
    }
}
