//! What a dialogue learned about a device, to be laid over the device as it is when the dialogue ends.

use std::net::IpAddr;

use super::{
    Device, Identity, Offered, Refusal, Route, SecureMode, Security, TaskId, TaskOutcome, TaskState,
    TaskType, TemplateFault, Written, forget_oldest,
};
use crate::item::{ItemKey, ItemSet};
use crate::time::Timestamp;

/// Bounds on lists inside one device, so that no phone makes its record grow without end.
const MAX_REFUSED: usize = 500;
const MAX_FAULTS: usize = 500;
const MAX_WRITTEN: usize = 500;

/// Changes of one dialogue. Merged onto the current device, so that what an administrator did meanwhile stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceUpdate {
    /// The new identity.
    pub identity: Option<Identity>,
    /// An opening message came at this time.
    pub contact: Option<Timestamp>,
    /// It came from here.
    pub source: Option<IpAddr>,
    /// The way it took.
    pub route: Route,
    /// See [`Device::opened_with`].
    pub opened_with: u64,
    /// It was a `start-up`.
    pub started: bool,
    /// All items were read completely at this time.
    pub read: Option<Timestamp>,
    /// Policy's writes were accepted at this time.
    pub wrote: Option<Timestamp>,
    /// The new reported items.
    pub reported: Option<ItemSet>,
    /// Items refused in this dialogue.
    pub refused: Vec<Refusal>,
    /// Items accepted in this dialogue: their earlier refusals are forgotten.
    pub accepted: Vec<ItemKey>,
    /// Write-only items accepted.
    pub written: Vec<Written>,
    /// The faults that policy now sees, if it was evaluated.
    pub faults: Option<Vec<TemplateFault>>,
    /// Forget refusals: the firmware changed.
    pub forget_refusals: bool,
    /// Onboarding templates were considered.
    pub onboarded: bool,
    /// Steps of secure mode.
    pub security: Option<SecurityChange>,
    /// Steps of tasks.
    pub tasks: Vec<TaskChange>,
}

/// A step between default and secure mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityChange {
    /// Credentials are about to be handed out. Not taken if the mode was chosen anew since they were asked for.
    Offered {
        /// The series of the certificate in them.
        offered: Offered,
        /// [`Security::choice`] when they were asked for.
        choice: (SecureMode, Timestamp),
    },
    /// The phone accepted its credentials.
    Sent {
        /// Serial number (hex) of the client certificate.
        serial: Box<str>,
        /// When it ends.
        expires: Timestamp,
    },
    /// The phone proved itself at the secure door.
    Secured {
        /// Serial number (hex) of the certificate it came with.
        serial: Box<str>,
    },
    /// The phone came to the secure door with the new certificate it was given.
    Renewed {
        /// Serial number (hex) of that certificate.
        serial: Box<str>,
    },
    /// The phone left secure mode; how that is known, for people.
    Left(&'static str),
    /// Bootstrapping or leaving failed. Says nothing of a mode that was chosen meanwhile.
    Failed {
        /// Why, for people.
        reason: Box<str>,
        /// [`Security::choice`] when it was tried.
        choice: (SecureMode, Timestamp),
    },
    /// Bootstrapping failed because the TAN is wrong. Says nothing of a PIN that was chosen meanwhile.
    WrongTan {
        /// For people.
        reason: Box<str>,
        /// [`Security::choice`] when the TAN was asked for.
        choice: (SecureMode, Timestamp),
    },
}

impl SecurityChange {
    /// Whether a device in this state takes the step. It does not if an administrator chose otherwise while the dialogue
    /// went on: the choice stands.
    pub fn is_taken_in(&self, security: &Security) -> bool {
        let enabling = security.mode.is_enabling();
        match self {
            Self::Offered { choice, .. } => {
                *choice == security.choice() && (enabling || security.mode == SecureMode::Secure)
            }
            Self::Sent { serial, .. } => enabling && security.is_present(serial),
            Self::Secured { serial } => security.may_enter_with(serial),
            Self::Renewed { serial } => security.mode == SecureMode::Secure && security.knows(serial),
            Self::Left(_) => security.mode == SecureMode::Disabling,
            Self::Failed { choice, .. } => *choice == security.choice(),
            Self::WrongTan { choice, .. } => enabling && *choice == security.choice(),
        }
    }
}

/// A step of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskChange {
    /// Handed to the phone, which does not answer it in this flow.
    Sent {
        /// Which.
        id: TaskId,
        /// When.
        at: Timestamp,
        /// Until when an outcome has to show.
        until: Timestamp,
    },
    /// Over.
    Ended {
        /// Which.
        id: TaskId,
        /// When.
        at: Timestamp,
        /// How.
        outcome: TaskOutcome,
        /// In words for people; holds no secret.
        reason: Box<str>,
    },
}

impl TaskChange {
    /// Which task it is about.
    pub const fn id(&self) -> TaskId {
        match self {
            Self::Sent { id, .. } | Self::Ended { id, .. } => *id,
        }
    }
}

impl DeviceUpdate {
    /// Lay the changes over `device`, as a new revision.
    #[must_use]
    pub fn apply(self, device: &Device) -> Device {
        let mut new = device.clone();
        new.revision += 1;
        if let Some(identity) = self.identity {
            new.identity = identity;
        }
        if let Some(at) = self.contact {
            if new.contacts.first == Timestamp::default() {
                new.contacts.first = at;
            }
            new.contacts.last = at;
            if self.started {
                new.contacts.started = Some(at);
            }
            new.route = self.route;
            new.opened_with = self.opened_with;
        }
        new.contacts.source = self.source.or(new.contacts.source);
        new.contacts.read = self.read.or(new.contacts.read);
        new.contacts.written = self.wrote.or(new.contacts.written);
        if let Some(reported) = self.reported {
            new.reported = reported;
        }
        if self.forget_refusals {
            new.refused.clear();
            new.written.clear();
        }
        new.refused.retain(|old| !self.accepted.contains(&old.key));
        for refusal in self.refused {
            new.refused.retain(|old| old.key != refusal.key);
            new.refused.push(refusal);
        }
        keep_newest(&mut new.refused, MAX_REFUSED);
        for written in self.written {
            new.written.retain(|old| old.key != written.key);
            new.written.push(written);
        }
        keep_newest(&mut new.written, MAX_WRITTEN);
        if let Some(mut faults) = self.faults {
            faults.truncate(MAX_FAULTS);
            new.faults = faults;
        }
        new.onboarded |= self.onboarded;
        if let Some(change) = self.security {
            apply_security(&mut new, change, self.contact.unwrap_or_default());
        }
        for change in self.tasks {
            apply_task(&mut new, change);
        }
        new.settle_secure_mode(self.contact.unwrap_or_default());
        // Those of jobs are what their jobs are counted from.
        forget_oldest(&mut new.tasks, |task| task.job().is_some());
        new
    }
}

fn keep_newest<T>(list: &mut Vec<T>, most: usize) {
    if list.len() > most {
        list.drain(..list.len() - most);
    }
}

fn apply_security(device: &mut Device, change: SecurityChange, at: Timestamp) {
    let security = &mut device.security;
    if !change.is_taken_in(security) {
        return;
    }
    let failed = match &change {
        SecurityChange::Failed { reason, .. } | SecurityChange::WrongTan { reason, .. } => {
            Some(reason.clone())
        }
        _ => None,
    };
    match change {
        SecurityChange::Offered { offered, .. } => security.offer(offered),
        SecurityChange::Sent { serial, expires } => {
            security.certificate_serial = Some(serial);
            security.certificate_expires = Some(expires);
            (security.sent, security.fault) = (true, None);
        }
        SecurityChange::Secured { serial } => {
            security.enter(SecureMode::Secure, at);
            hold(security, serial);
            // Those that were never seen may be in the hands of strangers.
            security.offered.clear();
            security.wrong_tans = 0;
        }
        SecurityChange::Renewed { serial } => {
            // The others of its series were given over mutual TLS too: the phone may take a later one into use.
            security.offered.retain(|offered| offered.covers(&serial));
            hold(security, serial);
        }
        SecurityChange::Left(_) => {
            security.enter(SecureMode::Off, at);
            (security.certificate_serial, security.certificate_expires) = (None, None);
            security.offered.clear();
        }
        SecurityChange::Failed { reason, .. } => {
            (security.fault, security.sent) = (Some(reason), false);
        }
        SecurityChange::WrongTan { reason, .. } => {
            (security.fault, security.sent) = (Some(reason), false);
            security.wrong_tans = security.wrong_tans.saturating_add(1);
        }
    }
    if let Some(reason) = failed {
        device.fail_secure_mode(at, &reason);
    }
}

/// From now on this certificate is the phone's.
fn hold(security: &mut Security, serial: Box<str>) {
    if security.certificate_serial.as_ref() != Some(&serial) {
        // The end of this very one is not kept; it is not before that of the first in its series.
        security.certificate_expires =
            security.offered.iter().find(|offered| offered.covers(&serial)).map(|offered| offered.expires);
        security.certificate_serial = Some(serial);
    }
}

fn apply_task(device: &mut Device, change: TaskChange) {
    let Some(task) = device.tasks.iter_mut().find(|task| task.id == change.id()) else { return };
    if let TaskChange::Ended { at, outcome: TaskOutcome::Failed, .. } = change {
        let refused = task.clone();
        device.reset_refused(&refused, at);
    }
    let Some(task) = device.tasks.iter_mut().find(|task| task.id == change.id()) else { return };
    match change {
        TaskChange::Sent { at, until, .. } if task.is_pending() => {
            task.state = TaskState::Running { since: at, until };
            // The phone forgets its certificate: it comes to the default door, and that is no attack.
            if task.task_type == TaskType::FactoryReset && device.security.mode == SecureMode::Secure {
                device.security.enter(SecureMode::Disabling, at);
            }
        }
        // Taken back while it was on its way.
        TaskChange::Sent { .. } => {}
        TaskChange::Ended { at, outcome, reason, .. } => task.end(at, outcome, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Series;
    use crate::policy::TemplateId;

    fn device() -> Device {
        Device::new("00:1a:e8:00:00:01".parse().unwrap())
    }

    #[test]
    fn an_administrators_choice_survives_a_dialogue() {
        let mut changed = device();
        changed.templates.push(TemplateId::from_u64(5));
        changed.security.mode = SecureMode::Off;
        let update = DeviceUpdate {
            security: Some(SecurityChange::Secured { serial: "01".into() }),
            ..DeviceUpdate::default()
        };
        let new = update.apply(&changed);
        assert_eq!(new.templates.as_slice(), [TemplateId::from_u64(5)]);
        assert_eq!(new.security.mode, SecureMode::Off);
        assert_eq!(new.revision, changed.revision + 1);
    }

    fn step(device: &Device, security: SecurityChange) -> Device {
        DeviceUpdate { security: Some(security), ..DeviceUpdate::default() }.apply(device)
    }

    fn of(series: Series, number: u64) -> String {
        format!("{}{number:016x}", series.to_hex())
    }

    /// Handed out at this time, and ending a thousand later.
    fn offered(asked: &Device, series: Series, at: u64) -> SecurityChange {
        let (at, expires) = (Timestamp::from_millis(at), Timestamp::from_millis(at + 1_000));
        let choice = asked.security.choice();
        SecurityChange::Offered { offered: Offered::series(series, at, expires), choice }
    }

    #[test]
    fn what_was_made_for_an_earlier_choice_is_not_taken() {
        let mut device = device();
        device.security = device.security.chosen(SecureMode::EnablingNoPin, Timestamp::from_millis(1), None);
        let late = offered(&device, Series::new(1), 5);
        for (mode, since) in [(SecureMode::EnablingDefaultPin, 1), (SecureMode::EnablingNoPin, 2)] {
            let mut changed = device.clone();
            changed.security = changed.security.chosen(mode, Timestamp::from_millis(since), None);
            assert!(!step(&changed, late.clone()).security.may_hold_certificate(), "{mode:?}");
        }
        assert_eq!(step(&device, late).security.series(), Some(Series::new(1)));
    }

    #[test]
    fn what_failed_under_an_earlier_choice_does_not_count_against_a_new_one() {
        let mut device = device();
        let since = Timestamp::from_millis(1);
        device.security = device.security.chosen(SecureMode::EnablingIndividualPin, since, None);
        let choice = device.security.choice();
        let mut anew = device.clone();
        anew.security =
            anew.security.chosen(SecureMode::EnablingIndividualPin, Timestamp::from_millis(2), None);
        for (change, tans) in [
            (SecurityChange::WrongTan { reason: "wrong".into(), choice }, 1),
            (SecurityChange::Failed { reason: "wrong".into(), choice }, 0),
        ] {
            let failed = step(&device, change.clone()).security;
            assert_eq!((failed.wrong_tans, failed.fault.as_deref()), (tans, Some("wrong")));
            assert_eq!(step(&anew, change).security, anew.security);
        }
    }

    #[test]
    fn a_certificate_given_before_the_pin_was_chosen_does_not_enter_secure_mode() {
        let mut device = device();
        device.security.mode = SecureMode::EnablingNoPin;
        let (old, new) = (Series::new(1), Series::new(2));
        device = step(&device, offered(&device, old, 1));
        let sent = SecurityChange::Sent { serial: of(old, 1).into(), expires: Timestamp::default() };
        let taken = step(&device, sent.clone());
        for mut device in [device, taken] {
            let now = Timestamp::from_millis(9);
            device.security = device.security.chosen(SecureMode::EnablingIndividualPin, now, None);
            device = step(&device, offered(&device, new, 10));
            assert_eq!(device.security.series(), Some(new));
            device = step(&device, sent.clone());
            assert!(!device.security.sent, "it is told too late");
            assert!(device.security.admits(&of(old, 1)), "it is told to leave");
            let entered =
                |number: &str| step(&device, SecurityChange::Secured { serial: number.into() }).security.mode;
            assert_eq!(entered(&of(old, 1)), SecureMode::EnablingIndividualPin);
            assert_eq!(entered(&of(new, 1)), SecureMode::Secure);
        }
    }

    #[test]
    fn beginning_anew_again_and_again_does_not_make_the_record_grow() {
        let mut device = device();
        for number in 1..=50 {
            let since = Timestamp::from_millis(number);
            device.security = device.security.chosen(SecureMode::EnablingNoPin, since, None);
            device = step(&device, offered(&device, Series::new(number), number));
        }
        assert_eq!(device.security.offered.len(), 9);
        assert!(
            device.security.knows(&of(Series::new(42), 1)) && !device.security.knows(&of(Series::new(41), 1))
        );
    }

    #[test]
    fn a_renewal_stays_good_until_the_next_one_begins() {
        let mut device = device();
        device.security.mode = SecureMode::Secure;
        device.security.certificate_serial = Some("01".into());
        let (one, other) = (Series::new(1), Series::new(2));
        device = step(&device, offered(&device, one, 1));
        device = step(&device, offered(&device, one, 3));
        assert_eq!(device.security.last_offer(), Some(Timestamp::from_millis(3)));
        device = step(&device, SecurityChange::Renewed { serial: of(one, 1).into() });
        let security = &device.security;
        assert_eq!(security.certificate_expires, Some(Timestamp::from_millis(1_001)));
        assert!(security.admits(&of(one, 2)) && !security.admits("01") && security.series().is_none());
        device = step(&device, SecurityChange::Renewed { serial: of(one, 2).into() });
        assert!(device.security.admits(&of(one, 1)));
        device = step(&device, offered(&device, other, 9));
        let security = &device.security;
        assert_eq!(security.series(), Some(other));
        assert!(security.admits(&of(one, 2)) && security.admits(&of(other, 1)));
        assert!(!security.admits(&of(one, 1)), "a new renewal ends the one before");
    }

    #[test]
    fn a_renewal_of_an_older_version_stays_good_until_the_phone_comes_with_another() {
        let mut device = device();
        device.security.mode = SecureMode::Secure;
        device.security.certificate_serial = Some("01".into());
        let ends = Timestamp::from_millis(7);
        device.security.offered.push(Offered::from((Box::<str>::from("02"), ends)));
        let (one, other) = (Series::new(1), Series::new(2));
        device = step(&device, offered(&device, one, 1));
        assert!(device.security.admits("02") && device.security.admits(&of(one, 1)));
        let came = step(&device, SecurityChange::Renewed { serial: "02".into() });
        assert!(came.security.admits("02") && !came.security.admits(&of(one, 1)));
        assert_eq!(came.security.certificate_expires, Some(ends));
        device = step(&device, SecurityChange::Renewed { serial: of(one, 1).into() });
        assert!(!device.security.admits("02") && device.security.admits(&of(one, 1)));
        device = step(&device, offered(&device, other, 9));
        assert_eq!(device.security.offered.len(), 1);
    }

    #[test]
    fn only_certificates_of_this_bootstrapping_are_good_and_in_the_end_one_is() {
        let mut device = device();
        device.security.mode = SecureMode::EnablingNoPin;
        let (one, other) = (Series::new(1), Series::new(2));
        for number in 1..=100 {
            device = step(&device, offered(&device, one, number));
        }
        device = step(&device, offered(&device, other, 0));
        assert_eq!((device.security.offered.len(), device.security.series()), (1, Some(one)));
        assert!(device.security.admits(&of(one, 1)) && device.security.admits(&of(one, 100)));
        assert!(!device.security.admits(&of(other, 1)) && !device.security.admits(&one.to_hex()));
        let foreign = step(&device, SecurityChange::Secured { serial: of(other, 4).into() });
        assert_eq!(foreign.security.mode, SecureMode::EnablingNoPin);
        let secured = step(&device, SecurityChange::Secured { serial: of(one, 4).into() });
        assert_eq!(secured.security.mode, SecureMode::Secure);
        assert_eq!(secured.security.certificate_expires, Some(Timestamp::from_millis(1_001)));
        assert!(secured.security.admits(&of(one, 4)) && !secured.security.admits(&of(one, 5)));
        assert_eq!(secured.security.series(), None, "a renewal begins another one");
    }

    #[test]
    fn an_accepted_write_forgets_its_refusal() {
        let key = ItemKey::new("sntp-addr", None);
        let refusal =
            Refusal { key: key.clone(), digest: 1, status: "failed".into(), at: Timestamp::default() };
        let refused = DeviceUpdate { refused: vec![refusal], ..DeviceUpdate::default() }.apply(&device());
        assert_eq!(refused.refused.len(), 1);
        let accepted = DeviceUpdate { accepted: vec![key], ..DeviceUpdate::default() }.apply(&refused);
        assert!(accepted.refused.is_empty());
    }

    #[test]
    fn refusals_are_bounded_and_the_newest_stay() {
        let refused = (0..600)
            .map(|index| Refusal {
                key: ItemKey::new("alert", Some(index)),
                digest: 1,
                status: "failed".into(),
                at: Timestamp::default(),
            })
            .collect();
        let new = DeviceUpdate { refused, ..DeviceUpdate::default() }.apply(&device());
        assert_eq!(new.refused.len(), MAX_REFUSED);
        assert_eq!(new.refused.last().unwrap().key.index(), Some(599));
    }
}
