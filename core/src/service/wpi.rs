//! One WPI message: find its flow, take the step, make it durable, answer.

use std::net::IpAddr;
use std::time::Duration;

use callboard_codecs::wpi::{PhoneMessage, Reason};

use super::Service;
use crate::device::{Device, DeviceId, DeviceUpdate, SecurityChange};
use crate::dialogue::sessions::{Cookie, Found, Hints};
use crate::dialogue::wpi::{Arrival, Context, Door, Flow, Next, Reply, Step};
use crate::event::{EventDraft, EventKind};
use crate::fleet::FleetError;

/// The store may be this full before new dialogues are asked to come later: those already inside need the rest.
const STORE_NEARLY_FULL: f32 = 0.75;

/// A message and how it came.
#[derive(Clone, Copy, Debug)]
pub struct WpiRequest<'a> {
    /// The message.
    pub message: &'a PhoneMessage<'a>,
    /// The listener.
    pub door: &'a Door,
    /// The sender's address.
    pub source: IpAddr,
    /// A fingerprint of the body.
    pub digest: u64,
    /// Our cookie, if it can be one.
    pub cookie: Option<Cookie>,
    /// The request had any cookie.
    pub has_cookie: bool,
    /// The flow that this connection opened.
    pub connection: Option<Cookie>,
    /// The listener is over a limit: whoever opens a flow shall come later.
    pub shed: bool,
}

/// How a message fared, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Answered,
    /// Answered, and the flow is over and durable.
    Finished,
    /// Answered with what was answered to the same message before.
    Repeated,
    /// Told to come later.
    Overload(OverloadCause),
    /// A later message of no known flow.
    LostSession,
    /// Turned away at the wrong door.
    Refused,
    /// An opening message without a usable device id.
    NoDevice,
}

/// Why a phone was told to come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverloadCause {
    /// The listener is over its connection limits.
    Connections,
    /// As many flows as may be.
    Flows,
    /// The commit queue is nearly full, or the store takes nothing.
    Store,
    /// The fleet is full.
    Fleet,
    /// Another message of the flow is being worked on.
    Busy,
}

impl OverloadCause {
    /// All causes.
    pub const ALL: [Self; 5] = [Self::Connections, Self::Flows, Self::Store, Self::Fleet, Self::Busy];

    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Flows => "flows",
            Self::Store => "store",
            Self::Fleet => "fleet",
            Self::Busy => "busy",
        }
    }
}

impl Outcome {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Finished => "finished",
            Self::Repeated => "repeated",
            Self::Overload(_) => "overload",
            Self::LostSession => "lost_session",
            Self::Refused => "refused",
            Self::NoDevice => "no_device",
        }
    }
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WpiResponse {
    /// The message.
    pub reply: Reply,
    /// To be set as cookie: this is the first response of a flow.
    pub set_cookie: Option<Cookie>,
    /// The flow, to be remembered beside the connection.
    pub flow: Option<Cookie>,
    /// How it went.
    pub outcome: Outcome,
    /// How long the flow took, if it is over.
    pub flow_time: Option<Duration>,
}

impl WpiResponse {
    fn plain(reply: Reply, outcome: Outcome) -> Self {
        Self { reply, set_cookie: None, flow: None, outcome, flow_time: None }
    }

    fn overload(cause: OverloadCause) -> Self {
        Self::plain(Reply::overload(), Outcome::Overload(cause))
    }
}

impl Service {
    /// Answer a phone's message. When this returns, what the reply acknowledges is durable.
    ///
    /// The future may be dropped at any time; a phone that repeats its message gets its answer then.
    pub async fn wpi(&self, request: WpiRequest<'_>) -> WpiResponse {
        if request.message.reason.is_opening() { self.open(request).await } else { self.go_on(request).await }
    }

    async fn open(&self, request: WpiRequest<'_>) -> WpiResponse {
        let Some(device) = device_of(request.message) else {
            return WpiResponse::plain(Reply::clean_up(), Outcome::NoDevice);
        };
        let now = self.now();
        let nonce = request.message.nonce;
        if let Some((cookie, reply)) = self.sessions.answered(&device, nonce, request.digest, now) {
            let response = WpiResponse::plain(reply, Outcome::Repeated);
            return WpiResponse { set_cookie: cookie, flow: cookie, ..response };
        }
        if let Some(cause) = self.overloaded(&device, request.shed) {
            return WpiResponse::overload(cause);
        }
        if let Some(old) = self.sessions.replace(&device) {
            self.keep_abandoned(*old);
        }
        let step = self.first_step(&device, &request, now);
        let step = match step.next {
            Next::Need(need) => {
                let made = self.around.credentials.issue(need, now).await;
                let policy = self.templates.policy();
                step.flow.credentials(&self.context(self.now(), &policy), made, nonce, request.digest)
            }
            _ => step,
        };
        self.answer_first(&device, &request, step).await
    }

    fn first_step(&self, device: &DeviceId, request: &WpiRequest<'_>, now: crate::time::Timestamp) -> Step {
        let base = self.fleet.get(device).unwrap_or_else(|| std::sync::Arc::new(Device::new(device.clone())));
        let policy = self.templates.policy();
        let step = Flow::open(&self.context(now, &policy), base, request.message, &arrival(request));
        self.tell(&step.events);
        step
    }

    /// Perform what the first step of a flow wants.
    async fn answer_first(&self, device: &DeviceId, request: &WpiRequest<'_>, step: Step) -> WpiResponse {
        let Step { flow, next, update, .. } = step;
        let nonce = request.message.nonce;
        match next {
            Next::Refuse(reply) => WpiResponse::plain(reply, Outcome::Refused),
            Next::Reply(reply) => {
                let (cookie, old) = self.sessions.insert(Box::new(flow), &*self.around.random);
                if let Some(old) = old {
                    self.keep_abandoned(*old);
                }
                let answer = (Some(cookie), reply.clone());
                self.sessions.remember(device, nonce, request.digest, self.now(), answer);
                let response = WpiResponse::plain(reply, Outcome::Answered);
                WpiResponse { set_cookie: Some(cookie), flow: Some(cookie), ..response }
            }
            Next::Finish(reply) | Next::FinishWithoutAnswer(reply) => {
                let opened = flow.opened();
                if let Err(cause) = self.save(device, update).await {
                    // The phone opens again; nothing was promised.
                    return WpiResponse::overload(cause);
                }
                let cookie = self.sessions.cookie(device, &*self.around.random);
                let now = self.now();
                self.sessions.remember(device, nonce, request.digest, now, (Some(cookie), reply.clone()));
                let response = WpiResponse::plain(reply, Outcome::Finished);
                WpiResponse { set_cookie: Some(cookie), flow_time: Some(now.since(opened)), ..response }
            }
            // Credentials are asked for once in a flow.
            Next::Need(_) => WpiResponse::plain(Reply::clean_up(), Outcome::Refused),
        }
    }

    async fn go_on(&self, request: WpiRequest<'_>) -> WpiResponse {
        let now = self.now();
        let device = device_of(request.message);
        let hints = Hints {
            cookie: request.cookie,
            has_cookie: request.has_cookie,
            connection: request.connection,
            device: device.as_ref(),
        };
        let (cookie, flow) = match self.sessions.check_out(hints, request.source, request.door, now) {
            Found::Flow(cookie, flow) => (cookie, flow),
            Found::Busy => return WpiResponse::overload(OverloadCause::Busy),
            Found::Over(reply) => return WpiResponse::plain(reply, Outcome::Repeated),
            Found::None => {
                if let (Reason::CleanUp, Some(device)) = (&request.message.reason, device) {
                    self.lone_clean_up(&device, &request);
                }
                return WpiResponse::plain(Reply::clean_up(), Outcome::LostSession);
            }
        };
        let policy = self.templates.policy();
        let context: Context<'_> = self.context(now, &policy);
        let step = flow.advance(&context, request.message, &arrival(&request));
        self.tell(&step.events);
        self.answer_later(cookie, step).await
    }

    /// Perform what a later step of a flow wants.
    async fn answer_later(&self, cookie: Cookie, step: Step) -> WpiResponse {
        let Step { mut flow, next, update, .. } = step;
        let (device, source, opened) = (flow.device().clone(), flow.source(), flow.opened());
        match next {
            Next::Reply(reply) => {
                self.park(cookie, flow);
                WpiResponse { flow: Some(cookie), ..WpiResponse::plain(reply, Outcome::Answered) }
            }
            Next::Refuse(reply) => {
                self.park(cookie, flow);
                WpiResponse::plain(reply, Outcome::Refused)
            }
            Next::Finish(reply) | Next::FinishWithoutAnswer(reply) => {
                // Parked before the wait: if this request is cut off, the phone's repetition finds the flow.
                if let Some(update) = &update {
                    flow.keep_update(update.clone());
                }
                self.park(cookie, flow);
                if let Err(cause) = self.save(&device, update).await {
                    return WpiResponse::overload(cause);
                }
                let now = self.now();
                self.sessions.close(cookie, &device, source, now, reply.clone());
                let response = WpiResponse::plain(reply, Outcome::Finished);
                WpiResponse { flow_time: Some(now.since(opened)), ..response }
            }
            Next::Need(_) => {
                self.park(cookie, flow);
                WpiResponse::plain(Reply::clean_up(), Outcome::Refused)
            }
        }
    }

    fn park(&self, cookie: Cookie, flow: Flow) {
        if let Some(flow) = self.sessions.park(cookie, Box::new(flow)) {
            // A new opening message took its place while it was stepped.
            self.keep_abandoned(*flow);
        }
    }

    /// Apply an update and wait until it is durable.
    async fn save(&self, device: &DeviceId, update: Option<DeviceUpdate>) -> Result<(), OverloadCause> {
        let ticket = match update {
            Some(update) => {
                self.fleet.update(device, true, |current| Ok(update.apply(current))).map(|done| Some(done.1))
            }
            // Applied before, but not durable then.
            None => self.fleet.rewrite(device),
        };
        match ticket {
            Ok(Some(ticket)) => ticket.await.map_err(|error| {
                tracing::warn!(%device, %error, "a commit failed");
                OverloadCause::Store
            }),
            Ok(None) => Ok(()),
            Err(FleetError::Full { limit }) => {
                let text = format!("{device} is not taken: there are {limit} devices");
                self.record(EventDraft::about(device, EventKind::FleetFull, text));
                Err(OverloadCause::Fleet)
            }
            Err(error) => {
                tracing::debug!(%device, %error, "an update was not taken");
                Err(OverloadCause::Store)
            }
        }
    }

    /// Whether a new flow of this device has to wait.
    fn overloaded(&self, device: &DeviceId, shed: bool) -> Option<OverloadCause> {
        if shed {
            return Some(OverloadCause::Connections);
        }
        if self.around.store.load() > STORE_NEARLY_FULL {
            return Some(OverloadCause::Store);
        }
        if self.sessions.open() >= self.sessions.limit() && !self.sessions.has_flow(device) {
            return Some(OverloadCause::Flows);
        }
        (!self.fleet.has_room() && self.fleet.get(device).is_none()).then_some(OverloadCause::Fleet)
    }

    /// A `clean-up` outside of any flow: the phone gave up what it was told before (WPI reference, section 7.4).
    fn lone_clean_up(&self, device: &DeviceId, request: &WpiRequest<'_>) {
        let Some(known) = self.fleet.get(device) else { return };
        let reason = request.message.items.iter().find(|item| item.name == "cleanup-reason");
        let text: String = reason.map_or("no reason given", |item| &item.value).chars().take(200).collect();
        self.record(EventDraft::about(device, EventKind::PhoneCleanUp, text.clone()));
        if !known.security.mode.is_enabling() {
            return;
        }
        let update =
            DeviceUpdate { security: Some(SecurityChange::Failed(text.into())), ..DeviceUpdate::default() };
        if let Err(error) = self.fleet.update_detached(device, false, |current| Ok(update.apply(current))) {
            tracing::debug!(%device, %error, "a clean-up was not kept");
        }
    }

    fn tell(&self, events: &[EventDraft]) {
        for event in events {
            self.record(event.clone());
        }
    }
}

/// The device that the items name.
fn device_of(message: &PhoneMessage<'_>) -> Option<DeviceId> {
    let item = message.items.iter().rev().find(|item| item.name == "mac-addr")?;
    item.value.parse().ok()
}

fn arrival(request: &WpiRequest<'_>) -> Arrival {
    Arrival { source: request.source, door: request.door.clone(), digest: request.digest }
}
