//! What kinds of things happen, and how much they matter.

use serde::{Deserialize, Serialize};
use tracing::Level;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look at it some time.
    Warning,
    /// Somebody should look at it now.
    Error,
}

impl Severity {
    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Whose doing events of a kind are. Each class is kept by itself, so that none pushes another one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventClass {
    /// What the node and administrators do.
    Administration,
    /// What came of tasks: phones tell it, each of them as often as it has a task.
    Task,
    /// Secure mode: takes a device that is in it, or a certificate of ours.
    Security,
    /// Anything else that a peer does wrong.
    Trouble,
    /// What phones do day by day.
    Routine,
}

impl EventClass {
    /// All classes.
    pub const ALL: [Self; 5] =
        [Self::Administration, Self::Task, Self::Security, Self::Trouble, Self::Routine];
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $severity:ident $class:ident,)*) => {
        /// What kind of thing happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum EventKind { $($(#[$doc])* $variant,)* }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in the API and in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// How much events of this kind matter.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// With which others events of this kind are kept.
            pub const fn class(self) -> EventClass {
                match self { $(Self::$variant => EventClass::$class,)* }
            }
        }
    };
}

kinds! {
    /// The process is ready.
    NodeStarted "node-started" Info Administration,
    /// The process is leaving.
    NodeStopping "node-stopping" Info Administration,
    /// A device was read completely for the first time.
    DeviceRegistered "device-registered" Info Routine,
    /// A device came back with other firmware.
    SoftwareChanged "software-changed" Info Routine,
    /// Settings were changed at the phone.
    LocalChange "local-change" Info Routine,
    /// Contact-me did not bring a device: it is told to poll.
    PollingBegun "polling-begun" Info Routine,
    /// A module was plugged in or out.
    InventoryChange "inventory-change" Info Routine,
    /// The phone refused values.
    ItemsRefused "items-refused" Warning Trouble,
    /// The phone does not let all its items be read.
    ReadRefused "read-refused" Warning Trouble,
    /// Template items cannot be applied to a device.
    TemplateFault "template-fault" Warning Trouble,
    /// A phone reported how a file deployment went.
    FileStatus "file-status" Info Routine,
    /// A task is done.
    TaskDone "task-done" Info Task,
    /// A task was not done: refused, not possible, or not in time.
    TaskFailed "task-failed" Warning Task,
    /// A task was taken back before it was done.
    TaskCancelled "task-cancelled" Info Task,
    /// A job was accepted.
    JobAccepted "job-accepted" Info Administration,
    /// A job is over at all its devices.
    JobEnded "job-ended" Info Administration,
    /// A phone did not come although it was called as often as it may be.
    ContactFailed "contact-failed" Warning Trouble,
    /// A dialogue ended before its end.
    FlowAbandoned "flow-abandoned" Warning Trouble,
    /// The phone ended a dialogue by itself.
    PhoneCleanUp "phone-clean-up" Warning Trouble,
    /// More messages in one dialogue than make sense.
    FlowLoop "flow-loop" Error Trouble,
    /// A reply could not be written: a fault of this server.
    ReplyUnwritable "reply-unwritable" Error Trouble,
    /// A phone sends more than it may.
    DeviceTooLarge "device-too-large" Error Trouble,
    /// The stored record of a device that calls cannot be read.
    DeviceUnreadable "device-unreadable" Error Trouble,
    /// The fleet is full.
    FleetFull "fleet-full" Error Trouble,
    /// A device in secure mode called on the default door.
    SecureModeViolation "secure-mode-violation" Error Security,
    /// A client certificate belongs to another device than the message.
    CertificateMismatch "certificate-mismatch" Error Security,
    /// A device is in secure mode now.
    SecureModeEntered "secure-mode-entered" Info Security,
    /// A device has left secure mode.
    SecureModeLeft "secure-mode-left" Info Security,
    /// A device in secure mode came with the new certificate it was given.
    CertificateRenewed "certificate-renewed" Info Security,
    /// Credentials could not be made or were refused.
    SecureModeFailed "secure-mode-failed" Error Security,
    /// The TAN typed at the phone is wrong.
    TanFailure "tan-failure" Error Security,
    /// An edge used the token of its site.
    SiteEnrolled "site-enrolled" Info Administration,
    /// The edge of a site is connected.
    SiteConnected "site-connected" Info Routine,
    /// The edge of a site is connected no more.
    SiteAway "site-away" Warning Trouble,
    /// Somebody came to the edges' door with a certificate or a token that is not good.
    SiteRefused "site-refused" Error Security,
    /// A SIP endpoint does not answer any more, or its connection is gone.
    EndpointLost "endpoint-lost" Warning Trouble,
    /// A SIP endpoint that was lost has registered or answered again.
    EndpointBack "endpoint-back" Info Routine,
    /// An administrator changed something.
    AdminChange "admin-change" Info Administration,
    /// The store cannot take records, or can again.
    StoreTrouble "store-trouble" Error Administration,
}

impl EventKind {
    /// Whether a peer can bring it about again and again, so that repetitions are only counted.
    pub(super) const fn repeats(self) -> bool {
        !matches!(
            self,
            Self::NodeStarted
                | Self::NodeStopping
                | Self::AdminChange
                | Self::StoreTrouble
                | Self::JobAccepted
                | Self::JobEnded
        )
    }

    /// How loudly the log tells of it: INFO what the node and administrators do, WARN what somebody should look at now,
    /// DEBUG everything else.
    pub(super) const fn level(self) -> Level {
        match (self, self.severity()) {
            (
                Self::NodeStarted
                | Self::NodeStopping
                | Self::AdminChange
                | Self::JobAccepted
                | Self::JobEnded,
                _,
            ) => Level::INFO,
            // Who watches the store has a line of his own.
            (kind, Severity::Error) if !matches!(kind, Self::StoreTrouble) => Level::WARN,
            _ => Level::DEBUG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_bring_about_no_errors_in_the_log() {
        for kind in EventKind::ALL {
            let level = kind.level();
            assert!(level >= Level::WARN, "{kind:?}: a peer must not bring about an error");
        }
        assert_eq!(EventKind::AdminChange.level(), Level::INFO);
        assert_eq!(EventKind::SecureModeViolation.level(), Level::WARN);
        assert_eq!(EventKind::FlowAbandoned.level(), Level::DEBUG);
    }

    #[test]
    fn words_are_unique_and_in_kebab_case() {
        let mut words: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), EventKind::ALL.len());
    }
}
