//! The phones of one flow: what they send, and what they make of what comes back. No socket and no clock: moments are
//! microseconds since the fleet was made.

use std::sync::Arc;

use callboard_codecs::sip::{Index, Response};

use super::answer::Answer;
use super::batch::Batch;
use super::company::{Company, Site};
use super::fault::Fault;
use super::pass::{self, Pass};
use super::register::Register;
use super::roster::Known;
use super::timers::{Sendings, Timers};
use super::work::Part;
use crate::tally::Tally;

/// Challenges that a phone answers in one registration: the first one, and one because the nonce was too old.
const CHALLENGES: u8 = 2;

/// What came of the registrations of a phase, on all flows.
pub(crate) struct Counts {
    pub(crate) tally: Tally,
    /// Those that began late enough, once more.
    pub(crate) settled: Tally,
    /// Requests that were sent again because no answer had come.
    pub(crate) retransmissions: u64,
    /// Challenges that were answered.
    pub(crate) challenges: u64,
    /// Answers to requests that had their answer already.
    pub(crate) repeated_answers: u64,
    /// Turns that were left out because the phone was not done with the one before.
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (tally, settled) = (Tally::new()?, Tally::new()?);
        Ok(Self { tally, settled, retransmissions: 0, challenges: 0, repeated_answers: 0, skipped: 0 })
    }

    /// Take over what was counted in another phase.
    pub(crate) fn merge(&mut self, other: Self) {
        self.tally.merge(other.tally);
        self.settled.merge(other.settled);
        self.retransmissions += other.retransmissions;
        self.challenges += other.challenges;
        self.repeated_answers += other.repeated_answers;
        self.skipped += other.skipped;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    #[default]
    Rest,
    /// Waits for an answer.
    Trying,
    /// Was told to come later.
    Later,
}

#[derive(Default)]
struct Phone {
    doing: Doing,
    /// Changes with everything that makes a timer void.
    stamp: u32,
    /// Of the latest request.
    cseq: u32,
    /// `CSeq` of the latest request that was answered with 200, or 0, what that granted, and when.
    acked: u32,
    granted: u32,
    acked_at: u64,
    /// When this registration was due.
    since: u64,
    counts_again: bool,
    sendings: Sendings,
    challenges: u8,
    pass: Option<Box<Pass>>,
}

/// The phones of one flow.
pub(super) struct Lane {
    company: Arc<Company>,
    site: Site,
    first: u32,
    step: u32,
    phones: Vec<Phone>,
    timers: Timers,
    part: Part,
    began: u64,
    trying: usize,
    later: usize,
    index: Index,
}

impl Lane {
    /// `count` phones: `first`, `first + step`, and so on.
    pub(super) fn new(company: Arc<Company>, site: Site, first: u32, step: u32, count: u32) -> Self {
        Self {
            company,
            site,
            first,
            step,
            phones: (0..count).map(|_| Phone::default()).collect(),
            timers: Timers::default(),
            part: Part::default(),
            began: 0,
            trying: 0,
            later: 0,
            index: Index::new(),
        }
    }

    /// Begin a phase.
    pub(super) fn begin(&mut self, part: Part, now: u64) {
        (self.part, self.began) = (part, now);
    }

    /// Whether the phase is over.
    pub(super) fn is_done(&self) -> bool {
        self.part.left() == 0 && self.trying == 0 && self.later == 0
    }

    /// When to look again.
    pub(super) fn next_due(&mut self) -> Option<u64> {
        let by_clock = self.part.next_time().map(|time| self.began + time);
        let phones = &self.phones;
        let timer = self.timers.next(|index, stamp| phones[index as usize].stamp == stamp);
        [by_clock, timer].into_iter().flatten().min()
    }

    /// Do what is due: begin, send again, give up.
    pub(super) fn tick(&mut self, now: u64, out: &mut Batch, counts: &mut Counts) {
        loop {
            let phones = &self.phones;
            let Some(index) = self.timers.due(now, |index, stamp| phones[index as usize].stamp == stamp)
            else {
                break;
            };
            self.due(index, now, out, counts);
        }
        while let Some((index, due)) = self.part.next(now.saturating_sub(self.began), self.trying) {
            let phone = &mut self.phones[index as usize];
            if phone.doing != Doing::Rest {
                counts.skipped += 1;
                continue;
            }
            phone.since = self.began + due;
            phone.counts_again = due >= self.part.settled_after;
            phone.challenges = 0;
            self.ask(index, now, out, counts);
        }
    }

    fn due(&mut self, index: u32, now: u64, out: &mut Batch, counts: &mut Counts) {
        let phone = &mut self.phones[index as usize];
        match phone.doing {
            Doing::Rest => {}
            Doing::Later => {
                self.later -= 1;
                self.ask(index, now, out, counts);
            }
            Doing::Trying if phone.sendings.is_over(now) => self.failed(index, &Fault::Timeout, counts),
            Doing::Trying => {
                phone.sendings.again(now);
                counts.retransmissions += 1;
                self.send(index, out, counts);
            }
        }
    }

    /// Send a new request of a phone.
    fn ask(&mut self, index: u32, now: u64, out: &mut Batch, counts: &mut Counts) {
        let phone = &mut self.phones[index as usize];
        if phone.doing != Doing::Trying {
            self.trying += 1;
        }
        phone.doing = Doing::Trying;
        phone.cseq += 1;
        if let Some(pass) = &mut phone.pass {
            pass.count += 1;
        }
        phone.sendings = Sendings::begin(now);
        self.send(index, out, counts);
    }

    /// Send the request of a phone, for the first time or again.
    fn send(&mut self, index: u32, out: &mut Batch, counts: &mut Counts) {
        let number = self.number(index);
        let phone = &self.phones[index as usize];
        let register = Register {
            company: &self.company,
            site: &self.site,
            number,
            cseq: phone.cseq,
            pass: phone.pass.as_deref(),
        };
        match register.write(out.buffer()) {
            Ok(()) => {
                out.close(None);
                self.wait(index);
            }
            Err(fault) => {
                out.cancel();
                self.failed(index, &fault, counts);
            }
        }
    }

    /// Set the timer of a request.
    fn wait(&mut self, index: u32) {
        let phone = &mut self.phones[index as usize];
        phone.stamp = phone.stamp.wrapping_add(1);
        let next = phone.sendings.next(self.site.transport.is_reliable());
        self.timers.set(next, index, phone.stamp);
    }

    /// Take a message that came in.
    pub(super) fn received(&mut self, bytes: &[u8], now: u64, out: &mut Batch, counts: &mut Counts) {
        let mut index = std::mem::take(&mut self.index);
        match Answer::read(bytes, &mut index) {
            Ok(Some(answer)) => self.answered(&answer, now, out, counts),
            // A request of the server: phones here only register.
            Ok(None) => {}
            Err(fault) => counts.tally.fault_of(self.first, fault.label(), &fault),
        }
        self.index = index;
    }

    fn answered(&mut self, answer: &Answer<'_>, now: u64, out: &mut Batch, counts: &mut Counts) {
        let index = self.index_of(answer.number);
        let Some((index, phone)) = index.and_then(|at| Some((at, self.phones.get_mut(at as usize)?))) else {
            let fault = Fault::Foreign("a phone of another flow".into());
            return counts.tally.fault_of(answer.number, fault.label(), &fault);
        };
        if phone.doing != Doing::Trying || phone.cseq != answer.cseq {
            counts.repeated_answers += 1;
            return;
        }
        let response = &answer.response;
        match (response.status, response.headers.retry_after()) {
            (100..=199, _) => {
                phone.sendings.proceeding();
                self.wait(index);
            }
            (200, _) => {
                let contact = self.site.contact(answer.number);
                match answer.granted(&contact, self.company.expires) {
                    Ok(seconds) => self.registered(index, seconds, now, counts),
                    Err(fault) => self.failed(index, &fault, counts),
                }
            }
            (401, _) => self.challenged(index, response, now, out, counts),
            (503, Some(seconds)) => self.postponed(index, seconds, now, counts),
            (503, None) => self.failed(index, &Fault::LaterWithoutTime, counts),
            (status, _) => {
                let reason = String::from_utf8_lossy(response.reason).into_owned();
                self.failed(index, &Fault::Status { status, reason }, counts);
            }
        }
    }

    fn registered(&mut self, index: u32, seconds: u32, now: u64, counts: &mut Counts) {
        let phone = &mut self.phones[index as usize];
        (phone.acked, phone.granted, phone.acked_at) = (phone.cseq, seconds, now);
        let time = std::time::Duration::from_micros(now.saturating_sub(phone.since));
        counts.tally.record(time);
        if phone.counts_again {
            counts.settled.record(time);
        }
        self.rest(index);
    }

    fn challenged(
        &mut self,
        index: u32,
        response: &Response<'_>,
        now: u64,
        out: &mut Batch,
        counts: &mut Counts,
    ) {
        let number = self.number(index);
        let phone = &mut self.phones[index as usize];
        let refused = phone.pass.is_some() && phone.challenges > 0 && !pass::is_stale(response);
        if refused || phone.challenges == CHALLENGES {
            return self.failed(index, &Fault::Challenge("the answer is not taken".into()), counts);
        }
        match Pass::of(response, number, self.company.digest) {
            Ok(pass) => {
                phone.challenges += 1;
                phone.pass = Some(Box::new(pass));
                counts.challenges += 1;
                self.ask(index, now, out, counts);
            }
            Err(fault) => self.failed(index, &fault, counts),
        }
    }

    /// It is to come later, and does.
    fn postponed(&mut self, index: u32, seconds: u32, now: u64, counts: &mut Counts) {
        counts.tally.overloads += 1;
        self.rest(index);
        let phone = &mut self.phones[index as usize];
        phone.doing = Doing::Later;
        self.later += 1;
        self.timers.set(now + u64::from(seconds) * 1_000_000, index, phone.stamp);
    }

    fn failed(&mut self, index: u32, fault: &Fault, counts: &mut Counts) {
        counts.tally.fault_of(self.number(index), fault.label(), fault);
        self.rest(index);
    }

    fn rest(&mut self, index: u32) {
        let phone = &mut self.phones[index as usize];
        match phone.doing {
            Doing::Trying => self.trying -= 1,
            Doing::Later => self.later -= 1,
            Doing::Rest => {}
        }
        phone.doing = Doing::Rest;
        phone.stamp = phone.stamp.wrapping_add(1);
    }

    /// The phase ends now: what is under way is left as it is. Gives how many registrations that are.
    pub(super) fn cut(&mut self) -> u64 {
        self.part.stop();
        let cut = self.trying + self.later;
        for index in 0..u32::try_from(self.phones.len()).unwrap_or(u32::MAX) {
            self.rest(index);
        }
        self.timers.clear();
        cut as u64
    }

    /// The flow has ended: whatever was to be done on it fails.
    pub(super) fn broken(&mut self, why: &str, counts: &mut Counts) {
        let left = self.part.left() as u64 + self.cut();
        let fault = Fault::Connection(why.to_owned());
        for _ in 0..left {
            counts.tally.fault_of(self.first, fault.label(), &fault);
        }
    }

    fn number(&self, index: u32) -> u32 {
        self.first + index * self.step
    }

    fn index_of(&self, number: u32) -> Option<u32> {
        let offset = number.checked_sub(self.first)?;
        offset.is_multiple_of(self.step).then_some(offset / self.step)
    }

    /// What each phone knows of its registration.
    pub(super) fn known(&self) -> impl Iterator<Item = Known> {
        self.phones.iter().zip(0_u32..).map(|(phone, index)| {
            let number = self.number(index);
            Known {
                number,
                contact: self.site.contact(number),
                call_id: self.company.call_id(number),
                asked: phone.cseq,
                acked: phone.acked,
                granted: phone.granted,
                acked_at: phone.acked_at,
            }
        })
    }
}
