//! The control stream as the edge sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callboard_codecs::edge::{CallOutcome, Frame, Target};
use callboard_core::pki::SiteRequest;
use jiff::Timestamp;
use quinn::Connection;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::identity::Identity;
use super::link::{Link, why};
use crate::edge::control::{ControlError, FrameReader, FrameWriter, parse};
use crate::edge::quic::Close;

/// How often the edge looks whether its certificate has to be renewed.
const RENEWAL_TICK: Duration = Duration::from_mins(10);

/// Calls that are made at the same time, and their answers on the way.
const CALLS: usize = 256;

/// What the edge is, for people.
const SOFTWARE: &str = concat!("callboard ", env!("CARGO_PKG_VERSION"));

/// Speaks with the core until the connection ends, and says why it did.
pub(super) async fn run(link: &Arc<Link>, connection: &Connection) -> String {
    let talked = tokio::select! {
        error = talk(link, connection) => error,
        error = connection.closed() => return why(&error),
    };
    if let Some(error) = connection.close_reason() {
        return why(&error);
    }
    let close = if talked.is_protocol() { Close::Protocol } else { Close::Silent };
    close.close(connection);
    talked.to_string()
}

async fn talk(link: &Arc<Link>, connection: &Connection) -> ControlError {
    let mut talk = match Talk::open(link, connection).await {
        Ok(talk) => talk,
        Err(error) => return error,
    };
    let every = link.limits.report_interval;
    let mut reports = interval_at(Instant::now() + every, every);
    let mut renewals = interval_at(Instant::now(), RENEWAL_TICK);
    for ticks in [&mut reports, &mut renewals] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let done = tokio::select! {
            bytes = talk.reader.next() => match bytes {
                Ok(bytes) => talk.take(link, &bytes).await,
                Err(error) => Err(error),
            },
            _ = reports.tick() => talk.writer.write(&Frame::Report(link.figures.report())).await,
            _ = renewals.tick() => talk.renew(link).await,
            Some((call, (outcome, status))) = talk.called.recv() => {
                talk.writer.write(&Frame::Called { call, outcome, status }).await
            }
        };
        if let Err(error) = done {
            return error;
        }
    }
}

struct Talk {
    reader: FrameReader,
    writer: FrameWriter,
    /// A new key that waits for its certificate.
    renewal: Option<SiteRequest>,
    calling: mpsc::Sender<(u64, (CallOutcome, u16))>,
    called: mpsc::Receiver<(u64, (CallOutcome, u16))>,
}

impl Talk {
    async fn open(link: &Link, connection: &Connection) -> Result<Self, ControlError> {
        // The first stream is always granted.
        let (send, receive) = connection.open_bi().await.map_err(|_| ControlError::Ended)?;
        let mut writer = FrameWriter::new(send, link.limits.write_timeout);
        let (epoch, version) = link.pending.version();
        writer.write(&Frame::Hello { epoch, version, software: SOFTWARE }).await?;
        let (calling, called) = mpsc::channel(CALLS);
        Ok(Self { reader: FrameReader::new(receive), writer, renewal: None, calling, called })
    }

    /// A frame of the core.
    async fn take(&mut self, link: &Arc<Link>, bytes: &Bytes) -> Result<(), ControlError> {
        match parse(bytes)? {
            Frame::Full { epoch, version, first, last, ids } => {
                if !link.pending.full(epoch, version, (first, last), ids) {
                    return Ok(());
                }
            }
            Frame::Delta { from, to, added, removed } => {
                if let Err(gap) = link.pending.delta(from, to, added, removed) {
                    tracing::warn!(%gap, "the core is asked for the whole set");
                    link.pending.distrust();
                    return Err(ControlError::Misplaced("delta"));
                }
            }
            Frame::Certificate { certificate } => {
                self.renewed(link, certificate).await;
                return Ok(());
            }
            Frame::Refused { text, .. } => {
                tracing::warn!(reason = text, "the certificate is not renewed, the edge asks again later");
                self.renewal = None;
                return Ok(());
            }
            Frame::Call { call, target } => return self.call(link, call, &target).await,
            other => return Err(ControlError::Misplaced(other.name())),
        }
        link.figures.pending(link.pending.len());
        let (epoch, version) = link.pending.version();
        self.writer.write(&Frame::Holds { epoch, version }).await
    }

    async fn call(&mut self, link: &Arc<Link>, call: u64, target: &Target<'_>) -> Result<(), ControlError> {
        // A place for its answer: as many calls as places.
        let Ok(place) = self.calling.clone().try_reserve_owned() else {
            let outcome = CallOutcome::NotCalled;
            return self.writer.write(&Frame::Called { call, outcome, status: 0 }).await;
        };
        link.figures.call();
        let calling = link.caller.call(target.address, target.path, target.dls);
        tokio::spawn(async move {
            let ended = calling.await;
            place.send((call, ended));
        });
        Ok(())
    }

    /// Asks for a new certificate when the present one ages.
    async fn renew(&mut self, link: &Link) -> Result<(), ControlError> {
        let is_ageing = link.identity.load().as_ref().is_some_and(|own| own.is_ageing(Timestamp::now()));
        if !is_ageing || self.renewal.is_some() {
            return Ok(());
        }
        match SiteRequest::new() {
            Ok(made) => {
                self.writer.write(&Frame::Renew { request: &made.request }).await?;
                self.renewal = Some(made);
            }
            Err(error) => tracing::error!(%error, "no key for a new certificate"),
        }
        Ok(())
    }

    /// The new certificate: stored, and shown from the next connection on.
    async fn renewed(&mut self, link: &Link, certificate: &[u8]) {
        let (Some(made), Some(own)) = (self.renewal.take(), link.identity.load_full()) else {
            return tracing::warn!("a certificate came that nobody asked for");
        };
        let (certificate, authority, data) =
            (certificate.to_vec(), own.authority().to_vec(), link.data.clone());
        // The disk may take its time, and an edge has one thread.
        let renewed = spawn_blocking(move || {
            let new = Identity::new(certificate, authority, made.key)?;
            new.store(&data).map(|()| new)
        });
        let text = |error: &dyn std::error::Error| error.to_string();
        let renewed =
            renewed.await.map_err(|error| text(&error)).and_then(|new| new.map_err(|error| text(&error)));
        match renewed {
            Ok(new) => {
                tracing::info!(ends = %new.not_after, "certificate renewed");
                link.take(new);
            }
            Err(error) => tracing::error!(%error, "the new certificate is not used, the old one stays"),
        }
    }
}
