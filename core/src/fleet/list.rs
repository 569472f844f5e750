//! Lists of devices, page by page in the order of their ids.

use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;

use super::Fleet;
use crate::device::{Device, DeviceId, DeviceState, SecureMode};
use crate::job::JobId;
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
    /// With a task of this job.
    pub job: Option<JobId>,
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
            && filter.job.is_none_or(|job| device.tasks.iter().any(|task| task.job() == Some(job)))
            && self.text.as_ref().is_none_or(|text| text.is_in(device))
    }
}

/// A text that is sought in devices.
struct Search {
    /// In lower case.
    text: String,
    /// As a part of a MAC address.
    mac: Option<MacPart>,
}

impl Search {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        Self { mac: MacPart::parse(&text), text }
    }

    fn is_in(&self, device: &Device) -> bool {
        let identity = &device.identity;
        let has = |own: &str| own.contains(&self.text);
        has(&device.id.to_string())
            || self.mac.as_ref().is_some_and(|part| device.id.mac().is_some_and(|mac| part.is_in(mac)))
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

/// A MAC address or a part of one, as it is written: `001ae8`, `00-1a-e8`, `001a.e812`.
struct MacPart {
    /// Without separators, in lower case.
    digits: String,
    /// Digits between two separators; 1 without any, so that a run of digits is found anywhere.
    group: usize,
    /// Digits before the first separator.
    first: usize,
}

impl MacPart {
    /// `None` for other texts and numbers, such as IP addresses. `text` is in lower case.
    fn parse(text: &str) -> Option<Self> {
        let is_separator = |c: char| matches!(c, ':' | '-' | '.');
        let text = text.trim().trim_matches(is_separator);
        let separator = text.chars().find(|c| is_separator(*c));
        let groups: Vec<&str> =
            separator.map_or_else(|| vec![text], |separator| text.split(separator).collect());
        let first = groups[0].len();
        let (group, written_so) = match separator {
            // Shorter ones would be found in too many addresses.
            None => (1, first >= 6),
            // The outer groups may be cut.
            Some('.') => {
                let inner = &groups[1..groups.len() - 1];
                let whole = |group: &&str| group.len() == 4;
                let fits = groups.iter().all(|group| group.len() <= 4) && inner.iter().all(whole);
                (4, fits && groups.iter().any(whole))
            }
            Some(_) => (2, groups.iter().all(|group| group.len() == 2)),
        };
        let digits = groups.concat();
        let fits = written_so && digits.len() <= 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then_some(Self { digits, group, first })
    }

    /// Whether it is a part of this address, with its separators where those of the address are.
    fn is_in(&self, mac: [u8; 6]) -> bool {
        let mac = hex(mac);
        // Every place: they may overlap.
        (0..mac.len())
            .any(|at| (at + self.first).is_multiple_of(self.group) && mac[at..].starts_with(&self.digits))
    }
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
