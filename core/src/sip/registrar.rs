//! What a REGISTER does to the bindings of its address-of-record (RFC 3261, section 10.3, steps 6 to 8; RFC 5626, section 6):
//! a pure step, all of it or nothing.

use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::sip::Uri;

use super::binding::{Binding, Flow, Liveness};
use crate::device::DeviceId;
use crate::time::Timestamp;

/// Bounds on what a REGISTER may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrarLimits {
    /// Seconds for a contact that asks for no time.
    pub default_expires: u32,
    /// Fewest seconds; who asks for less is told so (423), unless it asks for an hour or more.
    pub min_expires: u32,
    /// Most seconds; who asks for more gets these.
    pub max_expires: u32,
    /// By how much of 100 an answer may shorten the time, at random, so that phones that came at once do not come back at
    /// once. Never below `min_expires`.
    pub spread_percent: u8,
    /// Bindings of one address-of-record.
    pub contacts: usize,
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        Self { default_expires: 3_600, min_expires: 60, max_expires: 7_200, spread_percent: 10, contacts: 10 }
    }
}

/// One contact of a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactWish<'a> {
    /// The URI as it was written.
    pub uri: &'a str,
    /// Other parameters, see [`Binding::params`].
    pub params: &'a str,
    /// Where in `params` the instance stands, see [`Binding::instance`].
    pub instance: Option<(u16, u16)>,
    /// `reg-id`, 1 or more.
    pub reg_id: Option<u32>,
    /// `q` in thousandths.
    pub q: Option<u16>,
    /// `expires` of the contact itself.
    pub expires: Option<u32>,
    /// Whether a NAT stands between.
    pub nat: bool,
}

impl<'a> ContactWish<'a> {
    fn instance(&self) -> Option<&'a str> {
        let (from, to) = self.instance?;
        self.params.get(usize::from(from)..usize::from(to))
    }
}

/// What a REGISTER wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contacts<'a> {
    /// Nothing: it asks for the bindings.
    Fetch,
    /// `*`: all of them removed.
    All,
    /// These made, refreshed or removed.
    Some(&'a [ContactWish<'a>]),
}

/// A REGISTER taken apart, for one address-of-record.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    /// `Call-ID`.
    pub call_id: &'a str,
    /// `CSeq`.
    pub cseq: u32,
    /// What it wants.
    pub contacts: Contacts<'a>,
    /// `Expires` of the request.
    pub expires: Option<u32>,
    /// See [`Binding::path`].
    pub path: &'a str,
    /// See [`Binding::user_agent`].
    pub user_agent: &'a Arc<str>,
    /// The flow that it came on.
    pub flow: Flow,
    /// Its transaction, as a keyed hash.
    pub transaction: u64,
    /// See [`Binding::username`].
    pub username: &'a str,
    /// The device that it speaks for.
    pub device: Option<&'a DeviceId>,
    /// See [`Binding::is_proven`].
    pub is_proven: bool,
    /// Its credentials were used before for this very request: it is only answered if that changes nothing.
    pub again: bool,
    /// Whether the flow is kept and used for what is sent to the contact (`Supported: outbound`).
    pub outbound: bool,
}

/// Why nothing of a REGISTER was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `*` without `Expires: 0`.
    #[error("Contact * needs Expires: 0")]
    StarWithoutZero,
    /// Several contacts with `reg-id` in one request.
    #[error("several Contacts with reg-id")]
    SeveralFlows,
    /// Less time than this registrar grants.
    #[error("fewer than {min} seconds")]
    TooBrief {
        /// Fewest seconds.
        min: u32,
    },
    /// A request that was done before, and would undo what came after it.
    #[error("it was done before, and would change what came after it")]
    Again,
    /// An older request than the one that made a binding.
    #[error("CSeq is not higher than that of a binding")]
    OutOfOrder,
    /// More bindings than an address-of-record may have.
    #[error("more than {limit} bindings")]
    TooMany {
        /// The bound.
        limit: usize,
    },
}

/// What a REGISTER did, and how it is undone.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing: it asked only, or what it removes is not there.
    Nothing,
    /// Nothing: it was done before, and comes again because its answer was lost.
    Repeated,
    /// One binding was made; it is the last.
    Made,
    /// The binding at this place was this before.
    Refreshed(usize, Box<Binding>),
    /// This one was removed from this place.
    Removed(usize, Box<Binding>),
    /// The bindings were these before.
    All(Vec<Binding>),
}

impl Done {
    /// Whether the bindings are not what they were.
    pub const fn is_change(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Repeated)
    }

    /// Bring back what was.
    pub fn undo(self, bindings: &mut Vec<Binding>) {
        match self {
            Self::Nothing | Self::Repeated => {}
            Self::Made => drop(bindings.pop()),
            Self::Refreshed(at, old) => {
                if let Some(binding) = bindings.get_mut(at) {
                    *binding = *old;
                }
            }
            Self::Removed(at, old) => bindings.insert(at.min(bindings.len()), *old),
            Self::All(old) => *bindings = old,
        }
    }

    /// The bindings that are there no more in the form they had.
    pub fn before(&self) -> &[Binding] {
        match self {
            Self::Nothing | Self::Repeated | Self::Made => &[],
            Self::Refreshed(_, old) | Self::Removed(_, old) => std::slice::from_ref(old),
            Self::All(old) => old,
        }
    }

    /// Of `bindings`, which this led to, those that are new or have another form.
    pub fn after<'b>(&self, bindings: &'b [Binding]) -> &'b [Binding] {
        match self {
            Self::Nothing | Self::Repeated | Self::Removed(..) => &[],
            Self::Made => bindings.last().map_or(&[], std::slice::from_ref),
            Self::Refreshed(at, _) => bindings.get(*at).map_or(&[], std::slice::from_ref),
            Self::All(_) => bindings,
        }
    }
}

/// Do to `bindings` what `registration` wants, or nothing. Bindings whose time is over count as gone.
pub fn register(
    bindings: &mut Vec<Binding>,
    registration: &Registration<'_>,
    limits: &RegistrarLimits,
    now: Timestamp,
) -> Result<Done, Refused> {
    let done = match registration.contacts {
        Contacts::Fetch => Done::Nothing,
        Contacts::All => remove_all(bindings, registration, now)?,
        Contacts::Some(_) if is_repeated(bindings, registration, now) => Done::Repeated,
        Contacts::Some([wish]) => lay_one(bindings, wish, registration, limits, now)?,
        Contacts::Some(wishes) => lay_several(bindings, wishes, registration, limits, now)?,
    };
    if registration.again && done.is_change() {
        done.undo(bindings);
        return Err(Refused::Again);
    }
    Ok(done)
}

/// The very request that made or refreshed a binding.
fn is_repeated(bindings: &[Binding], registration: &Registration<'_>, now: Timestamp) -> bool {
    bindings.iter().any(|binding| {
        binding.transaction == registration.transaction
            && binding.cseq == registration.cseq
            && *binding.call_id == *registration.call_id
            && binding.is_current(now)
    })
}

fn remove_all(
    bindings: &mut Vec<Binding>,
    registration: &Registration<'_>,
    now: Timestamp,
) -> Result<Done, Refused> {
    if registration.expires != Some(0) {
        return Err(Refused::StarWithoutZero);
    }
    if bindings.iter().any(|binding| is_newer(binding, registration, now)) {
        return Err(Refused::OutOfOrder);
    }
    Ok(if bindings.is_empty() { Done::Nothing } else { Done::All(std::mem::take(bindings)) })
}

/// Whether the binding was made by a later request of the same endpoint than `registration`, or by that one.
fn is_newer(binding: &Binding, registration: &Registration<'_>, now: Timestamp) -> bool {
    binding.is_current(now) && *binding.call_id == *registration.call_id && binding.cseq >= registration.cseq
}

fn lay_several(
    bindings: &mut Vec<Binding>,
    wishes: &[ContactWish<'_>],
    registration: &Registration<'_>,
    limits: &RegistrarLimits,
    now: Timestamp,
) -> Result<Done, Refused> {
    let is_flow =
        |wish: &&ContactWish<'_>| reg_id(wish) != 0 && wish.expires.or(registration.expires) != Some(0);
    if wishes.iter().filter(is_flow).count() > 1 {
        return Err(Refused::SeveralFlows);
    }
    let mut new = bindings.clone();
    let mut is_change = false;
    for wish in wishes {
        is_change |= lay_one(&mut new, wish, registration, limits, now)?.is_change();
    }
    Ok(if is_change { Done::All(std::mem::replace(bindings, new)) } else { Done::Nothing })
}

fn lay_one(
    bindings: &mut Vec<Binding>,
    wish: &ContactWish<'_>,
    registration: &Registration<'_>,
    limits: &RegistrarLimits,
    now: Timestamp,
) -> Result<Done, Refused> {
    let granted = grant(wish.expires.or(registration.expires), registration.transaction, limits)?;
    let place = bindings.iter().position(|binding| is_of(binding, wish));
    if let Some(old) = place.and_then(|at| bindings.get(at)) {
        // A request with two contacts that are the same finds its own.
        let is_own = old.transaction == registration.transaction && old.cseq == registration.cseq;
        if is_newer(old, registration, now) && !is_own {
            return Err(Refused::OutOfOrder);
        }
    }
    // One that is over and not taken out yet is one more, too.
    let is_more = !place.and_then(|at| bindings.get(at)).is_some_and(|old| old.is_current(now));
    let current = || bindings.iter().filter(|binding| binding.is_current(now)).count();
    if granted.is_some() && is_more && current() >= limits.contacts {
        return Err(Refused::TooMany { limit: limits.contacts });
    }
    match (place, granted) {
        (None, None) => Ok(Done::Nothing),
        (Some(at), None) => Ok(Done::Removed(at, Box::new(bindings.remove(at)))),
        (Some(at), Some(granted)) => {
            let old = &mut bindings[at];
            let since = if old.is_current(now) { old.since } else { now };
            let new = binding(wish, registration, since, granted, now);
            Ok(Done::Refreshed(at, Box::new(std::mem::replace(old, new))))
        }
        (None, Some(granted)) => {
            // Most have one binding: no room is kept for more.
            bindings.reserve_exact(1);
            bindings.push(binding(wish, registration, now, granted, now));
            Ok(Done::Made)
        }
    }
}

/// The seconds that a contact gets; `None`: it is removed.
fn grant(asked: Option<u32>, dice: u64, limits: &RegistrarLimits) -> Result<Option<u32>, Refused> {
    const HOUR: u32 = 3_600;
    let asked = asked.unwrap_or(limits.default_expires);
    if asked == 0 {
        return Ok(None);
    }
    if asked < limits.min_expires && asked < HOUR {
        return Err(Refused::TooBrief { min: limits.min_expires });
    }
    let most = asked.min(limits.max_expires);
    let room = u64::from(most) * u64::from(limits.spread_percent.min(99)) / 100;
    // The transaction's hash is as good as dice: keyed, so nobody chooses it, and a retransmission casts the same.
    #[allow(clippy::cast_possible_truncation)] // at most `room`, which is less than `most`
    let less = (dice % (room + 1)) as u32;
    Ok(Some((most - less).max(limits.min_expires.min(most))))
}

/// `reg-id` counts only beside an instance.
fn reg_id(wish: &ContactWish<'_>) -> u32 {
    if wish.instance().is_some() { wish.reg_id.unwrap_or(0) } else { 0 }
}

/// Whether a binding is that of the contact: the same instance's same flow, or else the same URI.
fn is_of(binding: &Binding, wish: &ContactWish<'_>) -> bool {
    let reg_id = reg_id(wish);
    if reg_id != 0 || binding.reg_id != 0 {
        return reg_id == binding.reg_id && wish.instance() == binding.instance();
    }
    *binding.contact == *wish.uri || is_same_uri(&binding.contact, wish.uri)
}

/// By the rules of RFC 3261, section 19.1.4.
fn is_same_uri(one: &str, other: &str) -> bool {
    match (Uri::read(one.as_bytes()), Uri::read(other.as_bytes())) {
        (Ok(one), Ok(other)) => one.is_equivalent(&other),
        _ => false,
    }
}

fn binding(
    wish: &ContactWish<'_>,
    registration: &Registration<'_>,
    since: Timestamp,
    granted: u32,
    now: Timestamp,
) -> Binding {
    Binding {
        contact: wish.uri.into(),
        params: wish.params.into(),
        instance: wish.instance.unwrap_or_default(),
        reg_id: reg_id(wish),
        q: wish.q,
        call_id: registration.call_id.into(),
        cseq: registration.cseq,
        transaction: registration.transaction,
        path: registration.path.into(),
        user_agent: registration.user_agent.clone(),
        flow: registration.flow,
        nat: wish.nat,
        username: registration.username.into(),
        device: registration.device.cloned(),
        is_proven: registration.is_proven,
        since,
        refreshed: now,
        expires: now.plus(Duration::from_secs(granted.into())),
        liveness: Liveness::Registered,
        next_ping: None,
    }
}
