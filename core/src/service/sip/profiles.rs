//! What administrators do about profiles, and what they see.

use std::sync::Arc;

use crate::name::ResourceName;
use crate::service::Service;
use crate::sip::profile::{Asker, Profile, ProfileError, Rule, RuleWish};

impl Service {
    /// Store a new rule, or another form of one. `create` and `expected` as for [`Service::put_realm`]. Phones with a subscription
    /// are told if it changes their URL.
    pub async fn put_profile(
        &self,
        wish: RuleWish,
        create: bool,
        expected: Option<u64>,
    ) -> Result<Arc<Rule>, ProfileError> {
        let (rule, ticket) = self.sip.profiles.put(wish, create, expected)?;
        // In force already, whoever waits for the disk.
        self.sip.subscriptions.lock().rules_changed();
        ticket.await?;
        let what = if rule.revision == 1 { "created" } else { "changed" };
        self.admin_event(None, format!("SIP profile {} {what}", rule.name));
        Ok(rule)
    }

    /// Forget a rule. Subscriptions that no other rule is for end.
    pub async fn delete_profile(
        &self,
        name: &ResourceName,
        expected: Option<u64>,
    ) -> Result<(), ProfileError> {
        let ticket = self.sip.profiles.remove(name, expected)?;
        self.sip.subscriptions.lock().rules_changed();
        ticket.await?;
        self.admin_event(None, format!("SIP profile {name} deleted"));
        Ok(())
    }

    /// What a phone is told that says this of itself.
    pub fn profile_of(&self, asker: &Asker) -> Option<Profile> {
        let is_known = || asker.device().is_some_and(|id| self.fleet.look(&id, |_| ()).is_some());
        self.sip.profiles.profile(asker, is_known)
    }
}
