//! Which addresses were called lately, whoever wanted it: a device, or a scan that a device stands in the range of.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::time::Timestamp;

/// Addresses called within the spacing at the most; with as many, no other is called until the first of them may be
/// called again. The rates of the configuration keep far below: 500 calls a second are 30,000 in a minute.
const MAX: usize = 1 << 20;

/// Addresses that may not be called yet.
#[derive(Debug)]
pub struct Addresses {
    spacing: Duration,
    lately: VecDeque<(Timestamp, SocketAddr)>,
    begun: HashMap<SocketAddr, Timestamp, RandomState>,
}

impl Addresses {
    /// None was called yet; any one is called once within `spacing`.
    pub fn new(spacing: Duration) -> Self {
        Self { spacing, lately: VecDeque::new(), begun: HashMap::default() }
    }

    /// Take note of a call that begins now; or when the address may be called.
    pub fn call(&mut self, address: SocketAddr, now: Timestamp) -> Result<(), Timestamp> {
        // Begun later than now: the clock was set back.
        while let Some((begun, old)) = self.lately.front()
            && (now >= begun.plus(self.spacing) || *begun > now)
        {
            self.begun.remove(old);
            self.lately.pop_front();
        }
        if let Some(begun) = self.begun.get(&address) {
            return Err(begun.plus(self.spacing));
        }
        if self.lately.len() >= MAX {
            return Err(self.lately.front().map_or(now, |(begun, _)| begun.plus(self.spacing)));
        }
        self.begun.insert(address, now);
        self.lately.push_back((now, address));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_called_once_within_the_spacing() {
        let at = Timestamp::from_millis;
        let mut addresses = Addresses::new(Duration::from_mins(1));
        let [one, two]: [SocketAddr; 2] =
            ["192.0.2.1:8085".parse().unwrap(), "192.0.2.1:80".parse().unwrap()];
        assert_eq!(addresses.call(one, at(1_000)), Ok(()));
        assert_eq!(addresses.call(two, at(2_000)), Ok(()), "another web server");
        assert_eq!(addresses.call(one, at(60_999)), Err(at(61_000)));
        assert_eq!(addresses.call(one, at(61_000)), Ok(()));
        assert_eq!(addresses.call(two, at(61_000)), Err(at(62_000)));
        assert_eq!(addresses.begun.len(), addresses.lately.len());
        // A clock that is set back does not keep anybody waiting.
        assert_eq!(addresses.call(two, at(500)), Ok(()));
    }
}
