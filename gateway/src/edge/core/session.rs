//! One connected edge: its control stream, and the streams of its phones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::edge::{CallOutcome, Frame, IdList, RefusalCause, Report};
use callboard_core::device::DeviceId;
use callboard_core::event::{EventDraft, EventKind};
use callboard_core::site::{Cut, Figures, Session, SiteId, Update};
use quinn::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::metrics::Outcome;
use super::{Hub, calls, relay};
use crate::edge::control::{ControlError, FrameReader, FrameWriter, parse};
use crate::edge::quic::Close;

/// Changes of a set are gathered for this long before they are sent.
const GATHER: Duration = Duration::from_millis(50);

/// Calls that wait to be written to one edge.
const CALLS_WAITING: usize = 64;

/// Calls of one edge that are not answered yet; one more is not written, and its caller told at once.
const CALLS_OPEN: usize = 1_024;

/// Time from one renewal on a connection to the next: each is a signature and a write, and one is enough.
const RENEWAL_SPACING: Duration = Duration::from_mins(1);

/// Longest text about its software that is kept of an edge.
const SOFTWARE_CHARS: usize = 64;

/// Serves the edge of a site, to the end of its connection.
pub(super) async fn serve(hub: &Arc<Hub>, connection: &Connection, site: SiteId, serial: &str) {
    let mut control = match Control::open(hub, connection, site, serial).await {
        Ok(control) => control,
        Err(error) => {
            tracing::debug!(%site, %error, "an edge does not begin");
            let outcome = if error.is_protocol() { Outcome::Protocol } else { Outcome::Silent };
            hub.metrics.connection(outcome);
            return Close::Protocol.close(connection);
        }
    };
    hub.metrics.connection(Outcome::Connected);
    let now = hub.service.now();
    if let Err(error) = hub.service.sites.registry.seen(site, serial, now) {
        tracing::debug!(%site, %error, "the older certificate of a site stays");
    }
    hub.tell(site, EventKind::SiteConnected, &format!("connected from {}", connection.remote_address()));
    let live = &hub.service.sites.live;
    let session = live.enter(site, connection.remote_address().ip(), &control.software, now);
    // Deleted between the look at its certificate and the line above: nobody would cut it.
    let close = if hub.service.sites.registry.admits(site, serial) {
        hub.gauge_sites();
        run(hub, connection, &session, &mut control).await
    } else {
        Close::Revoked
    };
    close.close(connection);
    hub.callers.lock().retain(|known, caller| *known != site || !caller.is_closed());
    session.leave(hub.service.now());
    hub.gauge_sites();
    hub.tell(site, EventKind::SiteAway, close.text());
}

/// Runs until something ends the connection, and says what.
async fn run(hub: &Arc<Hub>, connection: &Connection, session: &Session, control: &mut Control) -> Close {
    let (caller, calls) = mpsc::channel(CALLS_WAITING);
    hub.callers.lock().insert(session.site(), caller);
    tokio::select! {
        cut = session.cut() => match cut {
            Cut::Replaced => Close::Replaced,
            Cut::Revoked => Close::Revoked,
        },
        error = control.run(hub, session, calls) => {
            tracing::debug!(site = %session.site(), %error, "the control stream of an edge broke");
            match error {
                ControlError::Silent => Close::Silent,
                error if error.is_protocol() => Close::Protocol,
                _ => Close::Done,
            }
        }
        () = relays(hub, connection, session) => Close::Done,
    }
}

/// Takes streams of phones until the connection ends.
async fn relays(hub: &Arc<Hub>, connection: &Connection, session: &Session) {
    while let Ok(stream) = connection.accept_bi().await {
        // As many at the same time as QUIC lets the edge open.
        tokio::spawn(relay::relay(Arc::clone(hub), session.site(), Arc::clone(session.relays()), stream));
    }
}

/// The control stream.
struct Control {
    reader: FrameReader,
    writer: FrameWriter,
    /// Of the certificate that the edge came with.
    serial: String,
    software: String,
    /// The version that the edge holds or is being told.
    held: Option<u64>,
    versions: watch::Receiver<u64>,
    /// When it asked for a renewal last.
    renewed: Option<Instant>,
    /// Calls that the edge makes now.
    open: HashMap<u64, oneshot::Sender<(CallOutcome, u16)>>,
}

impl Control {
    /// Waits for the stream and the first frame on it.
    async fn open(
        hub: &Hub,
        connection: &Connection,
        site: SiteId,
        serial: &str,
    ) -> Result<Self, ControlError> {
        let patience = hub.limits.header_timeout;
        let Ok(Ok((send, receive))) = timeout(patience, connection.accept_bi()).await else {
            return Err(ControlError::Silent);
        };
        let mut reader = FrameReader::new(receive);
        let bytes = reader.next_within(patience).await?;
        let (software, held) = match parse(&bytes)? {
            Frame::Hello { epoch, version, software } => {
                let software = software.chars().take(SOFTWARE_CHARS).filter(|c| !c.is_control()).collect();
                (software, (epoch == hub.epoch).then_some(version))
            }
            other => return Err(ControlError::Misplaced(other.name())),
        };
        Ok(Self {
            reader,
            writer: FrameWriter::new(send, hub.limits.write_timeout),
            serial: serial.to_owned(),
            software,
            held,
            versions: hub.service.reach.members.watch(site),
            renewed: None,
            open: HashMap::new(),
        })
    }

    /// Goes on until something is wrong.
    async fn run(
        &mut self,
        hub: &Arc<Hub>,
        session: &Session,
        mut calls: mpsc::Receiver<calls::Wanted>,
    ) -> ControlError {
        let mut next_set = Instant::now();
        let mut is_stale = true;
        loop {
            let done = tokio::select! {
                bytes = self.reader.next() => match bytes {
                    Ok(bytes) => self.take(hub, session, &bytes).await,
                    Err(error) => Err(error),
                },
                changed = self.versions.changed(), if !is_stale => {
                    is_stale = true;
                    // The sender lives as long as the fleet.
                    changed.map_err(|_| ControlError::Ended)
                }
                () = sleep_until(next_set), if is_stale => {
                    is_stale = false;
                    self.versions.borrow_and_update();
                    let sent = self.send_set(hub, session.site()).await;
                    next_set = Instant::now() + GATHER;
                    sent
                }
                Some(call) = calls.recv() => self.call(call).await,
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// A frame of the edge.
    async fn take(
        &mut self,
        hub: &Arc<Hub>,
        session: &Session,
        bytes: &bytes::Bytes,
    ) -> Result<(), ControlError> {
        match parse(bytes)? {
            Frame::Holds { epoch, version } if epoch == hub.epoch => session.holds(version),
            Frame::Holds { .. } => {}
            Frame::Report(report) => session.report(figures(&report)),
            Frame::Called { call, outcome, status } => {
                // Nobody waits any more: too late.
                let _ = self.open.remove(&call).map(|waiting| waiting.send((outcome, status)));
            }
            Frame::Renew { request } => return self.renew(hub, session.site(), request).await,
            other => return Err(ControlError::Misplaced(other.name())),
        }
        Ok(())
    }

    async fn renew(&mut self, hub: &Hub, site: SiteId, request: &[u8]) -> Result<(), ControlError> {
        if self.renewed.is_some_and(|last| last.elapsed() < RENEWAL_SPACING) {
            return self.refuse_renewal("a renewal was asked for a moment ago").await;
        }
        self.renewed = Some(Instant::now());
        let until = hub.service.now().plus(hub.limits.certificate_lifetime);
        match hub.service.renew_site(&hub.authority, (site, &self.serial), request, until).await {
            Ok(certificate) => self.writer.write(&Frame::Certificate { certificate: &certificate }).await,
            Err(error) => {
                tracing::warn!(%site, %error, "the certificate of an edge is not renewed");
                self.refuse_renewal("the certificate is not renewed now").await
            }
        }
    }

    async fn refuse_renewal(&mut self, text: &str) -> Result<(), ControlError> {
        self.writer.write(&Frame::Refused { cause: RefusalCause::Later, text }).await
    }

    async fn call(&mut self, wanted: calls::Wanted) -> Result<(), ControlError> {
        self.open.retain(|_, waiting| !waiting.is_closed());
        if self.open.len() >= CALLS_OPEN {
            // If its caller has gone, nobody is left to tell.
            let _ = wanted.done.send((CallOutcome::NotCalled, 0));
            return Ok(());
        }
        let target = wanted.target.as_frame();
        self.writer.write(&Frame::Call { call: wanted.call, target }).await?;
        self.open.insert(wanted.call, wanted.done);
        Ok(())
    }

    /// Brings the edge's set up to date.
    async fn send_set(&mut self, hub: &Hub, site: SiteId) -> Result<(), ControlError> {
        match hub.service.reach.members.update(site, self.held) {
            Update::Current => {}
            Update::Full { version, devices } => {
                self.send_full(hub.epoch, version, &devices).await?;
                hub.metrics.pushed_full.increment(1);
                self.held = Some(version);
            }
            Update::Delta { to, added, removed } => {
                self.send_delta(to, &added, &removed).await?;
                hub.metrics.pushed_delta.increment(1);
                self.held = Some(to);
            }
        }
        Ok(())
    }

    async fn send_full(
        &mut self,
        epoch: u64,
        version: u64,
        devices: &[DeviceId],
    ) -> Result<(), ControlError> {
        let mut rest = devices;
        let mut first = true;
        loop {
            let (list, after) = pack(rest);
            let last = after.is_empty();
            self.writer.write(&Frame::Full { epoch, version, first, last, ids: list.ids() }).await?;
            if last {
                return Ok(());
            }
            (rest, first) = (after, false);
        }
    }

    /// In parts that all but the last leave the version as it is: only the last one makes the new one.
    async fn send_delta(
        &mut self,
        to: u64,
        added: &[DeviceId],
        removed: &[DeviceId],
    ) -> Result<(), ControlError> {
        let from = self.held.unwrap_or_default();
        let (mut added, mut removed) = (added, removed);
        loop {
            let (plus, more_added) = pack(added);
            let (minus, more_removed) = pack(removed);
            let is_last = more_added.is_empty() && more_removed.is_empty();
            let to = if is_last { to } else { from };
            self.writer.write(&Frame::Delta { from, to, added: plus.ids(), removed: minus.ids() }).await?;
            if is_last {
                return Ok(());
            }
            (added, removed) = (more_added, more_removed);
        }
    }
}

/// As many ids as fit, and the rest.
fn pack(devices: &[DeviceId]) -> (IdList, &[DeviceId]) {
    let mut list = IdList::default();
    let full = devices.iter().position(|device| !list.push(&device.to_string()));
    // Any id fits into an empty list; should one not, it is left out rather than tried for ever.
    (list, full.map_or(&[], |full| devices.get(full.max(1)..).unwrap_or_default()))
}

fn figures(report: &Report) -> Figures {
    Figures {
        relays: report.relays,
        relayed: report.relayed,
        refused: report.refused,
        bytes_up: report.bytes_up,
        bytes_down: report.bytes_down,
        polls: report.polls,
        polls_waiting: report.polls_waiting,
        calls: report.calls,
    }
}

impl Hub {
    fn tell(&self, site: SiteId, kind: EventKind, what: &str) {
        let name = self.service.sites.registry.get(site);
        let name = name.as_ref().map_or("deleted", |site| &site.name);
        self.service.record(EventDraft::node(kind, format!("the edge of site {site} ({name}): {what}")));
    }

    #[allow(clippy::cast_precision_loss)] // gauges are floats
    fn gauge_sites(&self) {
        self.metrics.sites.set(self.service.sites.live.connected() as f64);
    }
}
