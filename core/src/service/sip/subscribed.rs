//! Subscriptions that there are: refreshed, ended, told when their profile changes.

use std::time::Duration;

use super::Reaction;
use super::notify::State;
use super::subscribe::{Refused, Wish, read_target, tag_number};
use crate::service::Service;
use crate::sip::subscription::{NoRefresh, Refresh, Subscription, SubscriptionId};
use crate::time::Timestamp;

/// Subscriptions that are looked at in one tick after the rules changed.
const AT_ONCE: usize = 200;

const GONE: Refused = Refused::Status(481, "Subscription Does Not Exist");

impl Service {
    /// A SUBSCRIBE within a dialogue (RFC 6665, section 4.2.1.2): `tag` is the one of ours that it names.
    pub(super) fn resubscribe(
        &self,
        wish: &Wish<'_>,
        tag: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Reaction, Refused> {
        let asked = wish.asked;
        let text = |bytes| str::from_utf8(bytes).map_err(|_| GONE);
        let id = tag_number(text(tag)?).ok_or(GONE)?;
        // It may ask from there at all.
        if !self.sip.may_ask(asked, self.proven_device(asked.incoming.proof)) {
            return Err(Refused::Forbidden);
        }
        if self.sip.is_to_ask_later(asked.incoming.flow.remote.ip()) {
            return Err(Refused::Later);
        }
        let mut seconds = self.sip.granted(asked.request)?;
        let target = read_target(asked.request)?;
        let refresh = Refresh {
            call_id: text(wish.essentials.call_id)?,
            remote_tag: wish.essentials.from.tag().map(text).transpose()?,
            event_id: wish.event.id.map(text).transpose()?,
            cseq: wish.essentials.cseq.number,
            source: asked.incoming.flow.remote.ip(),
            expires: asked.now.plus(Duration::from_secs(seconds.into())),
        };
        // The rules and the fleet are asked without the lock.
        let (changes, asker) = {
            let mut subscriptions = self.sip.subscriptions.lock();
            let asker = subscriptions.get_mut(id).map(|one| one.asker.clone()).ok_or(GONE)?;
            (subscriptions.changes(), asker)
        };
        let profile = self.profile_of(&asker);
        let mut subscriptions = self.sip.subscriptions.lock();
        let one = subscriptions.refresh(id, &refresh).map_err(|why| match why {
            NoRefresh::Unknown => GONE,
            NoRefresh::OutOfOrder => Refused::Status(500, "CSeq Out Of Order"),
        })?;
        // It is told where it sends from.
        one.dialog.flow = asked.incoming.flow;
        one.dialog.target = target;
        let mut reason = "timeout";
        let form = profile.as_ref().and_then(|profile| one.accepts.choose(profile.form));
        if let Some(profile) = profile {
            one.profile = profile;
        } else {
            (seconds, reason) = (0, "noresource");
        }
        let state = if seconds > 0 { State::Active(seconds) } else { State::Ended(reason) };
        let notice = one.notice((seconds > 0).then_some(id), state, form);
        if seconds == 0 {
            subscriptions.end(id);
        }
        subscriptions.looked_up_after(changes);
        drop(subscriptions);
        Ok(self.sip.accept_subscribe(asked, seconds, notice, out))
    }

    /// What time brings: subscriptions end, and are looked at after the rules changed.
    pub(super) fn subscriptions_tick(&self, now: Timestamp) {
        let mut ended = Vec::new();
        self.sip.subscriptions.lock().expire(now, |one| ended.push(one));
        for mut one in ended {
            self.sip.notice(one.notice(None, State::Ended("timeout"), None), now);
        }
        if self.sip.has_notices_waiting() {
            return;
        }
        let next = self.sip.subscriptions.lock().next_to_look_at(AT_ONCE);
        for (id, asker) in next {
            let profile = self.profile_of(&asker);
            let mut subscriptions = self.sip.subscriptions.lock();
            let Some(one) = subscriptions.get_mut(id) else { continue };
            let form = profile.as_ref().and_then(|profile| one.accepts.choose(profile.form));
            let notice = match profile {
                Some(profile) if profile.url == one.profile.url => {
                    one.profile = profile;
                    continue;
                }
                Some(profile) => {
                    one.profile = profile;
                    let state = State::Active(one.expires_in(now));
                    one.notice(Some(id), state, form)
                }
                None => {
                    let Some(mut one) = subscriptions.end(id) else { continue };
                    one.notice(None, State::Ended("noresource"), None)
                }
            };
            drop(subscriptions);
            self.sip.notice(notice, now);
        }
    }

    /// Subscriptions behind `after`, in the order of their numbers, `most` at the most, and whether there are more.
    pub fn sip_subscriptions(
        &self,
        after: Option<SubscriptionId>,
        most: usize,
    ) -> (Vec<(SubscriptionId, Subscription)>, bool) {
        self.sip.subscriptions.lock().page(after, most)
    }
}
