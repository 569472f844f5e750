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
    /// may hold any of them, because its answer can be lost. Records of older versions have a few serial numbers here.
    pub offered: Vec<Offered>,
    /// Wrong TANs since an administrator chose the mode.
    pub wrong_tans: u8,
}

/// Client certificates that were handed out: all of a series, so that however many a stranger starts up for in the phone's
/// name, the phone's own is not forgotten for them. Or one alone, in records of older versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The series, or the whole serial number, lower-case hex.
    serial: Box<str>,
    /// When the first of them ends.
    pub expires: Timestamp,
}

impl Offered {
    /// The certificates of a series, of which the first ends at `expires`.
    pub fn series(series: Series, expires: Timestamp) -> Self {
        Self { serial: series.to_hex().into(), expires }
    }

    /// Whether the certificate of this serial number (lower-case hex) is one of them.
    pub fn covers(&self, serial: &str) -> bool {
        match Series::from_hex(&self.serial) {
            Some(_) => serial.len() > self.serial.len() && serial.starts_with(&*self.serial),
            None => *serial == *self.serial,
        }
    }
}

impl Security {
    /// Whether the phone may hold a certificate of ours.
    pub fn may_hold_certificate(&self) -> bool {
        self.certificate_serial.is_some() || !self.offered.is_empty()
    }

    /// Whether a certificate of this serial number (lower-case hex) was handed out and is still good.
    pub fn knows(&self, serial: &str) -> bool {
        self.certificate_serial.as_deref() == Some(serial)
            || self.offered.iter().any(|offered| offered.covers(serial))
    }

    /// The series of what is handed out now, once it has begun.
    pub fn series(&self) -> Option<Series> {
        self.offered.iter().find_map(|offered| Series::from_hex(&offered.serial))
    }

    /// Whether a phone with a certificate of this serial number may speak through the secure door. In default mode it
    /// may, to be told to leave; a phone that is being bootstrapped needs a certificate of this bootstrapping.
    pub fn admits(&self, serial: &str) -> bool {
        let unbound = !self.mode.is_enabling() && !self.may_hold_certificate();
        self.mode == SecureMode::Off || unbound || self.knows(serial)
    }
}
