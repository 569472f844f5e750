//! The WPI doors: HTTP requests in, WPI messages to the service, its replies out.

mod cookie;
mod handler;
mod metrics;
#[cfg(test)]
mod tests;

pub use handler::{LargeBodies, Mode, WpiHandler, WpiLimits};
pub use metrics::describe_metrics;
