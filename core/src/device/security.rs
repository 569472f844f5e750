//! How a device's connection is secured (WPI reference, section 7).

use serde::{Deserialize, Serialize};

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
    /// Certificates handed out while bootstrapping, and in secure mode to renew the present one, oldest first, at most
    /// [`MAX_OFFERED`]: the phone may hold any of them, because its answer can be lost.
    pub offered: Vec<Offered>,
    /// Wrong TANs since an administrator chose the mode.
    pub wrong_tans: u8,
}

/// Certificates remembered of one bootstrapping or renewal: more than a stranger who starts up in the phone's name is handed out
/// soon, so that the phone's own is not forgotten for them.
pub const MAX_OFFERED: usize = 16;

/// A client certificate that was handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Its serial number, lower-case hex.
    pub serial: Box<str>,
    /// When it ends.
    pub expires: Timestamp,
}

impl Security {
    /// Whether the phone may hold a certificate of ours.
    pub fn may_hold_certificate(&self) -> bool {
        self.certificate_serial.is_some() || !self.offered.is_empty()
    }

    /// Whether a certificate of this serial number (lower-case hex) was handed out and is still good.
    pub fn knows(&self, serial: &str) -> bool {
        self.certificate_serial.as_deref() == Some(serial)
            || self.offered.iter().any(|offered| *offered.serial == *serial)
    }

    /// Whether a phone with a certificate of this serial number may speak through the secure door. In default mode it
    /// may, to be told to leave; a phone that is being bootstrapped needs a certificate of this bootstrapping.
    pub fn admits(&self, serial: &str) -> bool {
        let unbound = !self.mode.is_enabling() && !self.may_hold_certificate();
        self.mode == SecureMode::Off || unbound || self.knows(serial)
    }
}
