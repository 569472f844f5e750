//! How a device's connection is secured (WPI reference, section 7).

use serde::{Deserialize, Serialize};

use crate::pki::Series;
use crate::secret::Sealed;
use crate::time::Timestamp;

/// Where a device stands between default mode and secure mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SecureMode {
    /// Default mode: server-side TLS, the certificate unchecked.
    #[default]
    Off,
    /// To be bootstrapped without PIN at the next contact (7.3).
    EnablingNoPin,
    /// To be bootstrapped with the system's default PIN (7.4).
    EnablingDefaultPin,
    /// To be bootstrapped with a PIN of its own (7.4).
    EnablingIndividualPin,
    /// Mutual TLS only.
    Secure,
    /// To be told to leave secure mode; both doors take it meanwhile.
    Disabling,
}

impl SecureMode {
    /// All modes.
    pub const ALL: [Self; 6] = [
        Self::Off,
        Self::EnablingNoPin,
        Self::EnablingDefaultPin,
        Self::EnablingIndividualPin,
        Self::Secure,
        Self::Disabling,
    ];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::EnablingNoPin => "enabling-no-pin",
            Self::EnablingDefaultPin => "enabling-default-pin",
            Self::EnablingIndividualPin => "enabling-individual-pin",
            Self::Secure => "secure",
            Self::Disabling => "disabling",
        }
    }

    /// Whether bootstrapping is under way.
    pub const fn is_enabling(self) -> bool {
        matches!(self, Self::EnablingNoPin | Self::EnablingDefaultPin | Self::EnablingIndividualPin)
    }

    /// Whether bootstrapping needs a PIN.
    pub const fn needs_pin(self) -> bool {
        matches!(self, Self::EnablingDefaultPin | Self::EnablingIndividualPin)
    }
}

/// A device's security state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// The mode.
    pub mode: SecureMode,
    /// When the mode was entered.
    pub since: Timestamp,
    /// The PIN that was chosen for bootstrapping, until it is used.
    pub pin: Option<Sealed>,
    /// Serial number (hex) of the client certificate that the phone accepted.
    pub certificate_serial: Option<Box<str>>,
    /// When that certificate ends.
    pub certificate_expires: Option<Timestamp>,
    /// The credentials were sent and accepted; the phone is expected at the secure door.
    pub sent: bool,
    /// Why the last attempt failed, for people.
    pub fault: Option<Box<str>>,
    /// The series of certificates handed out while bootstrapping, or in secure mode to renew the present one: the phone
    /// may hold any of them, because its answer can be lost. That of a renewal stays when the phone comes with one of
    /// them, because it may take a later one into use. Those of former bootstrappings stay so that the phone can be told
    /// to leave.
    pub offered: Vec<Offered>,
    /// Wrong TANs since an administrator chose the mode.
    pub wrong_tans: u8,
}

/// Client certificates that were handed out: all of a series, so that however many a stranger starts up for in the
/// phone's name, the phone's own is not forgotten for them. Or one alone.
///
/// Stored as a text and the end: the serial number or series, behind `-` if it is of a former bootstrapping, before `@`
/// and the time of the last offer in hexadecimal milliseconds if that is known. Older versions wrote neither mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Box<str>, Timestamp)", into = "(Box<str>, Timestamp)")]
pub struct Offered {
    /// The series, or the whole serial number, lower-case hex.
    serial: Box<str>,
    /// Handed out before an administrator chose the present mode.
    former: bool,
    /// When the last of them was handed out.
    at: Option<Timestamp>,
    /// When the first of them ends.
    pub expires: Timestamp,
}

impl From<(Box<str>, Timestamp)> for Offered {
    fn from((text, expires): (Box<str>, Timestamp)) -> Self {
        let (rest, former) = text.strip_prefix('-').map_or((&*text, false), |rest| (rest, true));
        let (serial, at) = rest.split_once('@').map_or((rest, None), |(serial, at)| (serial, Some(at)));
        let at = at.and_then(|at| u64::from_str_radix(at, 16).ok()).map(Timestamp::from_millis);
        Self { serial: serial.into(), former, at, expires }
    }
}

impl From<Offered> for (Box<str>, Timestamp) {
    fn from(offered: Offered) -> Self {
        let mark = if offered.former { "-" } else { "" };
        let at = offered.at.map(|at| format!("@{:x}", at.as_millis())).unwrap_or_default();
        (format!("{mark}{}{at}", offered.serial).into(), offered.expires)
    }
}

impl Offered {
    /// The certificates of a series, of which the first ends at `expires` and the last was handed out at `at`.
    pub fn series(series: Series, at: Timestamp, expires: Timestamp) -> Self {
        Self { serial: series.to_hex().into(), former: false, at: Some(at), expires }
    }

    /// Whether the certificate of this serial number (lower-case hex) is one of them.
    pub fn covers(&self, serial: &str) -> bool {
        match Series::from_hex(&self.serial) {
            Some(_) => serial.len() > self.serial.len() && serial.starts_with(&*self.serial),
            None => *serial == *self.serial,
        }
    }
}

/// Former certificates that are remembered. Each takes an administrator who begins anew.
const MAX_FORMER: usize = 8;

impl Security {
    /// The mode and when it was entered: tells one choice of an administrator from another.
    pub const fn choice(&self) -> (SecureMode, Timestamp) {
        (self.mode, self.since)
    }

    /// Whether the phone may hold a certificate of ours.
    pub fn may_hold_certificate(&self) -> bool {
        self.certificate_serial.is_some() || !self.offered.is_empty()
    }

    /// Whether a certificate of this serial number (lower-case hex) was handed out and is still good.
    pub fn knows(&self, serial: &str) -> bool {
        self.certificate_serial.as_deref() == Some(serial)
            || self.offered.iter().any(|offered| offered.covers(serial))
    }

    /// The state after an administrator chose `mode` at `since`.
    ///
    /// What the phone may hold stays good until it is seen to hold something else. But it was got under the conditions
    /// of another choice: where a bootstrapping begins it is former.
    #[must_use]
    pub fn chosen(self, mode: SecureMode, since: Timestamp, pin: Option<Sealed>) -> Self {
        let mut new = Self { mode, since, pin, ..Self::default() };
        if mode == SecureMode::Off {
            return new;
        }
        new.offered = self.offered;
        if mode.is_enabling() {
            new.make_former(self.certificate_serial.as_deref(), self.certificate_expires);
        }
        (new.certificate_serial, new.certificate_expires) =
            (self.certificate_serial, self.certificate_expires);
        new
    }

    /// The mode is another one now.
    pub(super) fn enter(&mut self, mode: SecureMode, at: Timestamp) {
        if self.mode != mode {
            (self.mode, self.since) = (mode, at);
        }
        (self.pin, self.sent, self.fault) = (None, false, None);
    }

    /// The mode of a device that shall be in default mode: it may have to be told so first.
    pub fn towards_off(&self) -> SecureMode {
        match self.mode {
            SecureMode::Secure | SecureMode::Disabling => SecureMode::Disabling,
            // The phone may have taken its credentials already, and speak mutual TLS.
            mode if mode.is_enabling() && self.may_hold_certificate() => SecureMode::Disabling,
            _ => SecureMode::Off,
        }
    }

    /// Keep what was handed out apart, and with it the accepted certificate: the next one will take its place.
    fn make_former(&mut self, accepted: Option<&str>, expires: Option<Timestamp>) {
        let alone = accepted.filter(|serial| !self.offered.iter().any(|offered| offered.covers(serial))).map(
            |serial| {
                let expires = expires.unwrap_or_default();
                Offered { serial: serial.into(), former: true, at: None, expires }
            },
        );
        self.offered.extend(alone);
        for offered in &mut self.offered {
            offered.former = true;
        }
        let surplus = self.offered.len().saturating_sub(MAX_FORMER);
        self.offered.drain(..surplus);
    }

    /// What is handed out now, once it has begun: for this bootstrapping, or to renew the present certificate.
    fn pending(&self) -> Option<usize> {
        let present = self.certificate_serial.as_deref().filter(|_| self.mode == SecureMode::Secure);
        self.offered.iter().position(|offered| {
            !offered.former
                && Series::from_hex(&offered.serial).is_some()
                && !present.is_some_and(|serial| offered.covers(serial))
        })
    }

    /// The series of what is handed out now, once it has begun.
    pub fn series(&self) -> Option<Series> {
        Series::from_hex(&self.offered[self.pending()?].serial)
    }

    /// When the last of that series was handed out, if that is known.
    pub fn last_offer(&self) -> Option<Timestamp> {
        self.offered[self.pending()?].at
    }

    /// Note what is about to be handed out. One series holds them all; another one at the same time is not taken.
    pub(super) fn offer(&mut self, new: Offered) {
        match self.pending().map(|at| &mut self.offered[at]) {
            Some(old) if old.serial == new.serial => old.at = new.at,
            Some(_) => {}
            None => {
                if self.mode == SecureMode::Secure {
                    // Only series come to an end so. What an older version handed out one by one cannot be told from the
                    // phone's next one: it goes when the phone comes with another.
                    self.offered.retain(|offered| Series::from_hex(&offered.serial).is_none());
                }
                self.offered.push(new);
            }
        }
    }

    /// Whether the certificate of this serial number (lower-case hex) may bring a phone that is being bootstrapped into
    /// secure mode. Where that takes a PIN, the certificate must have been protected by the present one.
    pub fn may_enter_with(&self, serial: &str) -> bool {
        match self.mode {
            SecureMode::EnablingNoPin => self.knows(serial),
            mode if mode.needs_pin() => self.is_present(serial),
            _ => false,
        }
    }

    /// Whether the certificate of this serial number (lower-case hex) was handed out since the mode was chosen.
    pub(super) fn is_present(&self, serial: &str) -> bool {
        self.offered.iter().any(|offered| !offered.former && offered.covers(serial))
    }

    /// Whether a phone with a certificate of this serial number may speak through the secure door. In default mode it
    /// may, to be told to leave; a phone that is being bootstrapped needs a certificate that was handed out to it.
    pub fn admits(&self, serial: &str) -> bool {
        let unbound = !self.mode.is_enabling() && !self.may_hold_certificate();
        self.mode == SecureMode::Off || unbound || self.knows(serial)
    }
}
