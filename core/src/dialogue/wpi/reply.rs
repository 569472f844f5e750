//! What the service says.

use callboard_codecs::wpi::{Action, Dialect, EmitError, ItemRef, write_service_message};

use crate::item::ItemWrite;

/// Why a flow is cleaned up, where the phone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUpReason {
    /// Come again later.
    Overload,
    /// The PIN typed at the phone does not match.
    WrongTan,
    /// The device is in secure mode and called on the default door.
    SecureModeRequired,
    /// The client certificate belongs to another device.
    WrongCertificate,
}

impl CleanUpReason {
    /// The value of item `cleanup-reason` (WPI reference, section 5.2; the last two are ours).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::WrongTan => "wrong TAN from device",
            Self::SecureModeRequired => "secure mode required",
            Self::WrongCertificate => "certificate of another device",
        }
    }
}

/// A service message without its nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What the phone shall do.
    pub action: Action,
    /// With these items. Values are empty where only names count.
    pub items: Vec<ItemWrite>,
    /// How values are to be written for this phone.
    pub dialect: Dialect,
}

impl Reply {
    /// An action without items.
    pub const fn bare(action: Action) -> Self {
        Self { action, items: Vec::new(), dialect: Dialect::Current }
    }

    /// The end of a flow.
    pub const fn clean_up() -> Self {
        Self::bare(Action::CleanUp)
    }

    /// The end of a flow, with a reason for the phone.
    pub fn clean_up_because(reason: CleanUpReason) -> Self {
        let items = vec![ItemWrite::new("cleanup-reason", None, reason.as_str())];
        Self { action: Action::CleanUp, items, dialect: Dialect::Current }
    }

    /// The end of a flow for a busy phone: it calls again when it is idle (WPI reference, section 6.4).
    pub fn clean_up_and_call_back() -> Self {
        let items = vec![ItemWrite::new("send-solicited", None, "true")];
        Self { action: Action::CleanUp, items, dialect: Dialect::Current }
    }

    /// "Later": the phone repeats its message.
    pub fn overload() -> Self {
        Self::clean_up_because(CleanUpReason::Overload)
    }

    /// Whether this is the "later" of [`Reply::overload`].
    pub fn is_overload(&self) -> bool {
        self.action == Action::CleanUp
            && self.items.iter().any(|item| {
                item.key.name() == "cleanup-reason" && item.value.expose() == CleanUpReason::Overload.as_str()
            })
    }

    /// Append the XML document that answers the message with `nonce`.
    pub fn write(&self, nonce: &str, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let items: Vec<_> = self.items.iter().map(item_ref).collect();
        write_service_message(out, nonce, self.action, &items, self.dialect)
    }
}

pub(super) fn item_ref(item: &ItemWrite) -> ItemRef<'_> {
    ItemRef { name: item.key.name(), index: item.key.index(), status: None, value: item.value.expose() }
}
