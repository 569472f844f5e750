//! So many in a second, evenly.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What was not used of so much time may be used at once.
const BURST: Duration = Duration::from_millis(100);

/// Gives turns.
#[derive(Debug)]
pub(super) struct Rate {
    step: Duration,
    next: Instant,
}

impl Rate {
    pub(super) fn new(per_second: usize) -> Self {
        let per_second = u32::try_from(per_second).unwrap_or(u32::MAX).max(1);
        Self { step: Duration::from_secs(1) / per_second, next: Instant::now() }
    }

    /// Wait for the next turn.
    pub(super) async fn turn(&mut self) {
        let now = Instant::now();
        self.next = self.next.max(now.checked_sub(BURST).unwrap_or(now));
        sleep_until(self.next).await;
        self.next += self.step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_so_many_in_a_second() {
        let begun = Instant::now();
        let mut rate = Rate::new(50);
        for _ in 0..51 {
            rate.turn().await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        // A rest makes up for a tenth of a second, not for all of it.
        tokio::time::advance(Duration::from_mins(1)).await;
        let begun = Instant::now();
        for _ in 0..6 {
            rate.turn().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        rate.turn().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(20));
    }
}
