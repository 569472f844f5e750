//! How many notifications of a source become events: the first few of a minute tell as much as thousands.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::time::Timestamp;

/// Sources that are remembered; up to twice as many for a while.
const SOURCES: usize = 65_536;

/// Parts that are locked apart.
const SHARDS: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Source {
    /// When its window began.
    since: Timestamp,
    /// Told in this window.
    told: u32,
    /// Left out since the last that was told.
    left_out: u32,
}

type Table = HashMap<IpAddr, Source, RandomState>;

/// Counts notifications by source. Two tables, of which the older one is thrown away when the newer one is full.
#[derive(Debug)]
pub struct Storms {
    shards: Box<[Mutex<(Table, Table)>]>,
    most: u32,
    window: Duration,
    ipv6_prefix: u32,
}

impl Storms {
    /// Lets `most` of a source be told in `window`. Addresses of IPv6 count by their prefix.
    pub fn new(most: u32, window: Duration, ipv6_prefix: u32) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, most: most.max(1), window, ipv6_prefix }
    }

    /// Whether the next one of a source is to be told, and how many were left out before it.
    pub fn take(&self, source: IpAddr, now: Timestamp) -> Option<u32> {
        let source = crate::network::counted_as(source, self.ipv6_prefix);
        let mut shard = self.shards[shard_of(source)].lock();
        let (newer, older) = &mut *shard;
        if newer.len() >= SOURCES / SHARDS && !newer.contains_key(&source) {
            *older = mem::take(newer);
        }
        let fresh = Source { since: now, told: 0, left_out: 0 };
        let known = newer.entry(source).or_insert_with(|| older.remove(&source).unwrap_or(fresh));
        if now < known.since || now.since(known.since) >= self.window {
            *known = Source { left_out: known.left_out, ..fresh };
        }
        if known.told >= self.most {
            known.left_out = known.left_out.saturating_add(1);
            return None;
        }
        known.told += 1;
        Some(mem::take(&mut known.left_out))
    }
}

fn shard_of(source: IpAddr) -> usize {
    let last = match source {
        IpAddr::V4(v4) => v4.octets()[3],
        // The part that differs lies in the network.
        IpAddr::V6(v6) => v6.octets().iter().fold(0, |sum, byte| sum ^ byte),
    };
    usize::from(last) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_323_045_678);

    #[test]
    fn the_first_of_a_window_are_told_and_the_others_counted() {
        let storms = Storms::new(3, Duration::from_mins(1), 64);
        let take = |source: &str, seconds| {
            storms.take(source.parse().unwrap(), START.plus(Duration::from_secs(seconds)))
        };
        assert_eq!([0, 1, 2, 3, 59].map(|at| take("192.0.2.1", at)), [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(take("192.0.2.2", 3), Some(0), "each source by itself");
        assert_eq!([60, 61].map(|at| take("192.0.2.1", at)), [Some(2), Some(0)]);
        for host in 0..9 {
            let told = take(&format!("2001:db8::{host}"), 0);
            assert_eq!(told.is_some(), host < 3, "one network is one source");
        }
    }

    #[test]
    fn few_sources_are_remembered() {
        let storms = Storms::new(3, Duration::from_mins(1), 64);
        for number in 0..300_000_u32 {
            storms.take(IpAddr::from(number.to_be_bytes()), START);
        }
        let held = |shard: &Mutex<(Table, Table)>| {
            let (newer, older) = &*shard.lock();
            newer.len() + older.len()
        };
        let remembered: usize = storms.shards.iter().map(held).sum();
        assert!(remembered <= 2 * SOURCES, "{remembered}");
    }
}
