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
    /// Secure mode, and who wanted in without being known.
    Security,
    /// Anything else that a peer does wrong.
    Trouble,
    /// What phones do day by day.
    Routine,
    /// Who asked the administration for which change.
    Audit,
    /// What devices tell by SNMP.
    Notification,
}

impl EventClass {
    /// All classes.
    pub const ALL: [Self; 7] = [
        Self::Administration,
        Self::Task,
        Self::Security,
        Self::Trouble,
        Self::Routine,
        Self::Audit,
        Self::Notification,
    ];
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $number:literal $severity:ident $class:ident,)*) => {
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

            /// The last arc of the notification type that tells of events of this kind (`docs/mibs/CALLBOARD-MIB.txt`).
            /// A number that was once used is never given to another kind.
            pub const fn number(self) -> u32 {
                match self { $(Self::$variant => $number,)* }
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
    NodeStarted "node-started" 1 Info Administration,
    /// The process is leaving.
    NodeStopping "node-stopping" 2 Info Administration,
    /// A device was read completely for the first time.
    DeviceRegistered "device-registered" 3 Info Routine,
    /// A device came back with other firmware.
    SoftwareChanged "software-changed" 4 Info Routine,
    /// Settings were changed at the phone.
    LocalChange "local-change" 5 Info Routine,
    /// Contact-me did not bring a device: it is told to poll.
    PollingBegun "polling-begun" 6 Info Routine,
    /// A module was plugged in or out.
    InventoryChange "inventory-change" 7 Info Routine,
    /// The phone refused values.
    ItemsRefused "items-refused" 8 Warning Trouble,
    /// The phone does not let all its items be read.
    ReadRefused "read-refused" 9 Warning Trouble,
    /// Template items cannot be applied to a device.
    TemplateFault "template-fault" 10 Warning Trouble,
    /// A phone reported how a file deployment went.
    FileStatus "file-status" 11 Info Routine,
    /// A task is done.
    TaskDone "task-done" 12 Info Task,
    /// A task was not done: refused, not possible, or not in time.
    TaskFailed "task-failed" 13 Warning Task,
    /// A task was taken back before it was done.
    TaskCancelled "task-cancelled" 14 Info Task,
    /// A job was accepted.
    JobAccepted "job-accepted" 15 Info Administration,
    /// A job is over at all its devices.
    JobEnded "job-ended" 16 Info Administration,
    /// A phone did not come although it was called as often as it may be.
    ContactFailed "contact-failed" 17 Warning Trouble,
    /// A dialogue ended before its end.
    FlowAbandoned "flow-abandoned" 18 Warning Trouble,
    /// The phone ended a dialogue by itself.
    PhoneCleanUp "phone-clean-up" 19 Warning Trouble,
    /// More messages in one dialogue than make sense.
    FlowLoop "flow-loop" 20 Error Trouble,
    /// A reply could not be written: a fault of this server.
    ReplyUnwritable "reply-unwritable" 21 Error Trouble,
    /// A phone sends more than it may.
    DeviceTooLarge "device-too-large" 22 Error Trouble,
    /// The stored record of a device that calls cannot be read.
    DeviceUnreadable "device-unreadable" 23 Error Trouble,
    /// The fleet is full.
    FleetFull "fleet-full" 24 Error Trouble,
    /// A device in secure mode called on the default door.
    SecureModeViolation "secure-mode-violation" 25 Error Security,
    /// A client certificate belongs to another device than the message.
    CertificateMismatch "certificate-mismatch" 26 Error Security,
    /// A device is in secure mode now.
    SecureModeEntered "secure-mode-entered" 27 Info Security,
    /// A device has left secure mode.
    SecureModeLeft "secure-mode-left" 28 Info Security,
    /// A device in secure mode came with the new certificate it was given.
    CertificateRenewed "certificate-renewed" 29 Info Security,
    /// Credentials could not be made or were refused.
    SecureModeFailed "secure-mode-failed" 30 Error Security,
    /// The TAN typed at the phone is wrong.
    TanFailure "tan-failure" 31 Error Security,
    /// An edge used the token of its site.
    SiteEnrolled "site-enrolled" 32 Info Administration,
    /// The edge of a site is connected.
    SiteConnected "site-connected" 33 Info Routine,
    /// The edge of a site is connected no more.
    SiteAway "site-away" 34 Warning Trouble,
    /// Somebody came to the edges' door with a certificate or a token that is not good.
    SiteRefused "site-refused" 35 Error Security,
    /// A SIP endpoint does not answer any more, or its connection is gone.
    EndpointLost "endpoint-lost" 36 Warning Trouble,
    /// A SIP endpoint that was lost has registered or answered again.
    EndpointBack "endpoint-back" 37 Info Routine,
    /// An administrator changed something.
    AdminChange "admin-change" 38 Info Administration,
    /// The store cannot take records, or can again.
    StoreTrouble "store-trouble" 39 Error Administration,
    /// Somebody asked the administration for a change, or fetched what is kept safe: who, from where, what, and the outcome.
    Audit "audit" 40 Info Audit,
    /// Somebody came to the administration without a token, or with a wrong one.
    LoginFailed "login-failed" 41 Warning Security,
    /// Notifications for a receiver were given up, because too many wait for it or they are too old.
    NotificationsLost "notifications-lost" 42 Error Administration,
    /// A receiver of notifications does not acknowledge them.
    ReceiverAway "receiver-away" 43 Warning Trouble,
    /// A receiver of notifications that was away acknowledges them again.
    ReceiverBack "receiver-back" 44 Info Routine,
    /// A device sent a notification by SNMP.
    TrapReceived "trap-received" 45 Info Notification,
    /// Somebody asked by SNMP with a community, a user or a digest that is not good.
    SnmpRefused "snmp-refused" 46 Warning Security,
}

impl EventKind {
    /// Whether a peer can bring it about again and again, so that repetitions are only counted.
    pub(super) const fn repeats(self) -> bool {
        !matches!(
            self,
            Self::NodeStarted
                | Self::NodeStopping
                | Self::AdminChange
                | Self::Audit
                | Self::StoreTrouble
                | Self::JobAccepted
                | Self::JobEnded
                // Bounded by source before it comes here.
                | Self::TrapReceived
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
                | Self::Audit
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

    #[test]
    fn numbers_are_given_once() {
        let mut numbers: Vec<_> = EventKind::ALL.iter().map(|kind| kind.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), EventKind::ALL.len());
        assert!(!numbers.contains(&0), "arcs of notification types begin with 1");
        // Receivers have rules with these numbers.
        let told = [(EventKind::NodeStarted, 1), (EventKind::StoreTrouble, 39), (EventKind::SnmpRefused, 46)];
        for (kind, number) in told {
            assert_eq!(kind.number(), number, "{kind:?}");
        }
    }
}
