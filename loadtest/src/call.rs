//! One phone, one connection, one dialogue.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::ledger::{Phase, State};
use crate::phone::dialogue::{Dialogue, Next, Plan};
use crate::phone::identity::{Fleet, Identity, mix};
use crate::phone::message::Messages;
use crate::phone::profile::Profile;
use crate::phone::reply;
use crate::phone::stencil::{Fill, NONCE_LEN};
use crate::wire::head::check_cookie;
use crate::wire::link::{self, Link};
use crate::wire::tls::PhoneTls;

/// The path that phones use (WPI reference, section 1.2).
pub(crate) const PATH: &str = "/DeploymentService/LoginService";
/// The part of 127.0.0.0/8 from which phones call.
pub(crate) const PHONE_BLOCK: u8 = 1;

/// The phones and all that they can say: the same for every run with one seed.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) messages: Vec<Messages>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let profiles = Profile::all();
        let messages = profiles.iter().enumerate().map(|(model, p)| Messages::new(model, p)).collect();
        Self { fleet: Fleet::new(seed), profiles, messages }
    }

    /// The same phones; those from `number` on are behind NAT.
    pub(crate) fn behind_nat_from(self, number: u32) -> Self {
        Self { fleet: self.fleet.behind_nat_from(number), ..self }
    }
}

/// A server that only repeats recorded answers.
pub(crate) struct Replayed {
    /// The phone that recorded them: its values are what all phones must expect.
    pub(crate) identity: Identity,
    /// The path of each step, which tells the server what to repeat.
    pub(crate) paths: Vec<String>,
}

/// How long phones wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one dialogue.
    pub(crate) dialogue: Duration,
    /// After "later": at least this long, and up to twice as long.
    pub(crate) overload: Duration,
    /// How often "later" is taken in a row.
    pub(crate) overload_tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        // After overload phones wait for 2 to 4 s (WPI reference, section 8.15).
        Self { dialogue: Duration::from_mins(1), overload: Duration::from_secs(2), overload_tries: 30 }
    }
}

/// A service that phones call.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    pub(crate) host: String,
    pub(crate) tls: PhoneTls,
    /// How many source addresses the phones share.
    pub(crate) sources: u16,
    pub(crate) replayed: Option<Replayed>,
    /// One nonce for all messages: for recording and replaying answers.
    pub(crate) fixed_nonce: Option<[u8; NONCE_LEN]>,
    pub(crate) patience: Patience,
}

/// Working space that is kept from dialogue to dialogue.
#[derive(Default)]
pub(crate) struct Space {
    request: Vec<u8>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
}

impl Space {
    /// Take back the buffer of a closed link.
    pub(crate) fn keep(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }
}

/// How a dialogue without fault ended.
pub(crate) enum Called {
    /// With everything done; the connection is still open.
    Done { link: Box<Link>, time: Duration },
    /// With "later".
    Later,
}

/// The nonces of one dialogue: 32 upper-case hexadecimal digits, never the same again.
pub(crate) struct Nonces {
    state: u64,
    fixed: Option<[u8; NONCE_LEN]>,
}

impl Nonces {
    pub(crate) fn new(fixed: Option<[u8; NONCE_LEN]>) -> Self {
        Self { state: rand::random(), fixed }
    }

    pub(crate) fn next(&mut self) -> [u8; NONCE_LEN] {
        if let Some(nonce) = self.fixed {
            return nonce;
        }
        let mut nonce = [0; NONCE_LEN];
        for half in nonce.chunks_exact_mut(16) {
            self.state = self.state.wrapping_add(1);
            let mut bits = mix(self.state);
            for digit in half {
                *digit = b"0123456789ABCDEF"[(bits & 15) as usize];
                bits >>= 4;
            }
        }
        nonce
    }
}

/// A phone that is about to call.
pub(crate) struct Caller<'a> {
    pub(crate) world: &'a World,
    pub(crate) target: &'a Target,
    pub(crate) number: u32,
    pub(crate) plan: Plan,
}

impl Caller<'_> {
    /// Call the service and go through one dialogue. `state` is kept up to date even if it fails half-way.
    pub(crate) async fn call(&self, state: &mut State, space: &mut Space) -> Result<Called, Fault> {
        let limit = self.target.patience.dialogue;
        let dialogue = self.dialogue(state, space, |_, _| ());
        tokio::time::timeout(limit, dialogue).await.unwrap_or(Err(Fault::Timeout(limit.as_secs())))
    }

    /// Like [`Self::call`], with a look at each answer: the number of the step from 0, and the bytes.
    pub(crate) async fn dialogue(
        &self,
        state: &mut State,
        space: &mut Space,
        watch: impl FnMut(usize, &[u8]),
    ) -> Result<Called, Fault> {
        let start = Instant::now();
        let source = link::source(self.number, self.target.sources, PHONE_BLOCK);
        let tls = self.target.tls.connector(self.number);
        let mut link = Link::open(source, self.target.addr, tls, std::mem::take(&mut space.buffer)).await?;
        match self.talk(&mut link, state, space, watch).await? {
            Next::Later => Ok(Called::Later),
            _ => Ok(Called::Done { link: Box::new(link), time: start.elapsed() }),
        }
    }

    /// Go through one dialogue on an open connection.
    pub(crate) async fn talk(
        &self,
        link: &mut Link,
        state: &mut State,
        space: &mut Space,
        mut watch: impl FnMut(usize, &[u8]),
    ) -> Result<Next, Fault> {
        let identity = self.world.fleet.identity(self.number);
        let messages = &self.world.messages[identity.model];
        let changed = state.generation > 0 && state.phase != Phase::Settled;
        let fragments = messages.fragment_count(state.configured);
        let mut dialogue = Dialogue::new(self.plan, state.configured, changed, fragments);
        let mut nonces = Nonces::new(self.target.fixed_nonce);
        let mut cookie: Option<String> = None;
        for step in 0.. {
            let nonce = nonces.next();
            let fill = Fill { identity: &identity, generation: state.generation, nonce: &nonce };
            let path = self.path(step);
            messages.request(
                dialogue.say(),
                fill,
                (path, &self.target.host),
                cookie.as_deref(),
                &mut space.request,
            );
            let answer = link.exchange(&space.request).await?;
            watch(step, answer.raw);
            let reply = reply::read(answer.body, &nonce)?;
            match &answer.head.cookie {
                Some(again) if step > 0 => return Err(Fault::Cookie(format!("given again: {again}"))),
                _ if step == 0 && !reply.is_overload() => check_cookie(answer.head.cookie.as_deref())?,
                _ => {}
            }
            let told = match &self.target.replayed {
                Some(replayed) => fill.of_phone(&replayed.identity),
                None => fill,
            };
            let profile = &self.world.profiles[told.identity.model];
            let next = dialogue.hear(&reply, profile, told, &mut space.scratch)?;
            state.configured = dialogue.configured;
            match next {
                Next::Say(_) if answer.head.close => return Err(Fault::Ended("more was to be said")),
                Next::Say(_) => cookie = answer.head.cookie.or(cookie),
                end => return Ok(end),
            }
        }
        Ok(Next::Done)
    }

    fn path(&self, step: usize) -> &str {
        self.target
            .replayed
            .as_ref()
            .and_then(|replayed| replayed.paths.get(step))
            .map_or(PATH, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn nonces_do_not_repeat() {
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let mut nonces = Nonces::new(None);
            for _ in 0..100 {
                let nonce = nonces.next();
                assert!(nonce.iter().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(b)));
                assert!(seen.insert(nonce));
            }
        }
        let mut fixed = Nonces::new(Some([b'7'; NONCE_LEN]));
        assert_eq!((fixed.next(), fixed.next()), ([b'7'; NONCE_LEN], [b'7'; NONCE_LEN]));
    }
}
