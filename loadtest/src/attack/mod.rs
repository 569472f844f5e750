//! Peers that a server must survive: slow ones that hold connections, and ones that send garbage.

mod garbage;
mod slow;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::wire::link;

/// The part of 127.0.0.0/8 from which attackers call, so that limits per source hit them and not the phones.
const BLOCK: u8 = 2;
/// How many source addresses they share.
const SOURCES: u16 = 1_024;

/// What the attackers have seen.
#[derive(Default)]
pub(crate) struct Counts {
    /// Slow connections that are open now.
    pub(crate) held: AtomicU64,
    /// Slow connections that the server has ended.
    pub(crate) ended: AtomicU64,
    /// Connections that were not let in.
    pub(crate) refused: AtomicU64,
    /// Garbage that was answered with 400 (or another refusal), or by ending the connection.
    pub(crate) garbage_refused: AtomicU64,
    /// Garbage that was answered with success, or not at all: faults of the server.
    pub(crate) garbage_taken: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all attackers need.
#[derive(Clone)]
struct Field {
    target: SocketAddr,
    host: String,
    tls: TlsConnector,
    counts: Arc<Counts>,
}

impl Field {
    fn source(number: u32) -> Ipv4Addr {
        link::source(number, SOURCES, BLOCK)
    }
}

/// A crowd of attackers; dropping it ends them.
pub(crate) struct Crowd {
    pub(crate) counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

impl Crowd {
    /// Let `slow` peers hold connections, each coming again when it was thrown out, and `rate` peers per second send
    /// garbage.
    pub(crate) fn start(target: SocketAddr, tls: TlsConnector, slow: u32, rate: f64) -> Self {
        let counts = Arc::new(Counts::default());
        let field = Field { target, host: target.to_string(), tls, counts: Arc::clone(&counts) };
        let mut tasks = JoinSet::new();
        for number in 0..slow {
            tasks.spawn(slow::peer(field.clone(), number));
        }
        tasks.spawn(garbage::peers(field, rate));
        Self { counts, _tasks: tasks }
    }

    /// Wait until nearly all slow peers have been let in, or had time for it.
    pub(crate) async fn settle(&self, slow: u32) {
        let enough = u64::from(slow) * 95 / 100;
        let time = Duration::from_secs_f64(f64::from(slow) / slow::RAMP_PER_SECOND + 10.0);
        let settled = async {
            while self.counts.held.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // Fewer than wanted is a result, not a failure: the server may bound them.
        let _ = tokio::time::timeout(time, settled).await;
    }
}
