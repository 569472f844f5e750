//! Connections that requests of ours may go out on.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::mpsc;

const SHARDS: usize = 16;

/// Requests of ours that a connection has not taken yet. What comes beyond is lost as a datagram would be: the transaction ends in
/// time.
const UNSENT: usize = 8;

type Shard = Mutex<HashMap<u64, mpsc::Sender<Arc<[u8]>>, RandomState>>;

/// Open connections by number.
#[derive(Debug, Default)]
pub struct StreamLinks {
    hasher: RandomState,
    shards: [Shard; SHARDS],
    last: AtomicU64,
}

/// A connection's entry; given back when dropped.
#[derive(Debug)]
pub(super) struct StreamLink {
    links: Arc<StreamLinks>,
    /// Its number, 1 or more, never given twice.
    pub(super) number: u64,
    /// What is to be sent on it.
    pub(super) requests: mpsc::Receiver<Arc<[u8]>>,
}

impl StreamLinks {
    fn shard(&self, number: u64) -> &Shard {
        #[allow(clippy::cast_possible_truncation)] // SHARDS is small
        let shard = (self.hasher.hash_one(number) % SHARDS as u64) as usize;
        &self.shards[shard]
    }

    /// Enter a connection that was opened.
    pub(super) fn enter(self: &Arc<Self>) -> StreamLink {
        let number = self.last.fetch_add(1, Relaxed) + 1;
        let (sender, requests) = mpsc::channel(UNSENT);
        self.shard(number).lock().insert(number, sender);
        StreamLink { links: Arc::clone(self), number, requests }
    }

    /// Send on a connection. `false`: it is gone, or takes nothing.
    pub fn send(&self, number: u64, bytes: Arc<[u8]>) -> bool {
        let shard = self.shard(number).lock();
        shard.get(&number).is_some_and(|sender| sender.try_send(bytes).is_ok())
    }
}

impl Drop for StreamLink {
    fn drop(&mut self) {
        self.links.shard(self.number).lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_a_few_requests_until_it_is_gone() {
        let links = Arc::new(StreamLinks::default());
        let mut one = links.enter();
        let other = links.enter();
        assert_ne!(one.number, other.number);
        let bytes: Arc<[u8]> = Arc::from(&b"NOTIFY"[..]);
        let taken = (0..UNSENT + 2).filter(|_| links.send(one.number, bytes.clone())).count();
        assert_eq!(taken, UNSENT);
        assert_eq!(one.requests.try_recv().ok(), Some(bytes.clone()));
        assert!(links.send(one.number, bytes.clone()));
        let gone = one.number;
        drop(one);
        assert!(
            !links.send(gone, bytes.clone())
                && !links.send(99, bytes.clone())
                && links.send(other.number, bytes)
        );
    }
}
