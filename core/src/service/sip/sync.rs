//! Telling phones to fetch their configuration: NOTIFY with `check-sync`, outside of any dialogue (SIP reference, section
//! check-sync).
//!
//! A device with such a task is told on the flow of its latest registration, in the words of its vendor; without one at the
//! address that it came from last (`unregistered`). A task that makes the
//! phone restart is durable as running before the message leaves, so that a crash never makes it restart twice.

use std::fmt::Write as _;
use std::sync::Arc;

use callboard_codecs::sip::{
    BadText, Challenge, HeaderName, MessageWriter, Method, RequestHead, Response, ViaHead,
};
use tokio::sync::oneshot;

use super::request::{Purpose, Told};
use super::target::request_uri;
use super::time::{routes, wire};
use super::{SendFault, Sip};
use crate::device::{Device, DeviceId, Task, TaskId, TaskOutcome, TaskState, TaskType};
use crate::dialogue::sip::T1_64;
use crate::dialogue::sip::client::Branch;
use crate::fleet::FleetError;
use crate::job::{JobBook, is_due};
use crate::reach::CallOutcome;
use crate::service::Service;
use crate::sip::binding::Binding;
use crate::sip::credentials::Line;
use crate::sip::digest::{Algorithm, Ha1, Known, Received, respond};
use crate::sip::vendor::{SyncWish, Vendor};
use crate::store::Ticket;
use crate::time::Timestamp;

/// A phone that is being told.
#[derive(Debug)]
pub(super) struct Sync {
    /// The device, if it is one of ours.
    pub(super) device: Option<DeviceId>,
    /// The address-of-record, and the binding that the message goes to.
    aor: Box<str>,
    binding: Box<Binding>,
    wish: SyncWish,
    /// Number of the message, from 1; beyond the first it answers a challenge.
    cseq: u32,
    call: Branch,
    /// Tasks that it carries out if it does not make the phone restart: those that waited when it began.
    tasks: Vec<TaskId>,
    /// Who waits for the outcome.
    told: Option<oneshot::Sender<CallOutcome>>,
}

/// A phone that is to be told as soon as its tasks say so durably.
#[derive(Debug)]
pub struct SyncCall {
    pub(super) sync: Sync,
    /// The tasks that are carried out by it say that they are under way.
    pub ticket: Option<Ticket>,
}

/// Why a phone cannot be told by SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSync {
    /// It is not registered.
    #[error("it is not registered by SIP")]
    NotRegistered,
    /// Somebody is registered who says that it is this device, which has a password of its own.
    #[error("who is registered for it has not shown its password")]
    NotProven,
    /// It is registered, but there is no way to it.
    #[error("its connection is gone, and it has not come again")]
    FlowGone,
}

impl Service {
    /// Whether a device can be told where it is registered.
    pub fn sync_way(&self, id: &DeviceId) -> Result<(), NoSync> {
        self.sip_line(id).map(|_| ())
    }

    /// The latest registration of a device over which it can be told something.
    pub(super) fn sip_line(&self, id: &DeviceId) -> Result<(Box<str>, Binding), NoSync> {
        let mut lines = self.sip.location.of_device(id, self.steady());
        lines.retain(|(_, binding)| binding.is_sip());
        // Where one line has shown that it is of the device, those that only say so may be somebody else's.
        let is_any_proven = lines.iter().any(|(_, binding)| binding.is_proven);
        if lines.is_empty() {
            return Err(NoSync::NotRegistered);
        }
        if !is_any_proven && self.sip.credentials.has_of(id) {
            return Err(NoSync::NotProven);
        }
        lines.retain(|(_, binding)| binding.is_proven == is_any_proven);
        let usable = lines.into_iter().filter(|(_, binding)| !binding.flow.is_gone());
        usable.max_by_key(|(_, binding)| binding.refreshed).ok_or(NoSync::FlowGone)
    }

    /// Prepare to tell a device by SIP, whatever for. A task that makes it restart is under way then.
    pub fn begin_sync(&self, id: &DeviceId) -> Result<SyncCall, CallOutcome> {
        let (aor, binding) = match self.sip_line(id) {
            Err(NoSync::NotRegistered) => self.expected_line(id).map_err(CallOutcome::NotCalled)?,
            line => line.map_err(|_| CallOutcome::Unreachable)?,
        };
        let (now, book) = (self.now(), self.jobs.book());
        let known = self.fleet.get(id);
        let tasks = known.iter().flat_map(|device| &device.tasks);
        let waiting: Vec<_> = tasks.filter(|task| is_waiting(task, &book, now)).collect();
        let restarts = waiting.iter().any(|task| task.task_type == TaskType::CheckSyncRestart);
        let wish = if restarts { SyncWish::Restart } else { SyncWish::Fetch };
        let ticket = match restarts.then(|| self.hand_out(id)).transpose() {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::debug!(device = %id, %error, "it is told later");
                return Err(CallOutcome::NoSocket);
            }
        };
        let tasks = waiting.iter().filter(|task| task.task_type == TaskType::CheckSync);
        let tasks = tasks.map(|task| task.id).collect();
        let sync = Sync { tasks, ..self.sync_of(Some(id.clone()), aor, binding, wish) };
        Ok(SyncCall { sync, ticket })
    }

    pub(super) fn sync_of(
        &self,
        device: Option<DeviceId>,
        aor: Box<str>,
        binding: Binding,
        wish: SyncWish,
    ) -> Sync {
        let call = self.sip.next_branch();
        Sync { device, aor, binding: Box::new(binding), wish, cseq: 1, call, tasks: Vec::new(), told: None }
    }

    /// Tell whoever is registered for an address-of-record, at its latest contact. What came of it is told, and is nobody's
    /// task.
    pub fn sync_aor(&self, aor: &str, wish: SyncWish) -> Result<oneshot::Receiver<CallOutcome>, NoSync> {
        let mut bindings = self.sip.location.get(aor, self.steady());
        bindings.retain(Binding::is_sip);
        if bindings.is_empty() {
            return Err(NoSync::NotRegistered);
        }
        let usable = bindings.into_iter().filter(|binding| !binding.flow.is_gone());
        let latest = usable.max_by_key(|binding| binding.refreshed).ok_or(NoSync::FlowGone)?;
        let sync = self.sync_of(None, aor.into(), latest, wish);
        Ok(self.send_sync(SyncCall { sync, ticket: None }))
    }

    /// The tasks that a NOTIFY carries out are under way: none of them is handed out once more, whatever happens.
    fn hand_out(&self, id: &DeviceId) -> Result<Ticket, FleetError> {
        let (now, book) = (self.now(), self.jobs.book());
        let until = now.plus(T1_64 * 2);
        let (_, ticket) = self.fleet.update(id, false, |device| {
            let mut new = device.clone();
            new.revision += 1;
            for task in new.tasks.iter_mut().filter(|task| is_waiting(task, &book, now)) {
                task.state = TaskState::Running { since: now, until };
            }
            Ok(new)
        })?;
        Ok(ticket)
    }

    /// Tell it. The outcome comes when it answers, or does not.
    pub fn send_sync(&self, call: SyncCall) -> oneshot::Receiver<CallOutcome> {
        let (told, outcome) = oneshot::channel();
        self.notify(Sync { told: Some(told), ..call.sync }, None);
        outcome
    }

    fn notify(&self, sync: Sync, authorization: Option<&(HeaderName, String)>) {
        let now = self.steady();
        let branch = self.sip.next_branch();
        let request = match self.sip.check_sync(&sync, branch, authorization) {
            Ok(request) => request,
            Err(bad) => {
                tracing::warn!(aor = %sync.aor, %bad, "check-sync cannot be written");
                return self.synced(sync, CallOutcome::NoSocket);
            }
        };
        let flow = sync.binding.flow;
        if let Err((purpose, fault)) = self.sip.begin(branch, &flow, &request, Purpose::Sync(sync), now)
            && let Purpose::Sync(sync) = purpose
        {
            let outcome = match fault {
                Some(SendFault::FlowGone) => CallOutcome::Broken,
                _ => CallOutcome::NoSocket,
            };
            self.synced(sync, outcome);
        }
    }

    /// What the phone said.
    pub(super) fn sync_told(&self, sync: Sync, told: Told, response: Option<&Response<'_>>) {
        let challenged = match (told, response) {
            (Told::Status(401 | 407), Some(response)) if sync.cseq == 1 => {
                self.sip.answer_challenge(&sync, response)
            }
            _ => None,
        };
        if let Some(authorization) = challenged {
            return self.notify(Sync { cseq: sync.cseq + 1, ..sync }, Some(&authorization));
        }
        let outcome = match told {
            Told::Status(200..=299) => CallOutcome::Understood,
            Told::Status(status) => CallOutcome::Status(status),
            Told::Nothing => CallOutcome::TimedOut,
        };
        self.synced(sync, outcome);
    }

    /// It is over: the device's tasks are told, then who waits.
    fn synced(&self, sync: Sync, outcome: CallOutcome) {
        tracing::debug!(aor = %sync.aor, %outcome, "check-sync");
        self.sip.metrics.synced(&outcome);
        if let Err(error) = self.end_sync_tasks(&sync, outcome) {
            tracing::debug!(aor = %sync.aor, %error, "what came of check-sync is not noted");
        }
        if let Some(told) = sync.told {
            // Who does not wait any more does not want to know.
            let _ = told.send(outcome);
        }
    }

    fn end_sync_tasks(&self, sync: &Sync, outcome: CallOutcome) -> Result<(), FleetError> {
        let Some(id) = &sync.device else { return Ok(()) };
        let Some(known) = self.fleet.get(id) else { return Ok(()) };
        if !known.tasks.iter().any(|task| sync.carries_out(task)) {
            return Ok(());
        }
        let now = self.now();
        let device = self.fleet.update_detached(id, false, |device| {
            let mut new = device.clone();
            new.revision += 1;
            sync.note_outcome(&mut new, outcome, now);
            Ok(new)
        })?;
        self.tell_ended(&known, &device);
        // What could not be sent waits again.
        self.work_begins(id);
        Ok(())
    }
}

/// Whether a task waits to be carried out by a NOTIFY.
fn is_waiting(task: &Task, book: &JobBook, now: Timestamp) -> bool {
    task.is_pending() && task.task_type.is_check_sync() && is_due(task, book, now)
}

impl Sync {
    /// Whether it is this message that carries a task out. One that makes the phone restart is under way, others wait: telling
    /// them once more does no harm.
    fn carries_out(&self, task: &Task) -> bool {
        task.task_type.is_check_sync()
            && match self.wish {
                SyncWish::Restart => task.is_running(),
                SyncWish::Fetch => task.is_pending() && self.tasks.contains(&task.id),
            }
    }

    /// What the outcome means for the tasks that it carries out.
    fn note_outcome(&self, device: &mut Device, outcome: CallOutcome, now: Timestamp) {
        let of_it = |task: &Task| self.carries_out(task);
        match (outcome, self.wish) {
            (CallOutcome::Understood, _) => {
                device.end_task(now, TaskOutcome::Successful, "the phone answered", of_it);
            }
            (CallOutcome::Status(status), _) => {
                let reason = match status {
                    401 | 407 => format!("the phone wants a password that is not known ({status})"),
                    481 | 489 => format!("the phone does not know check-sync ({status})"),
                    _ => format!("the phone answered {status}"),
                };
                device.end_task(now, TaskOutcome::Failed, &reason, of_it);
            }
            // It may have heard: it must not restart twice.
            (CallOutcome::TimedOut, SyncWish::Restart) => {
                let reason = "the phone did not answer; it may have restarted";
                device.end_task(now, TaskOutcome::Timeout, reason, of_it);
            }
            // Nothing has left.
            (_, SyncWish::Restart) => {
                for task in device.tasks.iter_mut().filter(|task| of_it(task)) {
                    task.state = TaskState::Pending;
                }
            }
            (_, SyncWish::Fetch) => {}
        }
    }
}

impl Sip {
    fn check_sync(
        &self,
        sync: &Sync,
        branch: Branch,
        authorization: Option<&(HeaderName, String)>,
    ) -> Result<Arc<[u8]>, BadText> {
        let binding = &sync.binding;
        let names = self.names(sync.call, &binding.flow);
        let via = self.names(branch, &binding.flow);
        let (to, contact) = (format!("<sip:{}>", sync.aor), self.own_contact(&binding.flow));
        let uri = request_uri(&binding.contact);
        let event = Vendor::of(&binding.user_agent).sync_event(sync.wish);
        let head = RequestHead {
            method: Method::Notify,
            uri: uri.as_bytes(),
            via: ViaHead {
                transport: wire(binding.flow.transport),
                sent_by: via.sent_by.as_bytes(),
                branch: via.branch.as_bytes(),
                rport: true,
            },
            routes: &routes(&binding.path),
            max_forwards: 70,
            from: names.from.as_bytes(),
            to: to.as_bytes(),
            call_id: names.call_id.as_bytes(),
            cseq: sync.cseq,
        };
        let mut out = Vec::with_capacity(768);
        let mut writer = MessageWriter::request(&mut out, &head)
            .header(HeaderName::Contact, contact.as_bytes())
            .header(HeaderName::Event, event.as_bytes())
            .header(HeaderName::SubscriptionState, b"terminated");
        if let Some((name, value)) = authorization {
            writer = writer.header(*name, value.as_bytes());
        }
        writer.finish()?;
        Ok(out.into())
    }

    /// The header field that answers a phone's challenge, if its own password is known.
    fn answer_challenge(&self, sync: &Sync, response: &Response<'_>) -> Option<(HeaderName, String)> {
        let (asks, answers) = match response.status {
            401 => (HeaderName::WwwAuthenticate, HeaderName::Authorization),
            _ => (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization),
        };
        let challenges = response.headers.challenges(asks).filter_map(Result::ok);
        let value = challenges.take(4).find_map(|challenge| match challenge {
            Challenge::Digest(digest) => self.respond(sync, &received(&digest)?),
            Challenge::Other { .. } => None,
        })?;
        Some((answers, value))
    }

    fn respond(&self, sync: &Sync, received: &Received<'_>) -> Option<String> {
        let (user, host) = sync.aor.split_once('@').unwrap_or((&sync.aor, ""));
        let own = self.credentials.realm_of(host);
        let name = &*sync.binding.username;
        let proven = own.as_ref().filter(|_| !name.is_empty()).map(|realm| (realm.name.as_str(), name));
        // Of a device that only says so itself nothing is given away.
        let device = sync.binding.device.as_ref().filter(|_| sync.binding.is_proven);
        let line = Line { proven, device: proven.and(device), user };
        let credential = self.credentials.answering(received.realm, &line)?;
        let ha1: &Ha1 = credential.ha1();
        let cnonce = format!("{:016x}", self.next_branch());
        let uri = request_uri(&sync.binding.contact);
        let answer = respond(ha1, received, "NOTIFY", &uri, &cnonce, 1).ok()?;
        // Who wants MD5 where phones are asked for better may want to try passwords.
        let is_weak = answer.scheme.algorithm == Algorithm::Md5;
        if is_weak && !self.settings.digest.offer.algorithms().contains(&Algorithm::Md5) {
            return None;
        }
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\", algorithm={}",
            credential.username.as_str(),
            received.realm,
            received.nonce,
            answer.response.as_str(),
            answer.scheme.name(),
        );
        if let Some(nc) = answer.nc {
            // Writing to a text cannot fail.
            let _ = write!(value, ", qop=auth, nc={nc}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = received.opaque {
            let _ = write!(value, ", opaque=\"{opaque}\"");
        }
        Some(value)
    }
}

/// A phone's challenge; `None` if it is no text.
fn received<'a>(digest: &callboard_codecs::sip::DigestChallenge<'a>) -> Option<Received<'a>> {
    let text = |bytes: &'a [u8]| str::from_utf8(bytes).ok();
    Some(Received {
        realm: text(digest.realm)?,
        nonce: text(digest.nonce)?,
        algorithm: digest.algorithm.and_then(text),
        qop: digest.qop.and_then(text),
        opaque: digest.opaque.and_then(text),
    })
}
