//! One WPI message: find its flow, take the step, make it durable, answer.

mod after;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::wpi::{PhoneMessage, Reason};

use super::{IssueError, Outcome, OverloadCause, Service};
use crate::device::{
    Device, DeviceId, DeviceUpdate, Offered, SecureMode, Security, SecurityChange, TaskId, TaskState,
};
use crate::dialogue::sessions::{Cookie, Found, Hints};
use crate::dialogue::wpi::{Arrival, Credentials, Door, Flow, Learned, Next, Reply, Step, admit};
use crate::event::{EventDraft, EventKind};
use crate::fleet::FleetError;
use crate::pki::Series;
use crate::site::{Origin, SiteId};
use crate::store::SubmitError;
use crate::time::Timestamp;

/// The store may be this full before new dialogues are asked to come later: those already inside need the rest.
const STORE_NEARLY_FULL: f32 = 0.75;

/// Whoever sends from one address: the listener keeps account of them.
pub trait Sender: fmt::Debug + Sync {
    /// Whether many phones speak from there by right, as behind a proxy: bounds of one address do not hold for it.
    fn is_exempt(&self) -> bool;

    /// The site whose edge relayed the connection; `None` if it came by itself.
    fn site(&self) -> Option<SiteId> {
        None
    }

    /// Whether it may bring a device that is not known yet. Asked once when such a device opens a flow; a yes is
    /// counted.
    fn may_bring_device(&self) -> bool;
}

/// A message and how it came.
#[derive(Clone, Copy, Debug)]
pub struct WpiRequest<'a> {
    /// The message.
    pub message: &'a PhoneMessage<'a>,
    /// The listener.
    pub door: &'a Door,
    /// The sender's address.
    pub source: IpAddr,
    /// What the phone called the server: its `Host` header.
    pub host: Option<&'a str>,
    /// A fingerprint of the body.
    pub digest: u64,
    /// Our cookie, if it can be one.
    pub cookie: Option<Cookie>,
    /// The request had any cookie.
    pub has_cookie: bool,
    /// The flow that this connection opened.
    pub connection: Option<Cookie>,
    /// What the listener knows of the sender.
    pub sender: &'a dyn Sender,
    /// Whoever opens a flow shall come later, and why. Over the budget of its source so shall whoever is in no open flow.
    pub shed: Option<OverloadCause>,
}

impl WpiRequest<'_> {
    /// Where it came from.
    pub fn origin(&self) -> Origin {
        Origin { site: self.sender.site(), address: self.source }
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

    /// The phone is to come later.
    pub fn overload(cause: OverloadCause) -> Self {
        Self::plain(Reply::overload(), Outcome::Overload(cause))
    }

    fn with_cookie(self, cookie: Cookie) -> Self {
        Self { set_cookie: Some(cookie), flow: Some(cookie), ..self }
    }
}

impl Service {
    /// Answer a phone's message. When this returns, what the reply acknowledges is durable.
    ///
    /// As soon as the flow is known, its number is recorded in the field `flow` of the current span, if that has one.
    ///
    /// The future may be dropped at any time; a phone that repeats its message gets its answer then.
    pub async fn wpi(&self, request: WpiRequest<'_>) -> WpiResponse {
        let device = device_of(request.message);
        let (source, site) = (request.source, request.sender.site());
        let host = request.host.filter(|_| request.message.reason.is_opening()).map(Into::into);
        let arrival = Arrival { source, site, host, door: request.door.clone(), digest: request.digest };
        if let Some(device) = &device {
            let known = self.fleet.get(device);
            let unknown = Security::default();
            let security = known.as_deref().map_or(&unknown, |known| &known.security);
            if let Err((reason, event)) = admit(device, security, &arrival) {
                self.record(event);
                return WpiResponse::plain(Reply::clean_up_because(reason), Outcome::Refused);
            }
        }
        match (request.message.reason.is_opening(), device) {
            (true, Some(device)) => self.open(request, &arrival, &device).await,
            (true, None) => WpiResponse::plain(Reply::clean_up(), Outcome::NoDevice),
            (false, device) => self.go_on(request, &arrival, device).await,
        }
    }

    async fn open(&self, request: WpiRequest<'_>, arrival: &Arrival, device: &DeviceId) -> WpiResponse {
        let (now, nonce) = (self.now(), request.message.nonce);
        if let Some((cookie, reply)) = self.sessions.answered(device, nonce, request.digest, now) {
            tell_span(cookie);
            return WpiResponse::plain(reply, Outcome::Repeated).with_cookie(cookie);
        }
        if let Some(cause) = self.overloaded(device, &request) {
            return WpiResponse::overload(cause);
        }
        let (cookie, old) = self.sessions.begin(device, arrival, now, &*self.around.random);
        tell_span(cookie);
        if let Some(old) = old {
            self.keep_abandoned(*old);
        }
        // Before the device is looked at: what is added from now on is marked anew.
        let site = self.fleet.look(device, |known| known.route.site).flatten();
        self.reach.came(device, site, now);
        let begun = Begun(Some((self, device)));
        let step = self.first_step(cookie, device, request.message, arrival).await;
        begun.keep();
        let step = match step {
            Ok(step) => step,
            Err(response) => return response,
        };
        let response = self.answer(cookie, device, step).await;
        if matches!(response.outcome, Outcome::Overload(_) | Outcome::LostSession) {
            // The phone opens again; nothing was promised.
            return response;
        }
        let answer = (cookie, response.reply.clone());
        self.sessions.remember(device, nonce, request.digest, self.now(), answer);
        response.with_cookie(cookie)
    }

    async fn first_step(
        &self,
        cookie: Cookie,
        device: &DeviceId,
        message: &PhoneMessage<'_>,
        arrival: &Arrival,
    ) -> Result<Step, WpiResponse> {
        let base = self.fleet.get(device).unwrap_or_else(|| Arc::new(Device::new(device.clone())));
        let now = self.now();
        let (series, choice) = (base.security.series(), base.security.choice());
        let mut step = Flow::open(
            &self.context(now, &self.templates.policy(), &self.jobs.book()),
            base,
            message,
            arrival,
        );
        self.tell(&mut step);
        let Next::Need(need) = step.next else { return Ok(step) };
        let series = series.unwrap_or_else(|| self.new_series());
        let made = match self.around.credentials.issue(need, series, arrival.origin(), now).await {
            Err(IssueError::Failed(reason)) => Err(reason),
            Err(IssueError::Later) if step.flow.renews() => {
                let policy = self.templates.policy();
                let jobs = self.jobs.book();
                let context = self.context(self.now(), &policy, &jobs);
                let mut step = step.flow.without_renewal(&context, message.nonce, arrival.digest);
                self.tell(&mut step);
                return Ok(step);
            }
            Err(IssueError::Later) => {
                drop(self.park(cookie, step.flow));
                return Err(WpiResponse::overload(OverloadCause::Credentials));
            }
            Ok(credentials) => match self.offer(device, series, choice, &credentials).await {
                Ok(()) => Ok(credentials),
                Err(Unsaved::Never) => Err("the device was changed meanwhile".to_owned()),
                Err(Unsaved::Later(cause)) => {
                    drop(self.park(cookie, step.flow));
                    return Err(WpiResponse::overload(cause));
                }
            },
        };
        let policy = self.templates.policy();
        let jobs = self.jobs.book();
        let context = self.context(self.now(), &policy, &jobs);
        let mut step = step.flow.credentials(&context, made, message.nonce, arrival.digest);
        self.tell(&mut step);
        Ok(step)
    }

    /// Put a flow back to where the next message finds it. Gives it back if its place is taken, or was given up because
    /// the step took so long.
    fn park(&self, cookie: Cookie, flow: Flow) -> Option<Box<Flow>> {
        let flow = self.sessions.park(cookie, Box::new(flow))?;
        if !self.sessions.has_flow(flow.device()) {
            self.flow_is_over(flow.device());
        }
        Some(flow)
    }

    fn new_series(&self) -> Series {
        let random = self.around.random.next_u128() & u128::from(u64::MAX);
        Series::new(u64::try_from(random).unwrap_or_default())
    }

    /// Remember of which series a certificate is before it leaves: the phone may store it although its answer is lost.
    /// Nothing leaves if an administrator made another choice while it was made.
    async fn offer(
        &self,
        device: &DeviceId,
        series: Series,
        choice: (SecureMode, Timestamp),
        made: &Credentials,
    ) -> Result<(), Unsaved> {
        let offered = Offered::series(series, self.now(), made.expires);
        let security = Some(SecurityChange::Offered { offered, choice });
        let update = DeviceUpdate { security, ..DeviceUpdate::default() };
        self.save(device, Learned { update, ..Learned::default() }).await?;
        let Some(known) = self.fleet.get(device) else { return Err(Unsaved::Never) };
        let security = &known.security;
        if security.choice() == choice && security.knows(&made.serial) {
            return Ok(());
        }
        // Another choice, or another flow of this device began a series. The phone gets what is right when it comes again.
        Err(Unsaved::Later(OverloadCause::Credentials))
    }

    async fn go_on(
        &self,
        request: WpiRequest<'_>,
        arrival: &Arrival,
        device: Option<DeviceId>,
    ) -> WpiResponse {
        let message = request.message;
        let hints = Hints {
            cookie: request.cookie,
            has_cookie: request.has_cookie,
            connection: request.connection,
            device: device.as_ref(),
        };
        let now = self.now();
        if self.sessions.is_too_heavy() {
            return WpiResponse::overload(OverloadCause::Flows);
        }
        let is_over_budget = request.shed == Some(OverloadCause::SourceRequests);
        match self.sessions.check_out(hints, arrival, now) {
            // Else whoever leaves out the opening message could send, and have things made durable, without bounds.
            Found::None | Found::Over(..) if is_over_budget => {
                WpiResponse::overload(OverloadCause::SourceRequests)
            }
            Found::Flow(cookie, flow) => {
                tell_span(cookie);
                let policy = self.templates.policy();
                let jobs = self.jobs.book();
                let mut step = flow.advance(&self.context(now, &policy, &jobs), message, arrival);
                self.tell(&mut step);
                let device = step.flow.device().clone();
                self.answer(cookie, &device, step).await
            }
            Found::Busy => WpiResponse::overload(OverloadCause::Busy),
            Found::Over(device, reply) => self.after_the_end(&device, reply, message).await,
            Found::None => {
                if let (Reason::CleanUp, Some(device)) = (&message.reason, device)
                    && let Err(response) = self.given_up(&device, message).await
                {
                    return response;
                }
                WpiResponse::plain(Reply::clean_up(), Outcome::LostSession)
            }
        }
    }

    /// Perform what a step wants.
    async fn answer(&self, cookie: Cookie, device: &DeviceId, step: Step) -> WpiResponse {
        let Step { flow, next, learned, .. } = step;
        let (opened, reason, actions) = (flow.opened(), flow.reason(), flow.actions());
        // Parked before any wait: if this request is cut off, the phone's repetition finds the flow.
        if let Some(flow) = self.park(cookie, flow) {
            // A new opening message took its place while it was stepped, and knows better.
            self.keep_proof(*flow);
            return WpiResponse::plain(Reply::clean_up(), Outcome::LostSession);
        }
        let reply = match next {
            Next::Reply(reply) => {
                return WpiResponse { flow: Some(cookie), ..WpiResponse::plain(reply, Outcome::Answered) };
            }
            Next::Finish(reply) => reply,
            // Credentials are asked for once in a flow, and then they are there.
            Next::Need(_) => Reply::clean_up(),
        };
        let learned = learned.unwrap_or_default();
        let sent = learned.sent();
        let reply = match self.save(device, learned).await {
            Ok(()) if self.is_still_sent(device, &sent) => reply,
            Err(Unsaved::Later(cause)) => return WpiResponse::overload(cause),
            // Cancelled meanwhile, or handed out by another flow: not twice. Or nobody will keep it.
            Ok(()) | Err(Unsaved::Never) => Reply::clean_up(),
        };
        let now = self.now();
        self.sessions.close(cookie, device, now, reply.clone());
        self.flow_is_over(device);
        let took = now.since(opened);
        tracing::debug!(%device, reason, actions, seconds = took.as_secs_f64(), "flow ended");
        WpiResponse { flow_time: Some(took), ..WpiResponse::plain(reply, Outcome::Finished) }
    }

    /// Whether these tasks run since the time at which this flow handed them out.
    fn is_still_sent(&self, device: &DeviceId, sent: &[(TaskId, Timestamp)]) -> bool {
        if sent.is_empty() {
            return true;
        }
        let Some(device) = self.fleet.get(device) else { return false };
        sent.iter().all(|(id, at)| {
            let task = device.tasks.iter().find(|task| task.id == *id);
            task.is_some_and(|task| matches!(task.state, TaskState::Running { since, .. } if since == *at))
        })
    }

    /// Of a flow that was replaced only what nothing newer can contradict is kept: a TAN that was guessed wrong, and
    /// credentials that were taken.
    fn keep_proof(&self, flow: Flow) {
        let device = flow.device().clone();
        let security = flow.abandon().update.security;
        let is_proof = |change: &SecurityChange| {
            matches!(change, SecurityChange::WrongTan { .. } | SecurityChange::Sent { .. })
        };
        let Some(security) = security.filter(is_proof) else { return };
        let update = DeviceUpdate { security: Some(security), ..DeviceUpdate::default() };
        if let Err(error) = self.fleet.update_detached(&device, false, |current| Ok(update.apply(current))) {
            tracing::debug!(%device, %error, "a replaced flow was not kept");
        }
    }

    /// Apply what was learned and wait until it is durable.
    async fn save(&self, device: &DeviceId, learned: Learned) -> Result<(), Unsaved> {
        let create = learned.is_new;
        let mut news = Vec::new();
        let updated = self.fleet.update(device, create, |current| Ok(learned.lay_over(current, &mut news)));
        let error = match updated {
            Ok((_, ticket)) => {
                for event in news {
                    self.record(event);
                }
                return ticket.await.map_err(|error| {
                    tracing::warn!(%device, %error, "a commit failed");
                    Unsaved::Later(OverloadCause::Store)
                });
            }
            Err(error) => error,
        };
        tracing::debug!(%device, %error, "what was learned is not taken");
        match error {
            // Deleted while it spoke.
            FleetError::Unknown(_) => Err(Unsaved::Never),
            FleetError::Full { limit } => {
                let text = format!("{device} is not taken: there are {limit} devices");
                // Whoever invents devices shall not push other events out: these are alike.
                self.record(EventDraft::node(EventKind::FleetFull, text));
                Err(Unsaved::Later(OverloadCause::Fleet))
            }
            FleetError::Submit(SubmitError::TooLarge { bytes, limit, .. }) => {
                let text = format!("its record would have {bytes} bytes, {limit} are allowed");
                self.record(EventDraft::about(device, EventKind::DeviceTooLarge, text));
                Err(Unsaved::Never)
            }
            _ => Err(Unsaved::Later(OverloadCause::Store)),
        }
    }

    async fn save_or_later(&self, device: &DeviceId, learned: Learned) -> Result<(), WpiResponse> {
        match self.save(device, learned).await {
            Err(Unsaved::Later(cause)) => Err(WpiResponse::overload(cause)),
            Ok(()) | Err(Unsaved::Never) => Ok(()),
        }
    }

    /// Whether a new flow of this device has to wait.
    fn overloaded(&self, device: &DeviceId, request: &WpiRequest<'_>) -> Option<OverloadCause> {
        if request.shed.is_some() {
            return request.shed;
        }
        if self.fleet.is_unreadable(device) {
            let text = "its stored record cannot be read; delete the device to let it come anew";
            self.record(EventDraft::about(device, EventKind::DeviceUnreadable, text));
            return Some(OverloadCause::Fleet);
        }
        if self.around.store.load() > STORE_NEARLY_FULL {
            return Some(OverloadCause::Store);
        }
        // Before a flow begins: it would end one that may still come to its end.
        if *request.door == Door::Default && self.is_enabling(device) {
            let busy = self.around.credentials.is_busy(device, request.origin());
            if busy {
                return Some(OverloadCause::Credentials);
            }
        }
        let is_inside = self.sessions.has_flow(device);
        if !is_inside {
            if self.sessions.open() >= self.sessions.limit() || self.sessions.is_heavy() {
                return Some(OverloadCause::Flows);
            }
            if !request.sender.is_exempt() && self.sessions.is_full(request.origin()) {
                return Some(OverloadCause::Source);
            }
        }
        if self.fleet.get(device).is_some() {
            return None;
        }
        if !self.fleet.has_room() {
            return Some(OverloadCause::Fleet);
        }
        // A phone that begins anew before it is known was counted when it began.
        (!is_inside && !request.sender.may_bring_device()).then_some(OverloadCause::SourceNewDevices)
    }

    fn is_enabling(&self, device: &DeviceId) -> bool {
        self.fleet.get(device).is_some_and(|known| known.security.mode.is_enabling())
    }

    fn tell(&self, step: &mut Step) {
        for event in step.events.drain(..) {
            self.record(event);
        }
    }
}

/// A flow in nobody's hands: if the request is cut off now nothing is left of it, and its device is to be told of waiting
/// work again.
struct Begun<'a>(Option<(&'a Service, &'a DeviceId)>);

impl Begun<'_> {
    /// Somebody has it.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some((service, device)) = self.0 {
            service.flow_is_over(device);
        }
    }
}

/// What is logged from here on is about this flow.
fn tell_span(cookie: Cookie) {
    tracing::Span::current().record("flow", tracing::field::display(cookie.number()));
}

/// Why something was not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsaved {
    /// It may be when the phone comes again.
    Later(OverloadCause),
    /// It never will be: coming again does not help.
    Never,
}

/// The device that the items name, if that is one a phone may bring.
pub fn device_of(message: &PhoneMessage<'_>) -> Option<DeviceId> {
    let item = message.items.iter().rev().find(|item| item.name == "mac-addr")?;
    DeviceId::from_phone(&item.value).ok()
}
