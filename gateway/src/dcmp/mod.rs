//! The door at which phones ask whether work waits for them (WPI reference, section 9).
//!
//! A poll is answered where its bytes are read: no allocation, no lock that a dialogue takes, no line in the log. Whether
//! work waits is [`PendingSet`](callboard_core::reach::pending::PendingSet)'s word.

mod handler;
mod metrics;
mod recent;
#[cfg(test)]
mod tests;

pub use handler::DcmpHandler;
pub use metrics::{PollCounts, describe_metrics};
