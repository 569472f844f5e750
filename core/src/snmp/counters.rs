//! What an engine counts of itself (RFC 3418, RFC 3412, RFC 3414): the agent tells it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::dialogue::snmp::Report;

/// What the group `snmp` of SNMPv2-MIB counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Messages that came in.
    InPkts,
    /// Of a version that there is not.
    InBadVersions,
    /// With a community that is not known, or not from there.
    InBadCommunityNames,
    /// With a community that may not do what was asked.
    InBadCommunityUses,
    /// That could not be read.
    InAsnParseErrs,
    /// That could not be answered, as even an empty answer would be larger than the sender takes.
    SilentDrops,
    /// With flags that cannot be, or another fault of their head.
    InvalidMsgs,
}

const COUNTED: usize = 7;

/// Counters that begin at 0 with each start, and wrap around.
#[derive(Debug, Default)]
pub struct Counters {
    counted: [AtomicU32; COUNTED],
    reports: [AtomicU32; Report::ALL.len()],
}

impl Counters {
    /// One more.
    pub fn count(&self, counted: Counted) {
        self.counted[counted as usize].fetch_add(1, Relaxed);
    }

    /// How many there were.
    pub fn of(&self, counted: Counted) -> u32 {
        self.counted[counted as usize].load(Relaxed)
    }

    /// One more message was refused; how many there were with this one.
    pub fn report(&self, report: Report) -> u32 {
        self.reports[report as usize].fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// How many messages were refused for a reason.
    pub fn reported(&self, report: Report) -> u32 {
        self.reports[report as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_itself() {
        let counters = Counters::default();
        counters.count(Counted::InvalidMsgs);
        assert_eq!((counters.of(Counted::InvalidMsgs), counters.of(Counted::InPkts)), (1, 0));
        assert_eq!(counters.report(Report::UnknownContexts), 1);
        assert_eq!(counters.report(Report::UnknownContexts), 2);
        for report in Report::ALL {
            assert_eq!(counters.reported(report), if report == Report::UnknownContexts { 2 } else { 0 });
        }
    }
}
