//! Challenges, and the judgement of what comes back.

use std::fmt;
use std::time::Duration;

use metrics::{Unit, describe_counter};

use super::algorithm::{Algorithm, Offer, Scheme};
use super::authorization::{Authorization, BadAuthorization};
use super::failures::{self, FailureLimits, Failures, Gate};
use super::hash::{HA1_BYTES, Ha1, response};
use super::nonce::{Mint, Nonce, Place, Returned};
use super::replay::{self, Replay, Taken};
use crate::site::Origin;
use crate::time::{Random, Timestamp};

/// Settings of digest authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSettings {
    /// Algorithms, in their order.
    pub offer: Offer,
    /// How long a nonce is good. A phone that refreshes within this time is spared a round trip.
    pub nonce_lifetime: Duration,
    /// Used nonces that are remembered; beyond it phones are challenged anew, with `stale`.
    pub nonces: usize,
    /// Take answers without `qop`, as clients of RFC 2069 give them: RFC 3261 allows them still, and simple clients know nothing
    /// else. They have no counter, so each of their nonces is good for one transaction: that is one more round trip for them,
    /// and no replay for anybody. What they lose is the `cnonce`, which makes guessing from tables harder for somebody who
    /// chooses the nonces.
    pub allow_without_qop: bool,
    /// Bounds on wrong answers.
    pub failures: FailureLimits,
}

impl Default for DigestSettings {
    fn default() -> Self {
        Self {
            offer: Offer::default(),
            nonce_lifetime: Duration::from_mins(10),
            nonces: 65_536,
            allow_without_qop: true,
            failures: FailureLimits::default(),
        }
    }
}

/// What a challenge says: one `WWW-Authenticate` header field for each of the algorithms in this order, each with
/// `qop="auth"`, the same realm and nonce, and `stale=true` if it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The realm.
    pub realm: &'a str,
    /// The nonce.
    pub nonce: Nonce,
    /// The algorithms, the preferred one first.
    pub algorithms: &'static [Algorithm],
    /// The nonce of the request was too old, but the password may be right: the phone tries again by itself.
    pub stale: bool,
}

/// A request that wants in.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Its method.
    pub method: &'a str,
    /// The realm that it must know a password of, at most 128 bytes.
    pub realm: &'a str,
    /// Its credentials for this realm, if it has some: see [`Authenticator::select`].
    pub authorization: Option<Authorization<'a>>,
    /// Where it comes from.
    pub origin: Origin,
    /// A hash of its transaction: the same for retransmissions and for nothing else.
    pub transaction: u64,
    /// When it came.
    pub now: Timestamp,
}

/// Something with an [`Ha1`]: what a user name leads to.
pub trait Known {
    /// The hash of the password.
    fn ha1(&self) -> &Ha1;
}

impl Known for Ha1 {
    fn ha1(&self) -> &Ha1 {
        self
    }
}

/// What came of an attempt. `K` is what the user name led to; nobody gets it without the right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<K> {
    /// The answer is right and new.
    Accepted(K),
    /// The answer is right, and it is the request that was accepted last under this nonce once more (RFC 3261, section 17.1.2.2:
    /// over UDP requests are repeated). It must get the answer that it got, and must not be carried out again.
    Repeated(K),
    /// There are none, or none that this server can judge, or the nonce is not of this server: challenge.
    NoCredentials,
    /// The nonce is old, was made for another address or before a restart, or the request may be a replay: challenge, with
    /// `stale`. But for replays nothing was computed: a wrong password shows with the next nonce.
    Stale,
    /// The answer is wrong: challenge. The client must not be told this from [`Verdict::UnknownUser`].
    WrongPassword,
    /// There is no such user: challenge.
    UnknownUser,
    /// Too many wrong answers; nothing was computed. To be answered 403 or with `Retry-After`.
    Blocked {
        /// How long this lasts.
        retry_after: Duration,
    },
    /// The credentials are not in their form: 400.
    BadRequest(BadAuthorization),
}

impl<K> Verdict<K> {
    /// The `stale` of the challenge that is to be sent; `None` if none is.
    pub const fn challenge(&self) -> Option<bool> {
        match self {
            Self::NoCredentials | Self::WrongPassword | Self::UnknownUser => Some(false),
            Self::Stale => Some(true),
            Self::Accepted(_) | Self::Repeated(_) | Self::Blocked { .. } | Self::BadRequest(_) => None,
        }
    }
}

/// Describe the metrics of this module.
pub fn describe_metrics() {
    describe_counter!(
        replay::EVICTED,
        Unit::Count,
        "Used SIP nonces that were forgotten before their time to make room; their phones are challenged anew"
    );
    describe_counter!(
        failures::EVICTED,
        Unit::Count,
        "Failures of SIP authentication that were forgotten before their time to make room"
    );
}

/// Challenges requests and judges the answers.
///
/// All state is bounded and in memory: which nonces were used, and who failed lately. A challenge takes none. After a restart
/// phones that come with an old nonce are told that it is stale, and failures start at nothing.
pub struct Authenticator {
    mint: Mint,
    replay: Replay,
    failures: Failures,
    /// Takes the place of a user that does not exist, so that it takes as long to refuse.
    nobody: Ha1,
    offer: Offer,
    allow_without_qop: bool,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("replay", &self.replay)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// With a new key, at the start of the process.
    pub fn new(settings: &DigestSettings, random: &dyn Random, now: Timestamp) -> Self {
        let mut nobody = [0; HA1_BYTES];
        for part in nobody.chunks_exact_mut(16) {
            part.copy_from_slice(&random.next_u128().to_le_bytes());
        }
        Self {
            mint: Mint::new(random, settings.nonce_lifetime, now),
            replay: Replay::new(settings.nonces),
            failures: Failures::new(settings.failures),
            nobody: Ha1::from_bytes(&nobody),
            offer: settings.offer,
            allow_without_qop: settings.allow_without_qop,
        }
    }

    /// Make a challenge for somebody at `origin`.
    pub fn challenge<'a>(
        &self,
        realm: &'a str,
        origin: Origin,
        stale: bool,
        now: Timestamp,
    ) -> Challenge<'a> {
        let nonce = self.mint.issue(realm, Place::of(origin), now);
        Challenge { realm, nonce, algorithms: self.offer.algorithms(), stale }
    }

    /// Of all credentials in a request, those that answer a challenge of this realm: the first with an algorithm that is offered
    /// (a request carries those of other servers on its way too; RFC 3261, section 22.3).
    pub fn select<'a>(
        &self,
        realm: &str,
        all: impl IntoIterator<Item = Authorization<'a>>,
    ) -> Option<Authorization<'a>> {
        all.into_iter().find(|one| one.realm == realm && self.scheme(one).is_some())
    }

    /// Judge a request. `lookup` gets realm and user name; it is called only if the nonce is good.
    pub fn check<K: Known>(
        &self,
        attempt: &Attempt<'_>,
        lookup: impl FnOnce(&str, &str) -> Option<K>,
    ) -> Verdict<K> {
        let Some(authorization) = &attempt.authorization else { return Verdict::NoCredentials };
        let Some(scheme) = self.scheme(authorization).filter(|_| authorization.realm == attempt.realm) else {
            return Verdict::NoCredentials;
        };
        let checked = match authorization.check(scheme, attempt.method) {
            Ok(checked) if checked.count.is_none() && !self.allow_without_qop => {
                return Verdict::BadRequest(BadAuthorization::NoQop);
            }
            Ok(checked) => checked,
            Err(reason) => return Verdict::BadRequest(reason),
        };
        let place = Place::of(attempt.origin);
        let tried = self.failures.tried(authorization.username, place);
        let gate = self.failures.gate(&tried, attempt.now);
        if let Gate::Closed(retry_after) = gate {
            return Verdict::Blocked { retry_after };
        }
        let number = match self.mint.judge(authorization.nonce, attempt.realm, place, attempt.now) {
            Returned::Good(number) => number,
            Returned::Stale => return Verdict::Stale,
            Returned::Unknown => return Verdict::NoCredentials,
        };
        let known = lookup(attempt.realm, authorization.username);
        let ha1 = known.as_ref().map_or(&self.nobody, Known::ha1);
        let Ok(expected) = response(ha1, &checked.parts) else {
            return Verdict::BadRequest(BadAuthorization::TooLong("parameters"));
        };
        let is_right = authorization.is_answered_by(&expected);
        let Some(known) = known else {
            self.failures.note(&tried, attempt.now);
            return Verdict::UnknownUser;
        };
        if !is_right {
            self.failures.note(&tried, attempt.now);
            return Verdict::WrongPassword;
        }
        if gate == Gate::Suspect {
            self.failures.forget(&tried);
        }
        match self.replay.take(number, checked.count, attempt.transaction) {
            Taken::Fresh => Verdict::Accepted(known),
            Taken::Repeated => Verdict::Repeated(known),
            Taken::Replayed => Verdict::Stale,
        }
    }

    /// The scheme of credentials, if it is offered.
    fn scheme(&self, authorization: &Authorization<'_>) -> Option<Scheme> {
        Scheme::parse(authorization.algorithm).filter(|scheme| self.offer.has(scheme.algorithm))
    }
}
