//! Figures of the WPI doors. Handles are made once: a lookup per message would cost more than the count.

use std::time::Duration;

use callboard_codecs::wpi::{Action, Ignored, ParseErrorKind, Reason};
use callboard_core::service::{Outcome, OverloadCause};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram,
};

const REASONS: [&str; 8] = [
    "start-up",
    "solicited",
    "local-changes",
    "inventory-changes",
    "status",
    "reply-to",
    "clean-up",
    "unknown",
];
const OUTCOMES: [&str; 7] =
    ["answered", "finished", "repeated", "overload", "lost_session", "refused", "no_device"];
const ACTIONS: [Action; 8] = [
    Action::ReadAllItems,
    Action::ReadItems,
    Action::WriteItems,
    Action::Restart,
    Action::SoftwareDeployment,
    Action::FileDeployment,
    Action::GetNextFragment,
    Action::CleanUp,
];

/// Causes for which a request is turned away before it is read as a message.
const REJECTED: [&str; 7] = [
    "path",
    "method",
    "certificate",
    "body_too_large",
    "no_room_for_body",
    "body_aborted",
    "unwritable_reply",
];
/// What [`parse_phone_message`](callboard_codecs::wpi::parse_phone_message) may find wrong.
const UNREADABLE: [ParseErrorKind; 17] = [
    ParseErrorKind::Empty,
    ParseErrorKind::NotUtf8,
    ParseErrorKind::Nul,
    ParseErrorKind::IllegalCharacter,
    ParseErrorKind::Dtd,
    ParseErrorKind::Truncated,
    ParseErrorKind::NotXml,
    ParseErrorKind::UnknownEntity,
    ParseErrorKind::TooDeep,
    ParseErrorKind::TooManyAttributes,
    ParseErrorKind::WrongRoot,
    ParseErrorKind::TrailingContent,
    ParseErrorKind::NoMessage,
    ParseErrorKind::NoNonce,
    ParseErrorKind::BadNonce,
    ParseErrorKind::NoReason,
    ParseErrorKind::BadReason,
];

/// Say what the metrics of the WPI doors mean.
pub fn describe_metrics() {
    describe_counter!("callboard_wpi_requests_total", "WPI messages by door, reason and how they fared");
    describe_counter!("callboard_wpi_actions_total", "Actions sent to phones");
    describe_counter!("callboard_wpi_rejected_total", "Requests that are no WPI message, by cause");
    describe_counter!("callboard_wpi_items_ignored_total", "Items left out of messages, by cause");
    describe_counter!("callboard_overload_total", "Phones told to come later, by cause");
    describe_histogram!(
        "callboard_wpi_request_seconds",
        Unit::Seconds,
        "From a message's last byte to its reply, commit included"
    );
    describe_histogram!(
        "callboard_wpi_flow_seconds",
        Unit::Seconds,
        "From a flow's opening to its durable end"
    );
    describe_gauge!("callboard_wpi_flows", "Flows open now");
    describe_gauge!("callboard_wpi_flows_limit", "Flows that may be open");
    describe_gauge!("callboard_fleet_devices", "Devices by state");
    describe_gauge!("callboard_fleet_devices_limit", "Devices that are taken at most");
    describe_gauge!("callboard_fleet_secure_mode", "Devices by secure mode");
    describe_gauge!("callboard_fleet_item_bytes", Unit::Bytes, "Packed items of all devices");
}

/// Handles of one door.
pub(super) struct WpiMetrics {
    /// By reason, then by outcome.
    requests: Vec<Vec<Counter>>,
    actions: Vec<Counter>,
    overload: Vec<Counter>,
    request_seconds: Histogram,
    flow_seconds: Histogram,
    /// By cause. All are there from the start: a rate over a counter that appears with its first count is lost.
    rejected: Vec<(&'static str, Counter)>,
    /// In the order of [`Ignored::causes`].
    ignored: Vec<Counter>,
    door: &'static str,
}

impl WpiMetrics {
    pub(super) fn new(door: &'static str) -> Self {
        let request = |reason: &'static str, outcome: &'static str| counter!("callboard_wpi_requests_total", "door" => door, "reason" => reason, "outcome" => outcome);
        Self {
            requests: REASONS
                .iter()
                .map(|reason| OUTCOMES.iter().map(|outcome| request(reason, outcome)).collect())
                .collect(),
            actions: ACTIONS
                .iter()
                .map(|action| counter!("callboard_wpi_actions_total", "action" => action.as_str()))
                .collect(),
            overload: OverloadCause::ALL
                .iter()
                .map(|cause| counter!("callboard_overload_total", "cause" => cause.as_str()))
                .collect(),
            request_seconds: histogram!("callboard_wpi_request_seconds", "door" => door),
            flow_seconds: histogram!("callboard_wpi_flow_seconds", "door" => door),
            rejected: REJECTED
                .into_iter()
                .chain(UNREADABLE.iter().map(ParseErrorKind::as_label))
                .map(|cause| {
                    (cause, counter!("callboard_wpi_rejected_total", "door" => door, "cause" => cause))
                })
                .collect(),
            ignored: Ignored::default()
                .causes()
                .map(|(cause, _)| counter!("callboard_wpi_items_ignored_total", "cause" => cause))
                .into(),
            door,
        }
    }

    pub(super) fn request(&self, reason: &Reason<'_>, outcome: Outcome, action: Action, took: Duration) {
        let at = |labels: &[&str], label: &str| labels.iter().position(|known| *known == label);
        let reason = at(&REASONS, reason.as_label()).and_then(|at| self.requests.get(at));
        let outcome_at = at(&OUTCOMES, outcome.as_str());
        if let Some(counter) = reason.zip(outcome_at).and_then(|(counters, at)| counters.get(at)) {
            counter.increment(1);
        }
        if let Outcome::Overload(cause) = outcome
            && let Some(counter) = self.overload.get(cause as usize)
        {
            counter.increment(1);
        }
        let action = ACTIONS.iter().position(|known| *known == action);
        if let Some(counter) = action.and_then(|at| self.actions.get(at)) {
            counter.increment(1);
        }
        self.request_seconds.record(took);
    }

    pub(super) fn flow(&self, took: Duration) {
        self.flow_seconds.record(took);
    }

    pub(super) fn ignored(&self, ignored: &Ignored) {
        for ((_, count), counter) in ignored.causes().into_iter().zip(&self.ignored) {
            if count > 0 {
                counter.increment(u64::from(count));
            }
        }
    }

    /// A request that is no WPI message.
    pub(super) fn rejected(&self, cause: &'static str) {
        match self.rejected.iter().find(|(known, _)| *known == cause) {
            Some((_, counter)) => counter.increment(1),
            None => {
                counter!("callboard_wpi_rejected_total", "door" => self.door, "cause" => cause).increment(1);
            }
        }
    }

    pub(super) fn unreadable(&self, kind: ParseErrorKind) {
        self.rejected(kind.as_label());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_a_counter() {
        let reasons = [
            Reason::StartUp,
            Reason::Solicited,
            Reason::LocalChanges,
            Reason::InventoryChanges,
            Reason::Status,
            Reason::ReplyTo { action: None, status: None },
            Reason::CleanUp,
            Reason::Unknown("x".into()),
        ];
        for reason in reasons {
            assert!(REASONS.contains(&reason.as_label()), "{}", reason.as_label());
        }
        let outcomes = [
            Outcome::Answered,
            Outcome::Finished,
            Outcome::Repeated,
            Outcome::Overload(OverloadCause::Busy),
            Outcome::LostSession,
            Outcome::Refused,
            Outcome::NoDevice,
        ];
        for outcome in outcomes {
            assert!(OUTCOMES.contains(&outcome.as_str()), "{}", outcome.as_str());
        }
        for (at, cause) in OverloadCause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, at);
        }
    }

    #[test]
    fn what_goes_wrong_is_at_zero_from_the_start() {
        let recorder =
            metrics_prometheus::Recorder::builder().with_registry(prometheus::Registry::new()).build();
        metrics::with_local_recorder(&recorder, || WpiMetrics::new("wpi"));
        let scrape = prometheus::TextEncoder::new().encode_to_string(&recorder.registry().gather()).unwrap();
        for series in [
            r#"callboard_wpi_rejected_total{cause="dtd",door="wpi"} 0"#,
            r#"callboard_wpi_rejected_total{cause="body_too_large",door="wpi"} 0"#,
            r#"callboard_wpi_items_ignored_total{cause="too_many"} 0"#,
        ] {
            assert!(scrape.lines().any(|line| line == series), "{series} is not in\n{scrape}");
        }
    }
}
