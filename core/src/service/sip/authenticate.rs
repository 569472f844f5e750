//! Who sends a request.

use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::{ChallengeValue, Credentials as Shown, DigestCredentials, HeaderName, SipUri};

use super::answer::{Asked, To};
use super::{Reaction, Sip};
use crate::device::DeviceId;
use crate::sip::credentials::{Credential, Realm};
use crate::sip::digest::{Attempt, Authorization, Verdict};
use crate::sip::trust::Standing;
use crate::site::Origin;

/// Header fields with credentials that are looked at.
const SHOWN: usize = 8;

/// Who sent a request.
pub(super) enum Who {
    /// Somebody at an address that is trusted: who they are is their own word.
    Trusted,
    /// A device that its certificate proves.
    Device(DeviceId),
    /// A user that knows a password.
    User(Arc<Credential>),
    /// The same, in a request that was seen before: it is answered, and must not be done again.
    Again(Arc<Credential>),
}

impl Who {
    /// The credential, if it is a user.
    pub(super) fn credential(&self) -> Option<&Credential> {
        match self {
            Self::User(user) | Self::Again(user) => Some(user),
            Self::Trusted | Self::Device(_) => None,
        }
    }
}

impl Sip {
    /// Find out who sent a request for `domain`, or answer it. `proven` is the device that its connection's certificate proves.
    pub(super) fn authenticate(
        &self,
        asked: &Asked<'_>,
        proven: Option<&DeviceId>,
        domain: &SipUri<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Who, Reaction> {
        let source = asked.incoming.flow.remote.ip();
        match self.settings.trust.of(source, proven) {
            Standing::Trusted { device: Some(device) } => return Ok(Who::Device(device.clone())),
            Standing::Trusted { device: None } => return Ok(Who::Trusted),
            Standing::Asked => {}
        }
        let realm = self.realm_of(domain);
        let realm = self.name_of(realm.as_deref());
        let origin = Origin { site: None, address: source };
        let shown = asked.request.headers.credentials(HeaderName::Authorization).take(SHOWN);
        // What cannot be read is as good as none: it is for somebody else, or the phone is asked again.
        let shown = shown.filter_map(|shown| match shown {
            Ok(Shown::Digest(digest)) => authorization(&digest),
            _ => None,
        });
        let attempt = Attempt {
            method: str::from_utf8(asked.request.method.as_bytes()).unwrap_or_default(),
            realm,
            authorization: self.authenticator.select(realm, shown),
            origin,
            transaction: asked.transaction,
            now: asked.now,
        };
        let verdict = self.authenticator.check(&attempt, |realm, user| self.credentials.find(realm, user));
        self.metrics.judged(&verdict);
        let challenge = verdict.challenge();
        match verdict {
            Verdict::Accepted(user) => Ok(Who::User(user)),
            Verdict::Repeated(user) => Ok(Who::Again(user)),
            Verdict::Blocked { retry_after } => Err(self.blocked(asked, retry_after, out)),
            Verdict::BadRequest(reason) => Err(self.answer(asked, 400, &reason.to_string(), out)),
            _ => Err(self.challenge(asked, domain, challenge.unwrap_or(false), out)),
        }
    }

    /// The realm that is written in challenges. Without one everybody is a stranger, and told so as anybody is.
    fn name_of<'a>(&'a self, realm: Option<&'a Realm>) -> &'a str {
        realm.map_or(&self.settings.default_realm, |realm| realm.name.as_str())
    }

    /// Ask who sends a request for `domain`.
    pub(super) fn challenge(
        &self,
        asked: &Asked<'_>,
        domain: &SipUri<'_>,
        stale: bool,
        out: &mut Vec<u8>,
    ) -> Reaction {
        let realm = self.realm_of(domain);
        let realm = self.name_of(realm.as_deref());
        let origin = Origin { site: None, address: asked.incoming.flow.remote.ip() };
        let challenge = self.authenticator.challenge(realm, origin, stale, asked.now);
        self.answer_with(asked, (401, "Unauthorized"), To::Anybody, out, |writer| {
            challenge.algorithms.iter().fold(writer, |writer, algorithm| {
                let value = ChallengeValue {
                    realm: challenge.realm,
                    nonce: challenge.nonce.as_str(),
                    opaque: None,
                    algorithm: algorithm.name(),
                    qop: "auth",
                    stale: challenge.stale,
                };
                writer.challenge(HeaderName::WwwAuthenticate, &value)
            })
        })
    }

    fn blocked(&self, asked: &Asked<'_>, retry_after: Duration, out: &mut Vec<u8>) -> Reaction {
        let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1);
        self.answer_with(asked, (403, "Too Many Failures"), To::Anybody, out, |writer| {
            writer.number(HeaderName::RetryAfter, seconds)
        })
    }
}

/// Credentials as the digest takes them; `None` if they are no text.
fn authorization<'a>(digest: &DigestCredentials<'a>) -> Option<Authorization<'a>> {
    let text = |bytes: &'a [u8]| str::from_utf8(bytes).ok();
    let optional = |bytes: Option<&'a [u8]>| match bytes {
        Some(bytes) => str::from_utf8(bytes).ok().map(Some),
        None => Some(None),
    };
    Some(Authorization {
        username: text(digest.username)?,
        realm: text(digest.realm)?,
        nonce: text(digest.nonce)?,
        uri: text(digest.uri)?,
        response: text(digest.response)?,
        algorithm: optional(digest.algorithm)?,
        cnonce: optional(digest.cnonce)?,
        qop: optional(digest.qop)?,
        nc: optional(digest.nc)?,
        opaque: optional(digest.opaque)?,
    })
}
