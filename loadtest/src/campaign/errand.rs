//! The way of a phone that was called, or told that work waits: it comes, boots if it is told to, and comes again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::book::{Book, Did};
use super::manner::Manner;
use super::outage::Outages;
use super::visit::{Heard, Visit};
use super::ways::{Way, Ways};
use super::{TaskType, VERSION};
use crate::call::{Patience, Target, World};
use crate::fault::Fault;
use crate::phone::message::{Messages, Say};
use crate::tally::Tally;

/// What the phones of a campaign share.
pub(crate) struct Crowd {
    pub(crate) world: Arc<World>,
    pub(crate) task_type: TaskType,
    pub(crate) ways: Ways,
    pub(crate) book: Book,
    pub(crate) outages: Outages,
    seed: u64,
    /// What phones with the new firmware say, by model.
    upgraded: Vec<Messages>,
    /// The server, then the edges.
    targets: Vec<Target>,
    pause: Duration,
    /// Dialogues that may begin.
    places: Semaphore,
    tally: Mutex<Tally>,
    visits_for_nothing: AtomicU64,
}

/// How a crowd is.
pub(crate) struct Wish {
    pub(crate) seed: u64,
    pub(crate) task_type: TaskType,
    pub(crate) ways: Ways,
    pub(crate) concurrency: u32,
    /// Time in which a phone boots, and after which it has ended the call that it was in.
    pub(crate) pause: Duration,
}

impl Crowd {
    /// Phones that know nothing yet. `targets` are the server and the edges.
    pub(crate) fn new(wish: &Wish, world: Arc<World>, targets: Vec<Target>) -> anyhow::Result<Self> {
        let models = world.profiles.iter().enumerate();
        let upgraded = models.map(|(model, profile)| Messages::with_version(model, profile, VERSION));
        let edges = u32::try_from(targets.len().saturating_sub(1))?;
        Ok(Self {
            upgraded: upgraded.collect(),
            world,
            task_type: wish.task_type,
            ways: wish.ways,
            book: Book::new(wish.ways.phones(), wish.task_type),
            outages: Outages::new(edges),
            seed: wish.seed,
            targets,
            pause: wish.pause,
            places: Semaphore::new(wish.concurrency as usize),
            tally: Mutex::new(Tally::new()?),
            visits_for_nothing: AtomicU64::new(0),
        })
    }

    pub(crate) fn manner(&self, number: u32) -> Manner {
        Manner::of(self.seed, number)
    }

    /// Where a phone calls.
    pub(super) fn target(&self, number: u32) -> &Target {
        &self.targets[self.ways.of(number).edge().map_or(0, |edge| edge + 1)]
    }

    /// What a phone can say.
    pub(super) fn messages(&self, number: u32, model: usize) -> &Messages {
        if self.book.entry(number).upgraded { &self.upgraded[model] } else { &self.world.messages[model] }
    }

    /// The phone sets out, if it has time and is not silent.
    pub(crate) fn come(self: &Arc<Self>, number: u32) {
        if self.manner(number) == Manner::Silent || !self.book.set_out(number) {
            return;
        }
        let crowd = Arc::clone(self);
        tokio::spawn(async move {
            crowd.errand(number).await;
            crowd.book.is_back(number);
        });
    }

    /// The whole way of a phone that has set out.
    pub(crate) async fn errand(&self, number: u32) {
        let told_before = self.book.entry(number).told;
        let mut heard = self.call(number, Say::Solicited, false).await;
        while heard == Some(Heard::CallBack) {
            // The call that it was in comes to an end.
            rest(self.pause).await;
            heard = self.call(number, Say::Solicited, true).await;
        }
        if self.book.entry(number).told == told_before {
            self.visits_for_nothing.fetch_add(u64::from(heard.is_some()), Ordering::Relaxed);
        }
        if heard == Some(Heard::Told) && self.manner(number) != Manner::Disappears {
            self.boot(number).await;
        }
    }

    /// The phone boots, and registers until it is heard.
    async fn boot(&self, number: u32) {
        rest(self.pause).await;
        let is_done =
            self.task_type != TaskType::SoftwareDeployment || self.manner(number) != Manner::StaysOld;
        if is_done && self.task_type == TaskType::SoftwareDeployment {
            self.book.upgrade(number);
        }
        self.book.does(number, if is_done { Did::Done } else { Did::NotDone });
        self.call(number, Say::StartUp { changed: false }, true).await;
    }

    /// Call the service. Who does not `insist` gives up when there is no service.
    async fn call(&self, number: u32, opening: Say, insist: bool) -> Option<Heard> {
        let (way, patience) = (self.ways.of(number), self.target(number).patience);
        let mut tries = 0;
        while tries < patience.overload_tries {
            let (result, time, is_excused) = {
                // Never closed.
                let _place = self.places.acquire().await.ok()?;
                let (mark, start) = (self.outages.mark(way), Instant::now());
                let result = self.visit(number, opening, patience).await;
                (result, start.elapsed(), self.outages.excuse(way, mark))
            };
            match result {
                Ok(Heard::Later) => {
                    self.tally(|tally| tally.overloads += 1);
                    tries += 1;
                }
                Ok(heard) => {
                    self.tally(|tally| tally.record(time));
                    return Some(heard);
                }
                Err(fault) if is_excused && (fault.is_disconnect() || matches!(fault, Fault::Timeout(_))) => {
                    self.tally(|tally| tally.interrupted += 1);
                    if !insist {
                        return None;
                    }
                }
                Err(fault) => {
                    self.tally(|tally| tally.fault(number, &fault));
                    if !insist {
                        return None;
                    }
                    tries += 1;
                }
            }
            rest(patience.overload).await;
        }
        let fault = Fault::Overload(patience.overload_tries);
        self.tally(|tally| tally.fault(number, &fault));
        None
    }

    async fn visit(&self, number: u32, opening: Say, patience: Patience) -> Result<Heard, Fault> {
        let limit = patience.dialogue;
        let visit = tokio::time::timeout(limit, Visit::new(self, number).run(opening)).await;
        visit.unwrap_or(Err(Fault::Timeout(limit.as_secs())))
    }

    /// Count something.
    pub(super) fn tally(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was counted, which begins anew.
    pub(crate) fn take_tally(&self) -> anyhow::Result<Tally> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut *tally, Tally::new()?))
    }

    /// Dialogues to which a phone was called, or told to come, in which it was not told its task.
    pub(crate) fn visits_for_nothing(&self) -> u64 {
        self.visits_for_nothing.load(Ordering::Relaxed)
    }

    /// The phones of a way that poll, by the number of their target: the server is 0.
    pub(crate) fn polling(&self) -> Vec<Vec<u32>> {
        let mut polling = vec![Vec::new(); self.targets.len()];
        for number in 0..self.ways.phones() {
            match self.ways.of(number) {
                Way::Polls => polling[0].push(number),
                Way::EdgePolls(edge) => polling[edge + 1].push(number),
                Way::Direct | Way::EdgeCalled(_) => {}
            }
        }
        polling
    }
}

/// Wait for this time, or up to twice as long.
async fn rest(time: Duration) {
    tokio::time::sleep(time.mul_f64(1.0 + rand::random::<f64>())).await;
}
