//! Server transactions (RFC 3261, section 17.2.2): answers that are kept for requests that come again.
//!
//! Only for requests that must not be done twice and whose answer does not come out the same again. A REGISTER is none of them:
//! the binding itself remembers the transaction that made it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::T1_64;
use crate::time::Timestamp;

/// What tells a transaction from others: a keyed hash over branch, sent-by and method, or over what RFC 3261, section 17.2.3
/// names for clients of RFC 2543.
pub type TransactionKey = u64;

/// Answers that are kept, each for the life of a transaction (timer J), the oldest less if there are too many.
#[derive(Debug)]
pub struct ServerTransactions {
    answers: HashMap<TransactionKey, Arc<[u8]>, RandomState>,
    /// In the order in which they came, which is that in which they go.
    order: VecDeque<(Timestamp, TransactionKey)>,
    limit: usize,
    absorbed: u64,
    evicted: u64,
}

impl ServerTransactions {
    /// None. At most `limit` are kept.
    pub fn new(limit: usize) -> Self {
        Self { answers: HashMap::default(), order: VecDeque::new(), limit, absorbed: 0, evicted: 0 }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Requests that came again and got the answer that was kept, ever.
    pub const fn absorbed(&self) -> u64 {
        self.absorbed
    }

    /// Answers that went before their time because there were too many, ever.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The answer to a request that came before.
    pub fn get(&mut self, key: TransactionKey, now: Timestamp) -> Option<Arc<[u8]>> {
        self.sweep(now);
        let answer = self.answers.get(&key).cloned();
        self.absorbed += u64::from(answer.is_some());
        answer
    }

    /// Keep an answer. One that is there stays.
    pub fn keep(&mut self, key: TransactionKey, answer: Arc<[u8]>, now: Timestamp) {
        self.sweep(now);
        if self.limit == 0 || self.answers.contains_key(&key) {
            return;
        }
        if self.answers.len() >= self.limit
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
            self.evicted += 1;
        }
        self.answers.insert(key, answer);
        self.order.push_back((now.plus(T1_64), key));
    }

    /// Forget what is past.
    pub fn sweep(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.order.pop_front_if(|(until, _)| *until <= now) {
            self.answers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    #[test]
    fn a_request_that_comes_again_gets_the_same_answer_for_half_a_minute() {
        let mut kept = ServerTransactions::new(2);
        let at = |ms| START.plus(Duration::from_millis(ms));
        let answer = |text: &str| Arc::<[u8]>::from(text.as_bytes());
        assert_eq!(kept.get(1, START), None);
        kept.keep(1, answer("one"), START);
        kept.keep(1, answer("another"), at(1));
        assert_eq!(kept.get(1, at(31_999)), Some(answer("one")));
        assert_eq!(kept.get(1, at(32_000)), None);
        assert!(kept.is_empty());
        for key in 2..5 {
            kept.keep(key, answer("x"), at(40_000));
        }
        assert_eq!((kept.len(), kept.evicted(), kept.absorbed()), (2, 1, 1));
        assert_eq!((kept.get(2, at(40_001)), kept.get(4, at(40_001))), (None, Some(answer("x"))));
        kept.sweep(at(80_000));
        assert!(kept.is_empty());
        let mut none = ServerTransactions::new(0);
        none.keep(1, answer("x"), START);
        assert!(none.is_empty());
    }
}
