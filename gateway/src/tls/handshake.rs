//! The TLS handshake as a server sees it, and the queue in front of its expensive step.
//!
//! A handshake costs the processor two to three orders of magnitude more than a request. Waiting for a peer costs
//! nothing, so nothing is held meanwhile; but the step that signs runs only for a few handshakes at a time, and the
//! others wait in line *outside* the runtime's own queue. Requests of connections that are already in therefore never
//! queue behind a storm of new ones. Connections to be shed have a line of their own with room for one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use callboard_core::pki::KeyKind;
use jiff::Timestamp;
use metrics::Gauge;
use rustls::server::Acceptor;
use rustls::{CertificateError, HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::Server;
use super::hello::Hello;
use super::server::{ClientCertificate, client_certificate};

/// The version a handshake agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// How a handshake ended, as far as metrics tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// It succeeded, with this version and this kind of server key.
    Done(Version, KeyKind),
    /// It took too long.
    Timeout,
    /// The peer went away.
    Aborted,
    /// What came is not TLS.
    Garbage,
    /// Peer and server have no version, suite or signature in common.
    Incompatible,
    /// The client's certificate is missing or was refused.
    Certificate,
    /// The client's certificate has ended.
    Expired,
    /// Anything else.
    Failed,
}

impl HandshakeOutcome {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        use HandshakeOutcome::{Aborted, Certificate, Done, Expired, Failed, Garbage, Incompatible, Timeout};
        [Version::Tls12, Version::Tls13]
            .into_iter()
            .flat_map(|version| [KeyKind::Rsa2048, KeyKind::P256].map(|key| Done(version, key)))
            .chain([Timeout, Aborted, Garbage, Incompatible, Certificate, Expired, Failed])
    }

    /// Values of the metric labels `outcome`, `version` and `key`.
    pub fn labels(self) -> (&'static str, &'static str, &'static str) {
        let outcome = match self {
            Self::Done(version, key) => {
                let version = match version {
                    Version::Tls12 => "1.2",
                    Version::Tls13 => "1.3",
                };
                return ("ok", version, key.label());
            }
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
            Self::Garbage => "garbage",
            Self::Incompatible => "incompatible",
            Self::Certificate => "certificate",
            Self::Expired => "certificate_expired",
            Self::Failed => "failed",
        };
        (outcome, "none", "none")
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[error("TLS handshake: {0}")]
pub struct HandshakeError(#[from] io::Error);

impl HandshakeError {
    /// The kind of failure.
    pub fn outcome(&self) -> HandshakeOutcome {
        let cause = self.0.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match cause {
            None => HandshakeOutcome::Aborted,
            Some(rustls::Error::InvalidMessage(_)) => HandshakeOutcome::Garbage,
            Some(rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_)) => {
                HandshakeOutcome::Incompatible
            }
            Some(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => HandshakeOutcome::Expired,
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
                HandshakeOutcome::Certificate
            }
            Some(_) => HandshakeOutcome::Failed,
        }
    }
}

/// A finished handshake.
#[derive(Debug)]
pub struct Handshake<S> {
    /// The stream to go on with. Boxed: it is large and moves often.
    pub stream: Box<TlsStream<S>>,
    /// What the client's own certificate says, where one was asked for and it names a device.
    pub client: Option<ClientCertificate>,
    /// The version agreed on.
    pub version: Version,
    /// The server key used.
    pub key: KeyKind,
    /// From the client's first message to the end.
    pub took: Duration,
}

/// The lines in front of the expensive step; one pair for all doors, since they share the processors.
#[derive(Debug)]
pub(super) struct Gate {
    served: Semaphore,
    shed: Semaphore,
}

impl Gate {
    pub(super) fn new(at_a_time: usize) -> Self {
        Self { served: Semaphore::new(at_a_time.max(1)), shed: Semaphore::new(1) }
    }

    pub(super) async fn enter(&self, shed: bool, waiting: &Gauge) -> Option<SemaphorePermit<'_>> {
        let line = if shed { &self.shed } else { &self.served };
        if let Ok(permit) = line.try_acquire() {
            return Some(permit);
        }
        let _counted = Counted::new(waiting);
        line.acquire().await.ok()
    }
}

/// Counts itself on a gauge while it lives, so that a dropped wait is counted out too.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

impl Server {
    /// Performs the handshake on `stream`. The caller bounds its time. `waiting` counts those standing in line.
    pub async fn accept<S>(
        &self,
        stream: S,
        shed: bool,
        waiting: &Gauge,
    ) -> Result<Handshake<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), Hello::new(stream)).await?;
        let start = StartHandshake::from_parts(start.accepted, start.io.inner);
        let began = Instant::now();
        let offered = self.key_for(start.client_hello().signature_schemes());
        let permit = self.gate.enter(shed, waiting).await;
        let mut rest = start.into_stream(self.config.clone());
        // The first poll answers the client's first message: key exchange and signature are in it.
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut rest).poll(cx))).await;
        // Lets everything run that is ready, then lets the runtime look at the sockets, before the next in line begins.
        yield_now().await;
        drop(permit);
        let stream = match first {
            Poll::Ready(result) => result?,
            Poll::Pending => rest.await?,
        };
        let session = stream.get_ref().1;
        let (version, key) = agreed(session, offered);
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let client = session.peer_certificates().and_then(<[_]>::first).map(|leaf| client_certificate(leaf));
        let client = still_good(client.flatten(), resumed, Timestamp::now())?;
        Ok(Handshake { stream: Box::new(stream), client, version, key, took: began.elapsed() })
    }
}

/// A ticket outlives the certificate it was given for, and brings a new ticket: resumed sessions are looked at again.
fn still_good(
    client: Option<ClientCertificate>,
    resumed: bool,
    now: Timestamp,
) -> Result<Option<ClientCertificate>, HandshakeError> {
    if resumed && client.as_ref().is_some_and(|client| client.not_after < now) {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        return Err(io::Error::new(io::ErrorKind::InvalidData, expired).into());
    }
    Ok(client)
}

/// Version and server key of a finished handshake. TLS 1.2 names the key in the suite; for 1.3 the choice is repeated.
fn agreed(session: &ServerConnection, offered: Option<KeyKind>) -> (Version, KeyKind) {
    use rustls::{SignatureScheme, SupportedCipherSuite};
    match (session.protocol_version(), session.negotiated_cipher_suite()) {
        (Some(ProtocolVersion::TLSv1_2), Some(SupportedCipherSuite::Tls12(suite))) => {
            let ecdsa = suite.sign.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
            (Version::Tls12, if ecdsa { KeyKind::P256 } else { KeyKind::Rsa2048 })
        }
        _ => (Version::Tls13, offered.unwrap_or(KeyKind::Rsa2048)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_does_not_prolong_a_certificate() {
        let end = Timestamp::from_second(1_800_000_000).unwrap();
        let device = "00:1a:e8:00:00:07".parse().unwrap();
        let client = Some(ClientCertificate { device, serial: "01".into(), not_after: end });
        let later = end + jiff::SignedDuration::from_secs(1);
        assert_eq!(still_good(client.clone(), true, end).unwrap(), client);
        assert_eq!(still_good(client.clone(), true, later).unwrap_err().outcome(), HandshakeOutcome::Expired);
        assert_eq!(still_good(None, true, later).unwrap(), None);
        assert_eq!(still_good(client.clone(), false, later).unwrap(), client, "TLS itself has looked");
    }
}
