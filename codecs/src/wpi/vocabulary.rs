//! The fixed words of WPI (reference, section 5).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What the service tells a phone to do (reference 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Report every readable item.
    ReadAllItems,
    /// Report the named items.
    ReadItems,
    /// Store the given values.
    WriteItems,
    /// Reboot, perhaps with a factory reset.
    Restart,
    /// Fetch and start firmware.
    SoftwareDeployment,
    /// Fetch or delete files.
    FileDeployment,
    /// Send the next part of the message.
    GetNextFragment,
    /// End the flow.
    CleanUp,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 8] = [
        Self::ReadAllItems,
        Self::ReadItems,
        Self::WriteItems,
        Self::Restart,
        Self::SoftwareDeployment,
        Self::FileDeployment,
        Self::GetNextFragment,
        Self::CleanUp,
    ];

    /// The word in the message; also fit for a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadAllItems => "ReadAllItems",
            Self::ReadItems => "ReadItems",
            Self::WriteItems => "WriteItems",
            Self::Restart => "Restart",
            Self::SoftwareDeployment => "SoftwareDeployment",
            Self::FileDeployment => "FileDeployment",
            Self::GetNextFragment => "GetNextFragment",
            Self::CleanUp => "CleanUp",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no [`Action`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such action")]
pub struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    /// Case matters.
    fn from_str(word: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.as_str() == word).ok_or(UnknownAction)
    }
}

/// Which part of a longer message this is (reference 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fragment {
    /// Not said, or an unknown word: the whole message.
    #[default]
    Absent,
    /// More parts follow.
    Next,
    /// The last or only part.
    Final,
}

impl Fragment {
    pub(super) fn from_word(word: &str) -> Self {
        if word.eq_ignore_ascii_case("next") {
            Self::Next
        } else if word.eq_ignore_ascii_case("final") {
            Self::Final
        } else {
            Self::Absent
        }
    }
}

/// How a phone took an action (reference 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyStatus {
    /// Done; single items may still have failed.
    Accepted,
    /// Refused or not supported.
    Failed,
    /// Not now: the phone is in a call.
    Busy,
    /// A word that is none of these.
    Unknown,
}

impl ReplyStatus {
    /// The word in the message (`unknown` for [`Unknown`](Self::Unknown)); also fit for a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word; case does not matter.
    pub(super) fn from_word(word: &str) -> Self {
        [Self::Accepted, Self::Failed, Self::Busy]
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(word))
            .unwrap_or(Self::Unknown)
    }
}

/// Why a phone called (reference 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason<'a> {
    /// After every boot: the registration.
    StartUp,
    /// It was asked to call, by contact-me or DCMP.
    Solicited,
    /// Somebody changed a setting at the phone.
    LocalChanges,
    /// A module came or went, or a mobile user logged on or off.
    InventoryChanges,
    /// The outcome of a file deployment.
    Status,
    /// The answer to an action.
    ReplyTo {
        /// The action answered; `None` if absent or unknown.
        action: Option<Action>,
        /// How it went; `None` if absent.
        status: Option<ReplyStatus>,
    },
    /// The phone ends the flow.
    CleanUp,
    /// A word that is none of these. It comes from the peer.
    Unknown(Cow<'a, str>),
}

impl Reason<'_> {
    /// Whether this reason starts a flow.
    pub fn is_opening(&self) -> bool {
        match self {
            Self::StartUp | Self::Solicited | Self::LocalChanges | Self::InventoryChanges | Self::Status => {
                true
            }
            Self::ReplyTo { .. } | Self::CleanUp | Self::Unknown(_) => false,
        }
    }

    /// The word in the message, but `unknown` for an unknown one: fit for a metric label.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::StartUp => "start-up",
            Self::Solicited => "solicited",
            Self::LocalChanges => "local-changes",
            Self::InventoryChanges => "inventory-changes",
            Self::Status => "status",
            Self::ReplyTo { .. } => "reply-to",
            Self::CleanUp => "clean-up",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The word in the message.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unknown(word) => word,
            known => known.as_label(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_round_trip_and_case_matters() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(action.as_str().to_ascii_lowercase().parse::<Action>(), Err(UnknownAction));
        }
    }

    #[test]
    fn reply_status_ignores_case() {
        assert_eq!(ReplyStatus::from_word("Accepted"), ReplyStatus::Accepted);
        assert_eq!(ReplyStatus::from_word("FAILED"), ReplyStatus::Failed);
        assert_eq!(ReplyStatus::from_word("busy"), ReplyStatus::Busy);
        assert_eq!(ReplyStatus::from_word("busy "), ReplyStatus::Unknown);
    }

    #[test]
    fn opening_reasons_are_those_that_carry_basic_items() {
        let reply = Reason::ReplyTo { action: None, status: None };
        for (reason, opening) in [
            (Reason::StartUp, true),
            (Reason::Solicited, true),
            (Reason::LocalChanges, true),
            (Reason::InventoryChanges, true),
            (Reason::Status, true),
            (reply, false),
            (Reason::CleanUp, false),
            (Reason::Unknown("status-update".into()), false),
        ] {
            assert_eq!(reason.is_opening(), opening, "{reason:?}");
        }
    }

    #[test]
    fn unknown_reason_keeps_its_word_out_of_the_label() {
        let reason = Reason::Unknown("status-update".into());
        assert_eq!((reason.as_str(), reason.as_label()), ("status-update", "unknown"));
    }
}
