//! Files for phones: the folder they lie in, the providers they come from, and the way to the phones.
//!
//! Bytes pass through in small pieces and never gather in memory: an upload goes to the disk as it comes, a download is
//! read as its connection takes it, at the [pace](Pace) that all downloads share.

mod body;
mod bounded;
mod folder;
mod handler;
mod metrics;
mod outbound;
mod pace;
mod pieces;
mod provider;
mod range;
mod replace;
mod storage;
#[cfg(test)]
mod tests;
mod tls_roots;

pub use body::FileBody;
pub use handler::{FileHandler, FileLimits};
pub use metrics::describe_metrics;
pub use outbound::Outbound;
pub use pace::Pace;
pub(crate) use replace::replace;
pub use storage::{Storage, StorageSettings};
