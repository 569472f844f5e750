//! The promise that a submission will be durable.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::CommitError;

/// Resolves when the submission it was given for is durable on disk, or will not be.
///
/// Dropping it does not cancel the write.
#[derive(Debug)]
#[must_use = "a change must not be acknowledged before its ticket has resolved"]
pub struct Ticket(oneshot::Receiver<Result<(), CommitError>>);

/// The other end of a [`Ticket`].
pub(super) type Waiter = oneshot::Sender<Result<(), CommitError>>;

impl Ticket {
    pub(super) fn new() -> (Waiter, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// One that is resolved already.
    pub(super) fn resolved(outcome: Result<(), CommitError>) -> Self {
        let (waiter, ticket) = Self::new();
        // Its other end is right here.
        let _ = waiter.send(outcome);
        ticket
    }

    /// Blocks the calling thread until the submission is durable; for plain threads.
    ///
    /// # Panics
    /// When called from an asynchronous task.
    pub fn wait(self) -> Result<(), CommitError> {
        self.0.blocking_recv().unwrap_or(Err(CommitError::Stopped))
    }
}

impl Future for Ticket {
    type Output = Result<(), CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or(Err(CommitError::Stopped)))
    }
}

/// Looks at a ticket without waiting for it.
#[cfg(test)]
pub(super) struct Probe(Ticket, bool);

#[cfg(test)]
impl Ticket {
    pub(super) fn probe(self) -> Probe {
        Probe(self, false)
    }
}

#[cfg(test)]
impl Probe {
    pub(super) fn is_resolved(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.1 = self.1 || Pin::new(&mut self.0).poll(&mut context).is_ready();
        self.1
    }
}
