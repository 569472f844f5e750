//! Subscriptions to profiles (RFC 6665): phones that want to hear when their URL changes.
//!
//! In memory only: after a restart a phone that refreshes is told that there is no such subscription (481) and subscribes anew.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Unbounded};

use foldhash::fast::RandomState;

use crate::network::{Network, counted_as};
use crate::sip::binding::Flow;
use crate::sip::profile::{Asker, BodyForm, Profile, ProfileType};
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::wheel::Wheel;

/// Slots of the wheel and their milliseconds: an hour. What ends later comes at the horizon and goes in again.
const SLOTS: usize = 3_600;
const TICK_MS: u64 = 1_000;

/// A subscription's number: its tag of ours.
pub type SubscriptionId = u64;

/// The dialogue of a subscription, as far as requests of this server need it (RFC 3261, section 12.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// `Call-ID`.
    pub call_id: Box<str>,
    /// Our side: the `To` of the SUBSCRIBE with our tag.
    pub local: Box<str>,
    /// The phone's side: its `From`.
    pub remote: Box<str>,
    /// The tag in it. Phones of old have none.
    pub remote_tag: Option<Box<str>>,
    /// The URI of the phone's `Contact`.
    pub target: Box<str>,
    /// The way through proxies, first one first, separated by commas; empty if there are none.
    pub routes: Box<str>,
    /// The flow that the latest SUBSCRIBE came on.
    pub flow: Flow,
}

/// Which forms of a URL a phone takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// `application/url`.
    pub url: bool,
    /// `message/external-body`.
    pub external_body: bool,
}

impl Accepts {
    /// The form that a rule wants, or the other one if the phone takes only that; `None` if it takes neither.
    pub const fn choose(self, wanted: BodyForm) -> Option<BodyForm> {
        match (self.url, self.external_body) {
            (true, true) => Some(wanted),
            (true, false) => Some(BodyForm::Url),
            (false, true) => Some(BodyForm::ExternalBody),
            (false, false) => None,
        }
    }
}

/// A phone's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its dialogue.
    pub dialog: Dialog,
    /// `Event` as the phone wrote it.
    pub event: Box<str>,
    /// `id` in it.
    pub event_id: Option<Box<str>>,
    /// Who it is.
    pub asker: Asker,
    /// Which forms it takes.
    pub accepts: Accepts,
    /// What it was told last.
    pub profile: Profile,
    /// Since when.
    pub since: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires: Timestamp,
    /// `CSeq` of its latest SUBSCRIBE.
    pub remote_cseq: u32,
    /// `CSeq` of our latest NOTIFY.
    pub local_cseq: u32,
}

impl Subscription {
    /// Whole seconds until it ends, rounded up.
    pub fn expires_in(&self, now: Timestamp) -> u32 {
        u32::try_from(self.expires.since(now).as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
    }
}

/// A refresh: what a SUBSCRIBE within a dialogue says.
#[derive(Clone, Copy, Debug)]
pub struct Refresh<'a> {
    /// `Call-ID`.
    pub call_id: &'a str,
    /// The tag of `From`.
    pub remote_tag: Option<&'a str>,
    /// `id` of `Event`.
    pub event_id: Option<&'a str>,
    /// `CSeq`.
    pub cseq: u32,
    /// The address that it comes from.
    pub source: IpAddr,
    /// The new end.
    pub expires: Timestamp,
}

/// Why a refresh is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRefresh {
    /// There is no such subscription.
    #[error("there is no such subscription")]
    Unknown,
    /// An older request came late.
    #[error("an older request than the latest")]
    OutOfOrder,
}

/// How many subscriptions there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub all: usize,
    /// Of one address, or one network of IPv6.
    pub per_source: usize,
    /// Bits of an IPv6 address that count: who has one has all of such a network.
    pub ipv6_prefix: u32,
    /// Whose addresses have no bound of their own.
    pub exempt: Vec<Network>,
}

impl Bounds {
    /// As many as these, of which one address may have so many.
    pub const fn new(all: usize, per_source: usize) -> Self {
        Self { all, per_source, ipv6_prefix: 64, exempt: Vec::new() }
    }

    /// Whether an address has no bound of its own.
    pub fn is_exempt(&self, source: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(source))
    }

    fn of(&self, source: IpAddr) -> usize {
        if self.is_exempt(source) { usize::MAX } else { self.per_source }
    }
}

/// As many subscriptions as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// In all.
    #[error("there are {0} subscriptions already")]
    All(usize),
    /// Of one address.
    #[error("there are {0} subscriptions of one address already")]
    OfSource(usize),
}

/// A phone at an address: it has one subscription of a kind, the latest.
type Phone = ([u8; 6], ProfileType, IpAddr);

fn phone(one: &Subscription) -> Option<Phone> {
    Some((one.asker.mac?, one.asker.profile_type, one.dialog.flow.remote.ip()))
}

/// A subscription in the table.
#[derive(Debug)]
struct Kept {
    one: Subscription,
    /// Under which phone it is found: the one that it began with.
    phone: Option<Phone>,
    /// The network that it began from.
    source: IpAddr,
    /// When it comes out of the wheel. What comes out for another time was put in before it, and is nothing any more.
    wakes: Timestamp,
}

/// All subscriptions.
#[derive(Debug)]
pub struct Subscriptions {
    table: BTreeMap<SubscriptionId, Box<Kept>>,
    phones: HashMap<Phone, SubscriptionId, RandomState>,
    sources: Tally<IpAddr>,
    wheel: Wheel<(SubscriptionId, Timestamp)>,
    bounds: Bounds,
    walk: Walk,
    /// How often the rules have changed.
    changes: u64,
}

/// How far the subscriptions were looked at after the rules changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// All of them.
    Done,
    /// Not yet.
    Begun,
    /// Up to this one.
    Past(SubscriptionId),
}

impl Subscriptions {
    /// None.
    pub fn new(bounds: Bounds, now: Timestamp) -> Self {
        Self {
            table: BTreeMap::new(),
            phones: HashMap::default(),
            sources: Tally::default(),
            wheel: Wheel::new(now, SLOTS, TICK_MS),
            bounds,
            walk: Walk::Done,
            changes: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One more. An older one of the same phone at the same address and for the same kind of profile ends without a word: the
    /// phone has forgotten it.
    ///
    /// # Errors
    /// [`TooMany`]; nothing is changed then.
    pub fn add(&mut self, id: SubscriptionId, one: Subscription) -> Result<(), TooMany> {
        let older =
            phone(&one).and_then(|phone| self.phones.get(&phone).copied()).filter(|older| *older != id);
        let address = one.dialog.flow.remote.ip();
        let source = counted_as(address, self.bounds.ipv6_prefix);
        self.has_room([older, Some(id)].into_iter().flatten(), source, self.bounds.of(address))?;
        for gone in [older, Some(id)].into_iter().flatten() {
            self.end(gone);
        }
        let (phone, wakes) = (phone(&one), one.expires);
        if let Some(phone) = phone {
            self.phones.insert(phone, id);
        }
        self.sources.join(source);
        self.wheel.insert(wakes, (id, wakes));
        self.table.insert(id, Box::new(Kept { one, phone, source, wakes }));
        Ok(())
    }

    /// Whether one more may be from `source`, which may have `most`, when those that it `replaces` are gone.
    fn has_room(
        &self,
        replaces: impl Iterator<Item = SubscriptionId>,
        source: IpAddr,
        most: usize,
    ) -> Result<(), TooMany> {
        let (mut all, mut of_source) = (self.table.len(), self.sources.of(&source));
        for gone in replaces.filter_map(|id| self.table.get(&id)) {
            all -= 1;
            of_source -= usize::from(gone.source == source);
        }
        if all >= self.bounds.all {
            return Err(TooMany::All(self.bounds.all));
        }
        if of_source >= most {
            return Err(TooMany::OfSource(most));
        }
        Ok(())
    }

    /// One of them.
    pub fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.table.get_mut(&id).map(|kept| &mut kept.one)
    }

    /// The one that a SUBSCRIBE within a dialogue is for. The number of the request and the new end are noted.
    ///
    /// # Errors
    /// Why there is none.
    pub fn refresh(
        &mut self,
        id: SubscriptionId,
        refresh: &Refresh<'_>,
    ) -> Result<&mut Subscription, NoRefresh> {
        let Kept { one, wakes, .. } = &mut **self.table.get_mut(&id).ok_or(NoRefresh::Unknown)?;
        let is_it = *one.dialog.call_id == *refresh.call_id
            && one.dialog.remote_tag.as_deref() == refresh.remote_tag
            && one.event_id.as_deref() == refresh.event_id
            // Else whoever knows the dialogue could have NOTIFYs sent to an address that it forges. A phone that has another
            // address subscribes anew.
            && one.dialog.flow.remote.ip() == refresh.source;
        if !is_it {
            return Err(NoRefresh::Unknown);
        }
        if refresh.cseq <= one.remote_cseq {
            return Err(NoRefresh::OutOfOrder);
        }
        one.remote_cseq = refresh.cseq;
        if refresh.expires < *wakes {
            *wakes = refresh.expires;
            self.wheel.insert(refresh.expires, (id, refresh.expires));
        }
        one.expires = refresh.expires;
        Ok(one)
    }

    /// It is over.
    pub fn end(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let kept = self.table.remove(&id)?;
        if let Some(phone) = kept.phone
            && self.phones.get(&phone) == Some(&id)
        {
            self.phones.remove(&phone);
        }
        self.sources.leave(&kept.source);
        Some(kept.one)
    }

    /// End those whose time is over.
    pub fn expire(&mut self, now: Timestamp, mut ended: impl FnMut(Subscription)) {
        let mut due = Vec::new();
        self.wheel.advance(now, |alarm| due.push(alarm));
        for (id, at) in due {
            let Some(kept) = self.table.get_mut(&id).filter(|kept| kept.wakes == at) else { continue };
            let expires = kept.one.expires;
            if expires > now {
                kept.wakes = expires;
                self.wheel.insert(expires, (id, expires));
            } else {
                self.end(id).into_iter().for_each(&mut ended);
            }
        }
    }

    /// The rules changed: all are to be looked at.
    pub fn rules_changed(&mut self) {
        self.walk = Walk::Begun;
        self.changes += 1;
    }

    /// How often the rules have changed: to be asked before a profile is looked up that is put in here later.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// A profile was put in that was looked up after so many changes: if there were more since, the walk over all may have passed its
    /// place before, and begins anew.
    pub fn looked_up_after(&mut self, changes: u64) {
        if self.changes != changes {
            self.walk = Walk::Begun;
        }
    }

    /// The next that are to be looked at because the rules changed, `most` at the most; none if all were.
    pub fn next_to_look_at(&mut self, most: usize) -> Vec<(SubscriptionId, Asker)> {
        let after = match self.walk {
            Walk::Done => return Vec::new(),
            Walk::Begun => Unbounded,
            Walk::Past(id) => Excluded(id),
        };
        let rest = self.table.range((after, Unbounded));
        let next: Vec<_> = rest.take(most).map(|(id, kept)| (*id, kept.one.asker.clone())).collect();
        self.walk = next.last().map_or(Walk::Done, |(id, _)| Walk::Past(*id));
        next
    }

    /// Those behind `after` in the order of their numbers, `most` at the most, and whether there are more.
    pub fn page(
        &self,
        after: Option<SubscriptionId>,
        most: usize,
    ) -> (Vec<(SubscriptionId, Subscription)>, bool) {
        let mut rest = self.table.range((after.map_or(Unbounded, Excluded), Unbounded));
        let page = rest.by_ref().take(most).map(|(id, kept)| (*id, kept.one.clone())).collect();
        (page, rest.next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_000);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn one(mac: u8, remote: &str, expires: u64) -> Subscription {
        let flow = Flow::udp(remote.parse().unwrap());
        Subscription {
            dialog: Dialog {
                call_id: "c".into(),
                local: "<sip:h>;tag=1".into(),
                remote: "<sip:h>;tag=2".into(),
                remote_tag: Some("2".into()),
                target: "sip:h".into(),
                routes: "".into(),
                flow,
            },
            event: "ua-profile".into(),
            event_id: None,
            asker: Asker { mac: Some([mac; 6]), ..Asker::default() },
            accepts: Accepts { url: true, external_body: false },
            profile: Profile { rule: "a".parse().unwrap(), url: "http://h".into(), form: BodyForm::Url },
            since: START,
            expires: at(expires),
            remote_cseq: 5,
            local_cseq: 0,
        }
    }

    fn none(per_source: usize) -> Subscriptions {
        let exempt = vec!["10.0.0.9".parse().unwrap()];
        Subscriptions::new(Bounds { exempt, ..Bounds::new(3, per_source) }, START)
    }

    #[test]
    fn a_phone_has_one_subscription_of_a_kind_and_others_theirs() {
        let mut all = none(2);
        for (id, one) in [
            (1, one(1, "10.0.0.1:5060", 60)),
            (2, one(1, "10.0.0.2:5060", 60)),
            (3, one(2, "10.0.0.1:5060", 60)),
        ] {
            all.add(id, one).unwrap();
        }
        assert_eq!(all.add(4, one(3, "10.0.0.1:5060", 60)), Err(TooMany::All(3)));
        assert!(all.end(2).is_some());
        assert_eq!(all.add(4, one(3, "10.0.0.1:5060", 60)), Err(TooMany::OfSource(2)));
        all.add(4, one(3, "10.0.0.3:5060", 60)).unwrap();
        all.add(4, one(3, "10.0.0.3:5060", 60)).expect("the same again is no more");
        assert_eq!([9, 8].map(|host| all.bounds.of([10, 0, 0, host].into())), [usize::MAX, 2]);
        all.add(5, one(1, "10.0.0.1:1024", 60)).unwrap();
        let page = |all: &Subscriptions, after, most| {
            let (page, more) = all.page(after, most);
            (page.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), more)
        };
        assert_eq!(page(&all, None, 2), (vec![3, 4], true));
        assert_eq!(page(&all, Some(4), 2), (vec![5], false));
        assert!(all.end(5).is_some() && all.end(5).is_none());
        assert_eq!((all.phones.len(), all.sources.len()), (2, 2));
    }

    #[test]
    fn a_refresh_is_of_the_dialogue_and_in_order() {
        let mut all = none(3);
        all.add(1, one(1, "10.0.0.1:5060", 60)).unwrap();
        let refresh = Refresh {
            call_id: "c",
            remote_tag: Some("2"),
            event_id: None,
            cseq: 6,
            source: "10.0.0.1".parse().unwrap(),
            expires: at(30),
        };
        for (id, other) in [
            (2, refresh),
            (1, Refresh { call_id: "d", ..refresh }),
            (1, Refresh { remote_tag: None, ..refresh }),
            (1, Refresh { event_id: Some("x"), ..refresh }),
            (1, Refresh { source: "10.0.0.2".parse().unwrap(), ..refresh }),
        ] {
            assert_eq!(all.refresh(id, &other).unwrap_err(), NoRefresh::Unknown);
        }
        assert!(all.refresh(1, &refresh).is_ok());
        assert_eq!(all.refresh(1, &refresh).unwrap_err(), NoRefresh::OutOfOrder);
        let mut ended = 0;
        all.expire(at(31), |_| ended += 1);
        assert_eq!(ended, 1, "it ends sooner than it would have");
    }

    #[test]
    fn after_a_change_of_the_rules_each_is_looked_at_once() {
        let mut all = none(3);
        for id in 1..4 {
            all.add(id, one(u8::try_from(id).unwrap(), "10.0.0.1:5060", 60)).unwrap();
        }
        assert!(all.next_to_look_at(9).is_empty());
        all.rules_changed();
        let mut next = || all.next_to_look_at(2).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!((next(), next(), next()), (vec![1, 2], vec![3], vec![]));
        assert!(next().is_empty());
        let before = all.changes();
        all.rules_changed();
        assert_eq!(all.next_to_look_at(9).len(), 3);
        all.looked_up_after(all.changes());
        assert!(all.next_to_look_at(9).is_empty());
        all.looked_up_after(before);
        assert_eq!(all.next_to_look_at(9).len(), 3, "one came in with what was true before");
    }

    proptest! {
        /// Whatever is refreshed and ended: each ends once, at its time, and nothing is left.
        #[test]
        fn each_ends_at_its_time(steps in prop::collection::vec((0_u64..40, 0_u8..5, 0_u64..9_000, any::<bool>()), 1..60)) {
            let mut all = Subscriptions::new(Bounds::new(100, 100), START);
            let mut now = 0;
            for (id, (pause, mac, life, ends)) in (0..).zip(steps) {
                now += pause;
                let mut early = 0;
                all.expire(at(now), |one| early += u64::from(one.expires > at(now)));
                prop_assert_eq!(early, 0);
                if ends { all.end(id / 2); }
                if let Some(one) = all.get_mut(id / 3) { one.expires = at(now + life); }
                all.add(id, one(mac, "10.0.0.1:5060", now + life)).unwrap();
                prop_assert_eq!(all.len(), all.phones.len());
            }
            let last = all.table.values().map(|kept| kept.one.expires).max();
            for _ in 0..10 {
                now += 3_000;
                all.expire(at(now), |_| {});
            }
            prop_assert!(all.is_empty() && all.phones.is_empty() && all.wheel.is_empty(), "{last:?}");
            prop_assert_eq!(all.sources.len(), 0);
        }
    }
}
