//! Figures of SIP.

use callboard_codecs::sip::{Message, Method};
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::Sip;
use crate::reach::CallOutcome;
use crate::sip::binding::{Liveness, Transport};
use crate::sip::digest::{self, Verdict};
use crate::sip::location::Tick;
use crate::sip::profile;

/// Methods that are counted by name; all others are `other`.
const METHODS: [&str; 8] =
    ["REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY", "INVITE", "PUBLISH", "MESSAGE", "other"];

/// Statuses that are counted by number; all others are `other`.
const STATUSES: [u16; 23] = [
    200, 400, 401, 403, 404, 405, 406, 408, 415, 416, 420, 421, 423, 430, 439, 480, 481, 489, 500, 501, 503,
    505, 0,
];

/// Classes of answers to requests of this server.
const TOLD: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "6xx"];

const VERDICTS: [&str; 8] = [
    "accepted",
    "repeated",
    "no_credentials",
    "stale",
    "wrong_password",
    "unknown_user",
    "blocked",
    "bad_request",
];

/// Tells the installed recorder what these metrics mean.
pub fn describe_metrics() {
    describe_counter!(
        "callboard_sip_check_syncs_total",
        "Phones that were told by SIP to fetch their configuration, by outcome"
    );
    describe_counter!("callboard_sip_requests_total", "SIP requests that came in, by method");
    describe_counter!("callboard_sip_responses_total", "Answers to SIP requests, by method and status");
    describe_counter!("callboard_sip_shed_total", "SIP requests that were told to come later, by method");
    describe_counter!("callboard_sip_dropped_total", "SIP messages that got no answer, by reason");
    describe_counter!(
        "callboard_sip_retransmissions_absorbed_total",
        "SIP requests that came again and were not done again"
    );
    describe_counter!("callboard_sip_keep_alives_total", "Keep-alives of SIP endpoints: line ends and STUN");
    describe_counter!("callboard_sip_authentications_total", "Judgements of SIP credentials, by verdict");
    describe_counter!("callboard_sip_endpoints_lost_total", "SIP endpoints that were lost");
    describe_counter!(
        "callboard_sip_endpoints_back_total",
        "SIP endpoints that came back after they were lost"
    );
    describe_counter!(
        "callboard_sip_bindings_expired_total",
        "SIP bindings that ended because nobody refreshed them"
    );
    describe_counter!(
        "callboard_sip_pings_postponed_total",
        "OPTIONS to SIP endpoints that were put off because there were too many"
    );
    describe_counter!(
        "callboard_sip_retransmissions_sent_total",
        "SIP requests of this server that were sent again"
    );
    describe_counter!(
        "callboard_sip_own_requests_answered_total",
        "Final answers to SIP requests of this server, by class"
    );
    describe_gauge!(
        "callboard_sip_bindings",
        Unit::Count,
        "SIP bindings, by transport and state of the endpoint"
    );
    describe_gauge!("callboard_sip_aors", Unit::Count, "SIP addresses-of-record with bindings");
    describe_gauge!("callboard_sip_transactions", Unit::Count, "SIP transactions in memory, by kind");
    describe_counter!(
        "callboard_sip_profile_requests_total",
        "Requests of SIP phones for their profile, by outcome"
    );
    describe_counter!("callboard_sip_notifies_total", "NOTIFYs with profiles for SIP phones, by outcome");
    describe_gauge!(
        "callboard_sip_subscriptions",
        Unit::Count,
        "Subscriptions of SIP phones to their profile"
    );
    profile::describe_metrics();
    digest::describe_metrics();
}

/// What became of a request for a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProfileRequest {
    /// The phone is told its URL.
    Told,
    /// No rule fits.
    NoRule,
    /// It came from a network from which none are taken.
    Forbidden,
    /// There is too much to do.
    Busy,
    /// It breaks a rule, or wants what there is not.
    Refused,
}

/// The words of [`ProfileRequest`].
const PROFILE_REQUESTS: [&str; 5] = ["told", "no_rule", "forbidden", "busy", "refused"];

/// What became of a NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotifyOutcome {
    /// The phone took it.
    Accepted,
    /// It answered otherwise.
    Refused,
    /// It did not answer.
    TimedOut,
    /// It did not leave.
    Unsent,
}

/// The words of [`NotifyOutcome`].
const NOTIFY_OUTCOMES: [&str; 4] = ["accepted", "refused", "timeout", "unsent"];

/// The handles. Made once: looking one up costs more than a registration may.
pub(super) struct SipMetrics {
    requests: [Counter; METHODS.len()],
    answers: Box<[[Counter; STATUSES.len()]]>,
    shed: [Counter; METHODS.len()],
    dropped_requests: Counter,
    dropped_responses: Counter,
    bad: Counter,
    absorbed: Counter,
    keep_alives: Counter,
    verdicts: [Counter; VERDICTS.len()],
    lost: Counter,
    back: Counter,
    bindings: [[Gauge; Liveness::ALL.len()]; Transport::ALL.len()],
    aors: Gauge,
    servers: Gauge,
    clients: Gauge,
    expired: Counter,
    postponed: Counter,
    repeated: Counter,
    not_begun: Counter,
    stray: Counter,
    told: [Counter; TOLD.len()],
    synced: [Counter; CallOutcome::LABELS.len()],
    profile_requests: [Counter; PROFILE_REQUESTS.len()],
    notifies: [Counter; NOTIFY_OUTCOMES.len()],
    subscriptions: Gauge,
}

fn method_index(method: Method<'_>) -> usize {
    let name = method.as_bytes();
    METHODS.iter().position(|known| known.as_bytes() == name).unwrap_or(METHODS.len() - 1)
}

fn status_index(status: u16) -> usize {
    STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1)
}

fn status_label(status: u16) -> String {
    if status == 0 { "other".to_owned() } else { status.to_string() }
}

impl SipMetrics {
    pub(super) fn new() -> Self {
        let dropped = |reason| counter!("callboard_sip_dropped_total", "reason" => reason);
        let answers = METHODS.map(|method| {
            STATUSES.map(|status| {
                counter!("callboard_sip_responses_total", "method" => method, "status" => status_label(status))
            })
        });
        Self {
            requests: METHODS.map(|method| counter!("callboard_sip_requests_total", "method" => method)),
            answers: Box::new(answers),
            shed: METHODS.map(|method| counter!("callboard_sip_shed_total", "method" => method)),
            dropped_requests: dropped("unanswerable"),
            dropped_responses: dropped("response"),
            bad: dropped("malformed"),
            absorbed: counter!("callboard_sip_retransmissions_absorbed_total"),
            keep_alives: counter!("callboard_sip_keep_alives_total"),
            verdicts: VERDICTS
                .map(|verdict| counter!("callboard_sip_authentications_total", "verdict" => verdict)),
            lost: counter!("callboard_sip_endpoints_lost_total"),
            back: counter!("callboard_sip_endpoints_back_total"),
            bindings: Transport::ALL.map(|transport| {
                Liveness::ALL.map(|state| {
                    gauge!("callboard_sip_bindings", "transport" => transport.as_str(), "state" => state.as_str())
                })
            }),
            aors: gauge!("callboard_sip_aors"),
            clients: gauge!("callboard_sip_transactions", "kind" => "client"),
            expired: counter!("callboard_sip_bindings_expired_total"),
            postponed: counter!("callboard_sip_pings_postponed_total"),
            repeated: counter!("callboard_sip_retransmissions_sent_total"),
            not_begun: dropped("own_request"),
            stray: dropped("stray_response"),
            synced: CallOutcome::LABELS.map(|outcome| counter!("callboard_sip_check_syncs_total", "outcome" => outcome)),
            told: TOLD.map(|class| counter!("callboard_sip_own_requests_answered_total", "class" => class)),
            servers: gauge!("callboard_sip_transactions", "kind" => "server"),
            profile_requests: PROFILE_REQUESTS
                .map(|outcome| counter!("callboard_sip_profile_requests_total", "outcome" => outcome)),
            notifies: NOTIFY_OUTCOMES.map(|outcome| counter!("callboard_sip_notifies_total", "outcome" => outcome)),
            subscriptions: gauge!("callboard_sip_subscriptions"),
        }
    }

    pub(super) fn request(&self, method: Method<'_>) {
        self.requests[method_index(method)].increment(1);
    }

    pub(super) fn answered(&self, method: Method<'_>, status: u16) {
        if let Some(by_status) = self.answers.get(method_index(method)) {
            by_status[status_index(status)].increment(1);
        }
    }

    pub(super) fn shed(&self, method: Method<'_>) {
        self.shed[method_index(method)].increment(1);
    }

    pub(super) fn dropped(&self, message: &Message<'_>) {
        match message {
            Message::Request(_) => self.dropped_requests.increment(1),
            Message::Response(_) => self.dropped_responses.increment(1),
        }
    }

    pub(super) fn bad(&self) {
        self.bad.increment(1);
    }

    pub(super) fn absorbed(&self) {
        self.absorbed.increment(1);
    }

    pub(super) fn keep_alive(&self) {
        self.keep_alives.increment(1);
    }

    pub(super) fn judged<K>(&self, verdict: &Verdict<K>) {
        let index = match verdict {
            Verdict::Accepted(_) => 0,
            Verdict::Repeated(_) => 1,
            Verdict::NoCredentials => 2,
            Verdict::Stale => 3,
            Verdict::WrongPassword => 4,
            Verdict::UnknownUser => 5,
            Verdict::Blocked { .. } => 6,
            Verdict::BadRequest(_) => 7,
        };
        self.verdicts[index].increment(1);
    }

    pub(super) fn ticked(&self, tick: &Tick) {
        self.expired.increment(tick.expired as u64);
        self.postponed.increment(tick.postponed as u64);
    }

    pub(super) fn repeated(&self) {
        self.repeated.increment(1);
    }

    pub(super) fn not_begun(&self) {
        self.not_begun.increment(1);
    }

    pub(super) fn stray(&self) {
        self.stray.increment(1);
    }

    pub(super) fn synced(&self, outcome: &CallOutcome) {
        self.synced[outcome.label()].increment(1);
    }

    pub(super) fn profile_request(&self, outcome: ProfileRequest) {
        self.profile_requests[outcome as usize].increment(1);
    }

    pub(super) fn notify(&self, outcome: NotifyOutcome) {
        self.notifies[outcome as usize].increment(1);
    }

    pub(super) fn told(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(2).min(TOLD.len() - 1);
        self.told[class].increment(1);
    }

    pub(super) fn lost(&self) {
        self.lost.increment(1);
    }

    pub(super) fn back(&self) {
        self.back.increment(1);
    }
}

impl Sip {
    /// Publish what is counted elsewhere. To be called about once a second.
    #[allow(clippy::cast_precision_loss)] // counts stay far below 2^52
    pub fn publish(&self) {
        let metrics = &self.metrics;
        for transport in Transport::ALL {
            for state in Liveness::ALL {
                let bindings = self.location.bindings(transport, state) as f64;
                metrics.bindings[transport as usize][state as usize].set(bindings);
            }
        }
        metrics.aors.set(self.location.aors() as f64);
        metrics.clients.set(self.clients.lock().len() as f64);
        metrics.subscriptions.set(self.subscriptions.lock().len() as f64);
        metrics.servers.set(self.servers.lock().len() as f64);
    }
}
