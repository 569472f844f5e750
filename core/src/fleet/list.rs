//! Lists of devices, page by page in the order of their ids.

use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;

use super::Fleet;
use crate::device::{Device, DeviceId, DeviceState, SecureMode};
use crate::policy::TemplateId;

/// Which devices are wanted. Empty fields want all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub state: Option<DeviceState>,
    /// In this mode.
    pub secure_mode: Option<SecureMode>,
    /// Of this device type, in any letter case.
    pub device_type: Option<String>,
    /// Of this software type, in any letter case.
    pub software_type: Option<String>,
    /// With this software version.
    pub software_version: Option<String>,
    /// With this template assigned.
    pub template: Option<TemplateId>,
    /// With template items that cannot be applied (`true`) or without (`false`).
    pub faults: Option<bool>,
    /// With items that the phone refused (`true`) or without (`false`).
    pub refused: Option<bool>,
    /// With this text in id, number, type, version, part number or address, in any letter case.
    pub text: Option<String>,
}

impl Filter {
    /// Makes the filter ready to look at many devices.
    fn ready(&self) -> Ready<'_> {
        Ready { filter: self, text: self.text.as_deref().map(Search::new) }
    }
}

/// A filter with its text brought into the forms that are sought, once for all devices.
struct Ready<'a> {
    filter: &'a Filter,
    text: Option<Search>,
}

impl Ready<'_> {
    /// Whether a device is wanted.
    fn wants(&self, device: &Device) -> bool {
        let filter = self.filter;
        let same = |wanted: &Option<String>, own: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.trim().eq_ignore_ascii_case(own.trim()))
        };
        filter.state.is_none_or(|state| device.state() == state)
            && filter.secure_mode.is_none_or(|mode| device.security.mode == mode)
            && same(&filter.device_type, &device.identity.device_type)
            && same(&filter.software_type, &device.identity.software_type)
            && same(&filter.software_version, &device.identity.software_version)
            && filter.template.is_none_or(|template| device.templates.contains(&template))
            && filter.faults.is_none_or(|faults| device.faults.is_empty() != faults)
            && filter.refused.is_none_or(|refused| device.refused.is_empty() != refused)
            && self.text.as_ref().is_none_or(|text| text.is_in(device))
    }
}

/// A text that is sought in devices.
struct Search {
    /// In lower case.
    text: String,
    /// As a part of a MAC address.
    mac: Option<String>,
}

impl Search {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        Self { mac: mac_digits(&text), text }
    }

    fn is_in(&self, device: &Device) -> bool {
        let identity = &device.identity;
        let has = |own: &str| own.contains(&self.text);
        has(&device.id.to_string())
            || self
                .mac
                .as_ref()
                .is_some_and(|digits| device.id.mac().is_some_and(|mac| hex(mac).contains(digits.as_str())))
            || device.contacts.source.is_some_and(|source| has(&source.to_string()))
            || [
                &*identity.e164,
                &*identity.basic_e164,
                &*identity.device_type,
                &*identity.software_type,
                &*identity.software_version,
                &*identity.part_number,
            ]
            .iter()
            .any(|own| has(&own.to_lowercase()))
    }
}

/// The digits of a text that is written like a MAC address or a part of one: `001ae8`, `00-1a-e8`, `001a.e812`. Other
/// numbers, such as IP addresses, are none.
fn mac_digits(text: &str) -> Option<String> {
    let is_separator = |c: char| matches!(c, ':' | '-' | '.');
    let text = text.trim().trim_matches(is_separator);
    // Shorter ones would be found in too many addresses.
    let written_so = match text.chars().find(|c| is_separator(*c)) {
        None => text.len() >= 6,
        Some('.') => {
            text.split('.').all(|group| group.len() <= 4) && text.split('.').any(|group| group.len() == 4)
        }
        Some(separator) => text.split(separator).all(|group| group.len() == 2),
    };
    let digits: String = text.chars().filter(|c| !is_separator(*c)).collect();
    let fits = written_so && digits.len() <= 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then_some(digits)
}

fn hex(mac: [u8; 6]) -> String {
    mac.iter().fold(String::with_capacity(12), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The devices.
    pub devices: Vec<Arc<Device>>,
    /// Where the next page begins: after this id. `None` at the end.
    pub next: Option<DeviceId>,
    /// Devices looked at, those included that the filter does not want.
    pub looked_at: usize,
}

/// Devices looked at for one page at the most, so that a rare text does not walk a million devices in one call. A page
/// that ends here may hold fewer devices than asked for, and still has a next one.
const LOOKED_AT: usize = 100_000;
/// Ids taken from the index at a time: its lock is held for as long as copying them takes.
const CHUNK: usize = 512;

impl Fleet {
    /// The devices after `after` that `filter` wants, at most `limit`.
    pub fn page(&self, after: Option<&DeviceId>, limit: usize, filter: &Filter) -> Page {
        self.page_while(after, limit, filter, &|| true)
    }

    /// Like [`Fleet::page`], as long as `go_on` says so: it is asked every few hundred devices. The page of a walk that was
    /// broken off holds what was found until then.
    pub fn page_while(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
        filter: &Filter,
        go_on: &dyn Fn() -> bool,
    ) -> Page {
        let filter = filter.ready();
        let mut page = Page::default();
        let mut last = after.cloned();
        loop {
            let ids = self.ids_after(last.as_ref(), CHUNK);
            if ids.is_empty() {
                return page;
            }
            if !go_on() {
                page.next = last;
                return page;
            }
            for id in ids {
                if page.devices.len() == limit || page.looked_at == LOOKED_AT {
                    page.next = last;
                    return page;
                }
                page.looked_at += 1;
                if let Some(device) = self.get(&id)
                    && filter.wants(&device)
                {
                    page.devices.push(device);
                }
                last = Some(id);
            }
        }
    }

    /// Ids after `after` in order, at most `limit`.
    pub fn ids_after(&self, after: Option<&DeviceId>, limit: usize) -> Vec<DeviceId> {
        let index = self.index.read();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        index.range::<DeviceId, _>((from, Bound::Unbounded)).take(limit).cloned().collect()
    }
}
