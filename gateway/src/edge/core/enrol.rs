//! Enrolment: a token and a request for a certificate, once.

use std::sync::Arc;

use callboard_codecs::edge::{Frame, RefusalCause};
use callboard_core::event::{EventDraft, EventKind};
use callboard_core::pki::PkiError;
use callboard_core::service::CertifyError;
use callboard_core::site::{EnrolError, SiteToken};
use quinn::Connection;
use tokio::time::{Instant, timeout, timeout_at};

use super::Hub;
use super::metrics::Outcome;
use crate::edge::control::{ControlError, FrameReader, FrameWriter, parse};
use crate::edge::quic::Close;

/// An enrolment as a whole may take so many times as long as its first frame: that, the certificate, and the answer.
const WHOLE: u32 = 3;

/// Serves a connection that showed no certificate, to its end.
pub(super) async fn serve(hub: &Arc<Hub>, connection: &Connection) {
    let address = connection.remote_address();
    let whole = timeout(hub.limits.header_timeout * WHOLE, enrol(hub, connection)).await;
    let outcome = match whole.unwrap_or(Err(ControlError::Silent)) {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::debug!(%address, %error, "an enrolment broke");
            let (close, outcome) = if error.is_protocol() {
                (Close::Protocol, Outcome::Protocol)
            } else {
                (Close::Silent, Outcome::Silent)
            };
            // Nobody waits for whoever did not say what it had to.
            close.close(connection);
            outcome
        }
    };
    hub.metrics.connection(outcome);
    // The edge closes when it has read the answer.
    let _ = timeout(hub.limits.header_timeout, connection.closed()).await;
    Close::Done.close(connection);
}

async fn enrol(hub: &Arc<Hub>, connection: &Connection) -> Result<Outcome, ControlError> {
    let patience = hub.limits.header_timeout;
    // One time for the stream and the frame on it.
    let until = Instant::now() + patience;
    let Ok(Ok((send, receive))) = timeout_at(until, connection.accept_bi()).await else {
        return Err(ControlError::Silent);
    };
    let mut writer = FrameWriter::new(send, patience);
    let bytes =
        timeout_at(until, FrameReader::new(receive).next()).await.unwrap_or(Err(ControlError::Silent))?;
    let Frame::Enrol { token, request } = parse(&bytes)? else {
        return Err(ControlError::Misplaced(parse(&bytes)?.name()));
    };
    let answer = certify(hub, connection, token, request).await;
    let outcome = match &answer {
        Ok(certificate) => {
            writer.write(&Frame::Certificate { certificate }).await?;
            Outcome::Enrolled
        }
        Err((cause, text)) => {
            writer.write(&Frame::Refused { cause: *cause, text }).await?;
            Outcome::Token
        }
    };
    writer.finish();
    Ok(outcome)
}

async fn certify(
    hub: &Arc<Hub>,
    connection: &Connection,
    token: &str,
    request: &[u8],
) -> Result<Vec<u8>, (RefusalCause, String)> {
    let address = connection.remote_address();
    let not_good = || (RefusalCause::Token, "the token is wrong, has ended or was used".to_owned());
    let token: SiteToken = token.parse().map_err(|_| not_good())?;
    let Ok(_place) = hub.enrolments.try_acquire() else {
        return Err((RefusalCause::Later, "too many enrolments at the same time".to_owned()));
    };
    let until = hub.service.now().plus(hub.limits.certificate_lifetime);
    let certified = hub.service.enrol_site(&hub.authority, &token, request, until).await;
    certified.map_err(|error| {
        // Which site it was for is not secret, which token is. Strangers may bring this about as often as they like.
        tracing::debug!(%address, site = %token.site, %error, "an edge is not enrolled");
        if let CertifyError::Enrol(EnrolError::Spent(reason)) = &error {
            // Only who knew the token can bring this about: the edge once more, or somebody who has stolen it.
            let text = format!("{address} came with the token of site {}: {reason}", token.site);
            hub.service.record(EventDraft::node(EventKind::SiteRefused, text));
        }
        match error {
            CertifyError::Enrol(EnrolError::Token(_) | EnrolError::Spent(_) | EnrolError::Certificate(_)) => {
                not_good()
            }
            CertifyError::Enrol(EnrolError::Site(_)) => {
                (RefusalCause::Later, "the server cannot store it now".to_owned())
            }
            CertifyError::Pki(PkiError::Request { reason }) => (RefusalCause::Request, reason.to_owned()),
            CertifyError::Pki(_) => (RefusalCause::Later, "the server cannot issue certificates".to_owned()),
        }
    })
}
