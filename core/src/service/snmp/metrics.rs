//! Figures of SNMP.

use callboard_codecs::snmp::{FaultKind, Version};
use metrics::{Counter, counter, describe_counter};

use crate::dialogue::snmp::Report;

const PACKETS: &str = "callboard_snmp_packets_total";
const MALFORMED: &str = "callboard_snmp_malformed_total";
const REFUSED: &str = "callboard_snmp_refused_total";
const NOTIFICATIONS: &str = "callboard_snmp_notifications_total";
const REPORTS: &str = "callboard_snmp_reports_total";

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_counter!(PACKETS, "SNMP messages that came in, by door.");
    describe_counter!(MALFORMED, "SNMP messages that could not be read, by what was wrong with them.");
    describe_counter!(REFUSED, "SNMP messages that were refused, by reason.");
    describe_counter!(NOTIFICATIONS, "Traps and informs that came in, by version and what became of them.");
    describe_counter!(REPORTS, "Reports and answers to refused messages, by whether they were sent.");
}

/// A door of SNMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnmpDoor {
    /// Where the agent is asked.
    Agent,
    /// Where notifications come in.
    Trap,
}

impl SnmpDoor {
    const ALL: [Self; 2] = [Self::Agent, Self::Trap];

    const fn word(self) -> &'static str {
        match self {
            Self::Agent => "snmp_agent",
            Self::Trap => "snmp_trap",
        }
    }
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is an event.
    Accepted,
    /// It was taken in and counted: its source tells more than becomes events.
    Coalesced,
    /// An inform that was acknowledged before.
    Repeated,
    /// The configuration ignores it.
    Ignored,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Accepted, Self::Coalesced, Self::Repeated, Self::Ignored];

    const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Coalesced => "coalesced",
            Self::Repeated => "repeated",
            Self::Ignored => "ignored",
        }
    }
}

/// Why a message was refused, where no [`Report`] says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The community is not known, or not for this version or from there.
    Community,
    /// Who sends it may not do that.
    NotAllowed,
    /// This door does not take such a PDU.
    Unexpected,
    /// A notification that lacks what each one has.
    NoNotification,
    /// The engine has not started, as the store cannot take that it has.
    NotStarted,
}

impl Cause {
    const ALL: [Self; 5] =
        [Self::Community, Self::NotAllowed, Self::Unexpected, Self::NoNotification, Self::NotStarted];

    const fn word(self) -> &'static str {
        match self {
            Self::Community => "bad-community",
            Self::NotAllowed => "not-allowed",
            Self::Unexpected => "unexpected-pdu",
            Self::NoNotification => "no-notification",
            Self::NotStarted => "engine-not-started",
        }
    }
}

/// Handles of the metrics, made once.
pub(super) struct SnmpMetrics {
    packets: [Counter; 2],
    causes: [Counter; 5],
    reports: [Counter; Report::ALL.len()],
    notifications: [[Counter; 4]; 3],
    reported: [Counter; 2],
}

impl SnmpMetrics {
    pub(super) fn new() -> Self {
        Self {
            packets: SnmpDoor::ALL.map(|door| counter!(PACKETS, "door" => door.word())),
            causes: Cause::ALL.map(|cause| counter!(REFUSED, "reason" => cause.word())),
            reports: Report::ALL.map(|report| counter!(REFUSED, "reason" => report.word())),
            notifications: Version::ALL.map(|version| {
                Fate::ALL.map(
                    |fate| counter!(NOTIFICATIONS, "version" => version.as_str(), "outcome" => fate.word()),
                )
            }),
            reported: ["sent", "limited"].map(|outcome| counter!(REPORTS, "outcome" => outcome)),
        }
    }

    pub(super) fn packet(&self, door: SnmpDoor) {
        self.packets[door as usize].increment(1);
    }

    pub(super) fn malformed(kind: FaultKind) {
        counter!(MALFORMED, "reason" => kind.word()).increment(1);
    }

    pub(super) fn refused(&self, cause: Cause) {
        self.causes[cause as usize].increment(1);
    }

    pub(super) fn refused_with(&self, report: Report) {
        self.reports[report as usize].increment(1);
    }

    pub(super) fn notification(&self, version: Version, fate: Fate) {
        self.notifications[version as usize][fate as usize].increment(1);
    }

    /// A report was sent, or left out because its source had enough.
    pub(super) fn reported(&self, sent: bool) {
        self.reported[usize::from(!sent)].increment(1);
    }
}
