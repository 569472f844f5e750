//! Bootstrapping and leaving secure mode (WPI reference, section 7).

use std::collections::VecDeque;
use std::time::Duration;

use callboard_codecs::wpi::Action;

use super::flow::{Awaiting, Collecting, Flow, Purpose};
use super::plan::cut;
use super::{Arrival, CleanUpReason, Context, Credentials, Door, Need, Next, Reply, Step};
use crate::device::{DeviceId, SecureMode, Security, SecurityChange};
use crate::event::{EventDraft, EventKind};
use crate::item::{ItemSet, ItemWrite, NameRef};
use crate::secret::{Secret, Vault};

/// Characters of the PIN that the phone sends back; the others are the password of the pack.
const TAN_CHARACTERS: usize = 3;

/// A phone that was given a new certificate and neither starts nor uses it is given another after this time.
const RENEWAL_PAUSE: Duration = Duration::from_hours(24);

/// A PIN cut into the password of the pack and the TAN.
pub fn split_pin(pin: &str) -> Option<(&str, &str)> {
    let at = pin.char_indices().rev().nth(TAN_CHARACTERS - 1)?.0;
    let (password, tan) = pin.split_at(at);
    (!password.is_empty()).then_some((password, tan))
}

/// Characters of a PIN.
const PIN_CHARACTERS: std::ops::RangeInclusive<usize> = 12..=32;
/// Fewest characters of a PIN of digits alone.
const PIN_DIGITS: usize = 16;

/// Why a PIN may not be used, for people; never a part of it.
///
/// Whoever has the pack tries passwords on it at his leisure, and a phone in default mode gives its pack to anybody who
/// poses as the server. The TAN does not help against that: the password alone must have too many possible values, which
/// are ten to the power of thirteen with digits.
pub fn pin_fault(pin: &str) -> Option<&'static str> {
    let long = PIN_CHARACTERS.contains(&pin.len()) && pin.bytes().all(|byte| byte.is_ascii_graphic());
    let strong = pin.len() >= PIN_DIGITS || !pin.bytes().all(|byte| byte.is_ascii_digit());
    (!long || !strong).then_some("12 to 32 visible ASCII characters, 16 or more if all of them are digits")
}

/// Whether `device` in this state may speak through the door it came to. If not: the reason for the phone, and the
/// event.
pub fn admit(
    device: &DeviceId,
    security: &Security,
    arrival: &Arrival,
) -> Result<(), (CleanUpReason, EventDraft)> {
    let (kind, text, reason) = match &arrival.door {
        Door::Default if security.mode == SecureMode::Secure => (
            EventKind::SecureModeViolation,
            format!("called from {} on the default door", arrival.source),
            CleanUpReason::SecureModeRequired,
        ),
        Door::Secure { device: certified, .. } if certified != device => (
            EventKind::CertificateMismatch,
            format!("called from {} with the certificate of {certified}", arrival.source),
            CleanUpReason::WrongCertificate,
        ),
        Door::Secure { serial, .. } if !security.admits(serial) => (
            EventKind::CertificateMismatch,
            format!("called from {} with the certificate {serial}, which is not its own now", arrival.source),
            CleanUpReason::WrongCertificate,
        ),
        _ => return Ok(()),
    };
    Err((reason, EventDraft::about(device, kind, text)))
}

impl Flow {
    /// Credentials for a phone that is to enter secure mode.
    pub(super) fn need_credentials(&mut self, ctx: &Context<'_>, events: &mut Vec<EventDraft>) -> Next {
        let password = if self.base.security.mode.needs_pin() {
            match self
                .pin(ctx.vault)
                .as_ref()
                .and_then(|pin| split_pin(pin.expose()).map(|p| Secret::new(p.0)))
            {
                Some(password) => Some(password),
                None => return self.bootstrapping_failed("no usable PIN is set", events),
            }
        } else {
            None
        };
        Next::Need(Need { device: self.device.clone(), password, renews: false })
    }

    fn pin(&self, vault: &Vault) -> Option<Secret> {
        vault.open(self.base.security.pin.as_ref()?).ok()
    }

    fn bootstrapping_failed(&mut self, reason: &str, events: &mut Vec<EventDraft>) -> Next {
        self.security_failed(reason);
        events.push(EventDraft::about(&self.device, EventKind::SecureModeFailed, reason));
        Next::Finish(Reply::clean_up())
    }

    /// What was chosen when the flow began came to nothing.
    pub(super) fn security_failed(&mut self, reason: &str) {
        let choice = self.base.security.choice();
        self.learned.update.security = Some(SecurityChange::Failed { reason: reason.into(), choice });
    }

    /// Go on with the credentials that [`Next::Need`] asked for. `nonce` and `digest` are those of the message that
    /// led to the need.
    pub fn credentials(
        mut self,
        ctx: &Context<'_>,
        made: Result<Credentials, String>,
        nonce: &str,
        digest: u64,
    ) -> Step {
        let mut events = Vec::new();
        let next = match made {
            made if self.renews() => self.renew(ctx, made, &mut events),
            Err(reason) => self.bootstrapping_failed(&reason, &mut events),
            Ok(credentials) => self.hand_out(ctx, credentials, &mut events),
        };
        self.conclude(ctx, nonce, digest, next, events)
    }

    fn hand_out(
        &mut self,
        ctx: &Context<'_>,
        credentials: Credentials,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        let with_pin = self.base.security.mode.needs_pin();
        let mut items =
            vec![ItemWrite::new("goto-secure-mode", None, if with_pin { "pin" } else { "nopin" })];
        items.extend(credentials.items);
        items.push(if with_pin {
            ItemWrite::new("max-pin-retries", None, ctx.secure.max_pin_retries.to_string())
        } else {
            ItemWrite::new("dls-secure-port", None, ctx.secure.port.to_string())
        });
        let purpose = Purpose::Bootstrap { serial: credentials.serial, expires: credentials.expires };
        match self.in_one_message(&items) {
            Ok(batch) => self.send(purpose, batch, VecDeque::new(), 0),
            Err(reason) => self.bootstrapping_failed(&reason, events),
        }
    }

    /// Credentials belong together, so they go in one message whatever number of items the phone likes.
    fn in_one_message(&self, items: &[ItemWrite]) -> Result<Vec<ItemWrite>, String> {
        let mut batches = cut(items, None, self.dialect).map_err(|error| error.to_string())?;
        match batches.pop_front() {
            Some(batch) if batches.is_empty() => Ok(batch),
            _ => Err("the credentials fit into no message".to_owned()),
        }
    }

    /// A phone in secure mode: whether it came with a new certificate, or is to be given one.
    pub(super) fn decide_renewal(&mut self, ctx: &Context<'_>, starts: bool) {
        let (security, secure) = (&self.base.security, ctx.secure);
        let Some(serial) = &self.certificate else { return };
        if security.certificate_serial.as_ref() != Some(serial) && security.knows(serial) {
            self.learned.update.security = Some(SecurityChange::Renewed { serial: serial.clone() });
            return;
        }
        let due = |ends| ends < ctx.now.plus(secure.renew_before) && ends < secure.certificates_end;
        // Most phones take a certificate into use when they start. One that was given it and does not start may not have
        // got it: it is given another, but not at each call.
        let lately = |given| given <= ctx.now && ctx.now.since(given) < RENEWAL_PAUSE;
        let given = security.last_offer().is_some_and(lately);
        self.to_do.renewal = (starts || !given) && security.certificate_expires.is_some_and(due);
    }

    /// Whether credentials that the flow asks for take the place of others, which stay good until they end.
    pub fn renews(&self) -> bool {
        self.base.security.mode == SecureMode::Secure
    }

    /// Go on without the new certificate that [`Next::Need`] asked for: it is not made now.
    pub fn without_renewal(mut self, ctx: &Context<'_>, nonce: &str, digest: u64) -> Step {
        let mut events = Vec::new();
        let next = self.proceed(ctx, &mut events);
        self.conclude(ctx, nonce, digest, next, events)
    }

    fn renew(
        &mut self,
        ctx: &Context<'_>,
        made: Result<Credentials, String>,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        match made.and_then(|credentials| self.in_one_message(&credentials.items)) {
            Ok(batch) => self.send(Purpose::Renew, batch, VecDeque::new(), 0),
            Err(reason) => self.stays_old(&format!("no new certificate: {reason}"), ctx, events),
        }
    }

    /// The phone keeps its old certificate; it is tried again at its next start, or after a while.
    pub(super) fn stays_old(
        &mut self,
        reason: &str,
        ctx: &Context<'_>,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        events.push(EventDraft::about(&self.device, EventKind::SecureModeFailed, reason));
        self.proceed(ctx, events)
    }

    /// Ask for the last characters of the PIN that the user typed.
    pub(super) fn ask_tan(&mut self) -> Next {
        self.awaiting = Awaiting::Tan(Collecting::default());
        let items = vec![ItemWrite::new("bootstrapping-tan", None, "")];
        Next::Reply(Reply { action: Action::ReadItems, items, dialect: self.dialect })
    }

    /// Compare the TAN.
    pub(super) fn check_tan(
        &mut self,
        ctx: &Context<'_>,
        answer: &ItemSet,
        events: &mut Vec<EventDraft>,
    ) -> Next {
        let pin = self.pin(ctx.vault);
        let expected = pin.as_ref().and_then(|pin| split_pin(pin.expose())).map(|parts| parts.1);
        let given = answer
            .get(NameRef::of("bootstrapping-tan"), None)
            .filter(|entry| entry.status.is_none())
            .and_then(|entry| entry.value.reveal(ctx.vault).ok());
        let right = match (expected, &given) {
            (Some(expected), Some(given)) => aws_lc_rs::constant_time::verify_slices_are_equal(
                expected.as_bytes(),
                given.expose().trim().as_bytes(),
            )
            .is_ok(),
            _ => false,
        };
        if right {
            let serial = self.certificate.clone().unwrap_or_default();
            self.learned.update.security = Some(SecurityChange::Secured { serial });
            return self.proceed(ctx, events);
        }
        let (reason, choice) = ("wrong TAN from device".into(), self.base.security.choice());
        self.learned.update.security = Some(SecurityChange::WrongTan { reason, choice });
        events.push(EventDraft::about(&self.device, EventKind::TanFailure, "the TAN does not match the PIN"));
        Next::Finish(Reply::clean_up_because(CleanUpReason::WrongTan))
    }

    /// Tell the phone to leave secure mode.
    pub(super) fn leave_secure(&mut self) -> Next {
        let items = vec![ItemWrite::new("dls-mode-secure", None, "0")];
        self.send(Purpose::LeaveSecure, items, VecDeque::new(), 0)
    }

    /// The phone gave up bootstrapping.
    pub(super) fn bootstrapping_given_up(&mut self, reason: &str) {
        let proven = matches!(self.learned.update.security, Some(SecurityChange::Secured { .. }));
        if self.base.security.mode.is_enabling() && !proven {
            self.security_failed(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_cut_before_their_last_three_characters() {
        assert_eq!(split_pin("1234567"), Some(("1234", "567")));
        assert_eq!(split_pin("12äöü"), Some(("12", "äöü")));
        assert_eq!(split_pin("123"), None);
        assert_eq!(split_pin(""), None);
    }

    #[test]
    fn pins_that_are_soon_found_are_refused() {
        for good in ["a23456789012", "1234567890123456", "!!!!!!!!!!!~", &"x".repeat(32)] {
            assert_eq!(pin_fault(good), None, "{good}");
        }
        for bad in ["", "a2345678901", "123456789012345", "a2345678 012", "a2345678901ä", &"x".repeat(33)] {
            assert!(pin_fault(bad).is_some(), "{bad}");
        }
    }
}
