//! Which datagram an answer belongs to.

use std::net::{IpAddr, Ipv4Addr};

use super::Seen;

/// Addresses that datagrams are sent from, each another one: 127.64.0.0/10.
const ADDRESSES: u32 = 1 << 22;
const FIRST: u32 = 0x7f40_0000;

/// The address of a datagram that has one of its own.
pub(super) fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST + number % ADDRESSES)
}

/// The number of the datagram with that address.
pub(super) fn number_of(address: IpAddr) -> Option<u32> {
    let IpAddr::V4(address) = address else { return None };
    address.to_bits().checked_sub(FIRST).filter(|number| *number < ADDRESSES)
}

/// The datagrams that were sent lately: how long each was, and whether it was answered.
#[derive(Default)]
pub(super) struct Trace {
    sent: Vec<(u16, bool)>,
    pub(super) seen: Seen,
}

impl Trace {
    /// A datagram with the next number is sent.
    pub(super) fn sent(&mut self, number: u32, length: usize) {
        self.seen.datagrams += 1;
        self.seen.datagram_bytes += length as u64;
        let cell = (u16::try_from(length).unwrap_or(u16::MAX), false);
        let at = (number % ADDRESSES) as usize;
        match self.sent.get_mut(at) {
            Some(place) => *place = cell,
            None => self.sent.push(cell),
        }
    }

    /// An answer to it came.
    pub(super) fn answered(&mut self, number: Option<u32>, length: usize) {
        self.seen.answers += 1;
        self.seen.answer_bytes += length as u64;
        let cell = number.and_then(|number| self.sent.get_mut((number % ADDRESSES) as usize));
        let Some((request, answered)) = cell else {
            self.seen.stray_answers += 1;
            return;
        };
        if std::mem::replace(answered, true) {
            self.seen.second_answers += 1;
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let amplification = f64::from(length) / f64::from((*request).max(1));
        self.seen.amplification = self.seen.amplification.max(amplification);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_known_by_its_address() {
        for number in [0, 1, 65_536, ADDRESSES - 1] {
            assert_eq!(number_of(address(number).into()), Some(number));
        }
        assert_eq!(address(ADDRESSES), address(0));
        assert_eq!(number_of(Ipv4Addr::new(127, 1, 0, 1).into()), None);
        assert_eq!(number_of(Ipv4Addr::new(127, 128, 0, 0).into()), None);
    }

    #[test]
    fn answers_are_weighed_against_their_datagrams() {
        let mut trace = Trace::default();
        trace.sent(0, 100);
        trace.sent(1, 200);
        trace.answered(Some(0), 150);
        trace.answered(Some(1), 200);
        assert_eq!((trace.seen.second_answers, trace.seen.stray_answers), (0, 0));
        assert!((trace.seen.amplification - 1.5).abs() < 1e-9);
        trace.answered(Some(1), 800);
        trace.answered(Some(7), 1);
        trace.answered(None, 1);
        assert_eq!((trace.seen.second_answers, trace.seen.stray_answers), (1, 2));
        assert!((trace.seen.amplification - 4.0).abs() < 1e-9);
    }
}
