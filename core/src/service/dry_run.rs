//! What would a template do, before it does it?

use std::sync::Arc;

use super::Service;
use crate::device::{Device, DeviceId, TemplateFault};
use crate::fleet::Filter;
use crate::item::ItemKey;
use crate::policy::{
    AppliesTo, DesiredItem, Facts, Fault, Occasion, Policy, Template, TemplateError, TemplateKind, difference,
};

/// One value that would be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWrite {
    /// Where.
    pub key: ItemKey,
    /// What the phone reported, if it can be shown and was reported.
    pub from: Option<String>,
    /// What it would get, if it can be shown.
    pub to: Option<String>,
}

/// One device that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRunDevice {
    /// Which.
    pub id: DeviceId,
    /// What would be written.
    pub writes: Vec<PlannedWrite>,
    /// What could not be.
    pub faults: Vec<TemplateFault>,
}

/// A part of a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Devices that would change.
    pub devices: Vec<DryRunDevice>,
    /// Devices compared.
    pub looked_at: usize,
    /// Of these, the ones past their first contact, which an onboarding template no longer reaches; 0 for other kinds.
    pub past_onboarding: usize,
    /// Where to go on. `None` at the end.
    pub next: Option<DeviceId>,
}

/// Devices that the filter wants and that are compared in one call.
const COMPARED: usize = 5_000;
/// Devices looked at in one call, those included that the filter does not want.
const LOOKED_AT: usize = 100_000;

impl Service {
    /// What would change at the devices after `after` that `filter` wants, if `candidate` were stored, and, with
    /// `assume_assigned`, assigned to all of them. Gives at most `limit` devices. Is broken off when `go_on` says no: it is
    /// asked after a hundred devices compared, and every few hundred looked at.
    pub fn dry_run(
        &self,
        mut candidate: Template,
        assume_assigned: bool,
        filter: &Filter,
        after: Option<&DeviceId>,
        limit: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<DryRun, TemplateError> {
        let faults: Vec<Fault> = candidate.faults(self.templates.bounds(), self.vault());
        if !faults.is_empty() {
            return Err(TemplateError::Faults(faults));
        }
        if assume_assigned {
            candidate.applies_to = AppliesTo::All;
        }
        let onboarding = candidate.kind == TemplateKind::Onboarding;
        let now = self.templates.policy();
        let id = candidate.id;
        let others = now.templates().filter(|template| template.id != id).cloned();
        let then = Policy::new(others.chain([Arc::new(candidate)]), self.vault())
            .with_bounds(self.templates.bounds());

        let mut run = DryRun::default();
        let mut last = after.cloned();
        let mut passed = 0;
        while run.looked_at < COMPARED && passed < LOOKED_AT && go_on() {
            let page = self.fleet.page_while(last.as_ref(), 100.min(COMPARED - run.looked_at), filter, go_on);
            passed += page.looked_at;
            for device in &page.devices {
                if run.devices.len() == limit {
                    run.next = last;
                    return Ok(run);
                }
                run.looked_at += 1;
                run.past_onboarding += usize::from(onboarding && device.onboarded);
                run.devices.extend(self.compare(device, &now, &then));
                last = Some(device.id.clone());
            }
            match page.next {
                Some(next) => last = Some(next),
                None => return Ok(run),
            }
        }
        run.next = last;
        Ok(run)
    }

    fn compare(&self, device: &Device, now: &Policy, then: &Policy) -> Option<DryRunDevice> {
        let plan = |policy: &Policy| {
            let desired = policy.desired(Facts::of(device), occasion(device));
            difference(desired, device, &device.reported, self.vault())
        };
        let (before, after) = (plan(now), plan(then));
        let planned = |item: &DesiredItem| {
            before.writes.iter().any(|old| old.key == item.key && old.value == item.value)
        };
        let writes: Vec<_> =
            after.writes.iter().filter(|item| !planned(item)).map(|item| shown(device, item)).collect();
        let faults: Vec<_> =
            after.faults.into_iter().filter(|fault| !before.faults.contains(fault)).collect();
        (!writes.is_empty() || !faults.is_empty()).then(|| DryRunDevice {
            id: device.id.clone(),
            writes,
            faults,
        })
    }
}

/// What the device's next contact is to policy.
pub(super) fn occasion(device: &Device) -> Occasion {
    if device.onboarded { Occasion::Later } else { Occasion::FirstContact }
}

fn shown(device: &Device, item: &DesiredItem) -> PlannedWrite {
    let secret = item.key.is_secret();
    let reported = device.reported.get(item.key.name_ref(), item.key.index());
    PlannedWrite {
        from: reported.and_then(|entry| entry.value.text()).map(std::borrow::Cow::into_owned),
        to: (!secret).then(|| item.value.expose().to_owned()),
        key: item.key.clone(),
    }
}
