//! Non-INVITE client transactions (RFC 3261, section 17.1.2): requests of ours that are under way.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{T1, T1_64, T2};
use crate::sip::binding::Flow;
use crate::time::Timestamp;
use crate::wheel::Wheel;

/// Milliseconds of the wheel's slots, and how many there are: a whole life of a transaction.
const TICK_MS: u64 = 50;
const SLOTS: usize = 1_024;

/// Repetitions of a request until it is given up: ten (RFC 3261, section 17.1.2.2).
pub const AS_LONG_AS_IT_TAKES: u8 = u8::MAX;

/// Number of a request of ours: what tells its `branch` from others. Unpredictable, so that only who saw the request can answer.
pub type Branch = u64;

/// As many requests as may be are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} requests are under way already")]
pub struct Full {
    /// The bound.
    pub limit: usize,
}

/// A request that is under way. `P` is what it is for.
#[derive(Debug)]
struct Open<P> {
    flow: Flow,
    request: Arc<[u8]>,
    purpose: P,
    /// Timer F.
    gives_up: Timestamp,
    /// Timer E, on datagrams.
    repeats: Option<Timestamp>,
    /// How often it may still be repeated.
    left: u8,
    pause: std::time::Duration,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due<P> {
    /// The request is to be sent again.
    Repeat(Flow, Arc<[u8]>),
    /// Nobody answered.
    TimedOut(P),
}

/// All requests that are under way.
#[derive(Debug)]
pub struct ClientTransactions<P> {
    open: HashMap<Branch, Open<P>, RandomState>,
    wheel: Wheel<Branch>,
    limit: usize,
    repeated: u64,
}

impl<P> ClientTransactions<P> {
    /// None. At most `limit` may be under way.
    pub fn new(limit: usize, now: Timestamp) -> Self {
        let wheel = Wheel::new(now, SLOTS, TICK_MS);
        Self { open: HashMap::default(), wheel, limit, repeated: 0 }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Requests that were sent again, ever.
    pub const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// A request was sent on `flow`. On datagrams it is repeated until somebody answers (timer E), but not more often than
    /// `repeats` times: [`AS_LONG_AS_IT_TAKES`], or less if whoever made this server send it may have forged its address.
    ///
    /// # Errors
    /// [`Full`], and what the request was for; it is not looked after then.
    pub fn begin(
        &mut self,
        branch: Branch,
        flow: Flow,
        request: Arc<[u8]>,
        purpose: P,
        now: Timestamp,
        repeats: u8,
    ) -> Result<(), (Full, P)> {
        if self.open.len() >= self.limit {
            return Err((Full { limit: self.limit }, purpose));
        }
        let gives_up = now.plus(T1_64);
        let may_repeat = repeats > 0 && !flow.transport.is_reliable();
        let at = may_repeat.then(|| now.plus(T1));
        self.open
            .insert(branch, Open { flow, request, purpose, gives_up, repeats: at, left: repeats, pause: T1 });
        self.wheel.insert(at.unwrap_or(gives_up), branch);
        Ok(())
    }

    /// An answer came. A final one ends the transaction and gives what the request was for; a provisional one makes repetitions
    /// as rare as they get; one to nothing that is under way is nobody's (a repetition, or somebody guessing).
    pub fn answered(&mut self, branch: Branch, status: u16) -> Option<P> {
        if status >= 200 {
            return self.open.remove(&branch).map(|open| open.purpose);
        }
        if let Some(open) = self.open.get_mut(&branch) {
            open.pause = T2;
        }
        None
    }

    /// The request could not be sent (RFC 3261, section 8.1.3.1).
    pub fn failed(&mut self, branch: Branch) -> Option<P> {
        self.open.remove(&branch).map(|open| open.purpose)
    }

    /// What is due at `now`.
    pub fn advance(&mut self, now: Timestamp, mut due: impl FnMut(Due<P>)) {
        let mut awake = Vec::new();
        self.wheel.advance(now, |branch| awake.push(branch));
        for branch in awake {
            let Some(open) = self.open.get_mut(&branch) else { continue };
            if now >= open.gives_up {
                if let Some(open) = self.open.remove(&branch) {
                    due(Due::TimedOut(open.purpose));
                }
                continue;
            }
            if let Some(at) = open.repeats.filter(|at| *at <= now) {
                open.pause = (open.pause * 2).min(T2);
                // From when it was due, so that lateness does not add up; but not several at once after a leap of the clock.
                let next = at.plus(open.pause);
                let next = if next > now { next } else { now.plus(open.pause) };
                open.left -= 1;
                open.repeats = (open.left > 0).then_some(next);
                self.repeated += 1;
                due(Due::Repeat(open.flow, open.request.clone()));
            }
            let wakes = open.repeats.map_or(open.gives_up, |at| at.min(open.gives_up));
            self.wheel.insert(wakes, branch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::sip::binding::Transport;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    fn udp() -> Flow {
        Flow::udp("192.0.2.4:5060".parse().unwrap())
    }

    fn tcp() -> Flow {
        Flow { transport: Transport::Tcp, connection: 7, ..udp() }
    }

    fn begun(flow: Flow) -> ClientTransactions<&'static str> {
        let mut transactions = ClientTransactions::new(2, START);
        transactions.begin(1, flow, Arc::from(&b"OPTIONS"[..]), "ping", START, AS_LONG_AS_IT_TAKES).unwrap();
        transactions
    }

    /// When something is due, in milliseconds, until nothing is under way.
    fn course(transactions: &mut ClientTransactions<&'static str>) -> Vec<(u64, bool)> {
        let mut course = Vec::new();
        for ms in (0..40_000).step_by(10) {
            let now = START.plus(Duration::from_millis(ms));
            transactions.advance(now, |due| course.push((ms / 100, matches!(due, Due::TimedOut("ping")))));
        }
        course
    }

    #[test]
    fn a_datagram_is_repeated_ten_times_and_given_up() {
        let repeats = [5, 15, 35, 75, 115, 155, 195, 235, 275, 315].map(|at| (at, false));
        assert_eq!(course(&mut begun(udp())), [&repeats[..], &[(320, true)]].concat());
    }

    #[test]
    fn one_that_somebody_forged_perhaps_is_repeated_as_often_as_was_said() {
        for repeats in [0, 1, 2] {
            let mut transactions = ClientTransactions::new(1, START);
            transactions.begin(1, udp(), Arc::from(&b"NOTIFY"[..]), "ping", START, repeats).unwrap();
            let all = [(5, false), (15, false)];
            let expected = [&all[..usize::from(repeats)], &[(320, true)]].concat();
            assert_eq!(course(&mut transactions), expected);
        }
    }

    #[test]
    fn what_a_connection_carries_is_not_repeated() {
        assert_eq!(course(&mut begun(tcp())), [(320, true)]);
    }

    #[test]
    fn an_answer_ends_it_once() {
        let mut transactions = begun(udp());
        assert_eq!(transactions.answered(2, 200), None, "nobody asked");
        assert_eq!(transactions.answered(1, 100), None);
        assert_eq!(transactions.answered(1, 404), Some("ping"));
        assert_eq!((transactions.answered(1, 200), transactions.failed(1)), (None, None));
        assert!(transactions.is_empty() && course(&mut transactions).is_empty());
    }

    #[test]
    fn after_a_provisional_answer_it_is_repeated_rarely() {
        let mut transactions = begun(udp());
        transactions.answered(1, 100);
        let due = course(&mut transactions);
        assert_eq!(due.iter().take(3).map(|due| due.0).collect::<Vec<_>>(), [5, 45, 85]);
    }

    #[test]
    fn more_than_may_be_are_not_begun() {
        let mut transactions = begun(udp());
        let request: Arc<[u8]> = Arc::from(&b"OPTIONS"[..]);
        transactions.begin(2, tcp(), request.clone(), "ping", START, 9).unwrap();
        assert_eq!(transactions.begin(3, tcp(), request, "ping", START, 9), Err((Full { limit: 2 }, "ping")));
        assert_eq!(transactions.failed(2), Some("ping"));
        assert_eq!(transactions.len(), 1);
    }

    proptest! {
        /// However time goes: each transaction ends exactly once, and a request is repeated at most ten times.
        #[test]
        fn each_ends_once(pauses in prop::collection::vec(0_u64..9_000, 1..200)) {
            let mut transactions = begun(udp());
            let (mut now, mut repeats, mut ends) = (START, 0, 0);
            for pause in pauses.into_iter().chain(std::iter::repeat_n(5_000, 9)) {
                now = now.plus(Duration::from_millis(pause));
                transactions.advance(now, |due| match due {
                    Due::Repeat(..) => repeats += 1,
                    Due::TimedOut(_) => ends += 1,
                });
            }
            prop_assert!(repeats <= 10 && ends == 1 && transactions.is_empty());
            prop_assert_eq!(transactions.repeated(), repeats);
        }
    }
}
