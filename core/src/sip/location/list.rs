//! Lists of bindings, page by page.

use super::super::binding::{Binding, Liveness, Transport};
use super::{Location, SHARDS};
use crate::device::DeviceId;
use crate::time::Timestamp;

/// Slots of a shard that are looked at under one lock.
const STRETCH: u32 = 1_024;

/// Slots that are looked at for one page.
const LOOKED_AT: u32 = 100_000;

/// Which bindings are wanted. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingFilter {
    /// Text in the address-of-record, in any case.
    pub aor: Option<Box<str>>,
    /// Text in what the endpoint says it is, in any case.
    pub user_agent: Option<Box<str>>,
    /// The transport.
    pub transport: Option<Transport>,
    /// What is known of the endpoint.
    pub state: Option<Liveness>,
    /// Whether a NAT stands between.
    pub nat: Option<bool>,
    /// The device.
    pub device: Option<DeviceId>,
    /// Whether it belongs to a device at all.
    pub has_device: Option<bool>,
}

impl BindingFilter {
    fn takes(&self, aor: &str, binding: &Binding) -> bool {
        let has = |text: &str, part: &Option<Box<str>>| {
            part.as_ref().is_none_or(|part| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
        };
        self.transport.is_none_or(|transport| binding.flow.transport == transport)
            && self.state.is_none_or(|state| binding.liveness == state)
            && self.nat.is_none_or(|nat| binding.nat == nat)
            && self.has_device.is_none_or(|has| binding.device.is_some() == has)
            && self.device.as_ref().is_none_or(|device| binding.device.as_ref() == Some(device))
            && has(aor, &self.aor)
            && has(&binding.user_agent, &self.user_agent)
    }
}

/// Where a page ended: bindings have no other order than that of their places in memory, so that no order has to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// Shard to go on with.
    pub shard: u8,
    /// Slot in it to go on with.
    pub slot: u32,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Addresses-of-record, each with those of its bindings that are wanted.
    pub items: Vec<(Box<str>, Vec<Binding>)>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<ListPosition>,
}

impl Location {
    /// The next at most `limit` current bindings that `filter` takes, from `from` on. Those of one address-of-record stay together:
    /// if they alone are more than `limit`, there are more. One that is there throughout is listed once; one that comes or goes
    /// meanwhile may or may not be.
    ///
    /// No more than 100,000 places are looked at, and none any more as soon as `go_on` says so: a page may be empty and still have
    /// a next one.
    pub fn list(
        &self,
        from: ListPosition,
        limit: usize,
        filter: &BindingFilter,
        now: Timestamp,
        go_on: &dyn Fn() -> bool,
    ) -> ListPage {
        let mut page = ListPage::default();
        let (mut at, mut left, mut looked_at) = (from, limit, 0);
        while usize::from(at.shard) < SHARDS {
            if left == 0 || looked_at >= LOOKED_AT || !go_on() {
                page.next = Some(at);
                return page;
            }
            let begin = at;
            at = self.stretch(at, &mut left, filter, now, &mut page);
            let is_same = at.shard == begin.shard;
            looked_at += if is_same { at.slot.saturating_sub(begin.slot) } else { STRETCH };
        }
        page
    }

    /// Look at a stretch of one shard, for at most `left` bindings. Returns where to go on.
    fn stretch(
        &self,
        at: ListPosition,
        left: &mut usize,
        filter: &BindingFilter,
        now: Timestamp,
        page: &mut ListPage,
    ) -> ListPosition {
        let shard = self.shard(at.shard);
        let slots = u32::try_from(shard.slots()).unwrap_or(u32::MAX);
        let end = at.slot.saturating_add(STRETCH).min(slots);
        for slot in at.slot..end {
            let Some(entry) = shard.at(slot) else { continue };
            let wanted = |binding: &&Binding| binding.is_current(now) && filter.takes(&entry.aor, binding);
            let bindings: Vec<Binding> = entry.bindings.iter().filter(wanted).cloned().collect();
            if bindings.is_empty() {
                continue;
            }
            if bindings.len() > *left && !page.items.is_empty() {
                *left = 0;
                return ListPosition { shard: at.shard, slot };
            }
            *left = left.saturating_sub(bindings.len());
            page.items.push((entry.aor.clone(), bindings));
            if *left == 0 {
                return next(at.shard, slot + 1, slots);
            }
        }
        next(at.shard, end, slots)
    }
}

fn next(shard: u8, slot: u32, slots: u32) -> ListPosition {
    if slot < slots { ListPosition { shard, slot } } else { ListPosition { shard: shard + 1, slot: 0 } }
}
