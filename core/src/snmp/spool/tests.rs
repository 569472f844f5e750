//! The spool by itself.

use super::*;
use crate::event::EventKind;
use crate::store::journal::{JournalConfig, MemoryJournal};
use crate::store::{CommitError, LoadError};

pub(super) const START: Timestamp = Timestamp::from_millis(1_767_323_045_000);
pub(super) const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub(super) const LIMITS: SpoolLimits =
    SpoolLimits { entries: 12, bytes: 1_000_000, age: Duration::from_mins(1) };

pub(super) fn event(id: u64, at: Timestamp) -> Event {
    let (kind, text) = (EventKind::AdminChange, format!("event {id}"));
    Event { id, at, kind, device: None, task: None, text, repeated: 0 }
}

fn spool_on(journal: &Arc<MemoryJournal>, limits: SpoolLimits) -> Spool {
    Spool::new(journal.clone(), limits)
}

pub(super) fn spool() -> (Arc<MemoryJournal>, Spool) {
    let journal = Arc::new(MemoryJournal::new(JournalConfig::default()));
    let spool = spool_on(&journal, LIMITS);
    (journal, spool)
}

fn push(spool: &Spool, id: u64) -> u64 {
    spool.push(&event(id, START), |_| true).unwrap().unwrap()
}

/// What waits for a receiver, by the numbers of the entries.
pub(super) fn waiting(spool: &Spool, receiver: &str) -> Vec<u64> {
    let mut after = 0;
    std::iter::from_fn(|| {
        let entry = spool.next(receiver, after)?;
        after = entry.number;
        Some(after)
    })
    .collect()
}

/// By the numbers of the events.
fn events(spool: &Spool, receiver: &str) -> Vec<u64> {
    let numbers = waiting(spool, receiver);
    numbers.iter().map(|number| spool.next(receiver, number - 1).unwrap().event).collect()
}

pub(super) fn crash(
    journal: &MemoryJournal,
    limits: SpoolLimits,
) -> (Arc<MemoryJournal>, Spool, SpoolReport) {
    let journal = Arc::new(journal.reopen());
    let spool = spool_on(&journal, limits);
    let report = spool.load().unwrap();
    (journal, spool, report)
}

#[test]
fn each_receiver_gets_what_it_wants_in_its_own_time() {
    let (journal, spool) = spool();
    assert_eq!(spool.push(&event(1, START), |_| true), Ok(None), "there is nobody");
    spool.set_receivers(["a", "b"]);
    push(&spool, 2);
    spool.push(&event(3, START), |name| name == "b").unwrap();
    assert_eq!(spool.push(&event(4, START), |_| false), Ok(None));
    spool.set_receivers(["b", "a", "c"]);
    let last = push(&spool, 5);
    assert_eq!(NAMES.map(|name| events(&spool, name)), [vec![2, 5], vec![2, 3, 5], vec![5], vec![]]);
    assert_eq!(*spool.subscribe().borrow(), last);
    spool.acknowledge("b", last);
    assert_eq!((events(&spool, "b").len(), spool.stats().entries), (0, 2), "nobody else wanted 3");
    spool.acknowledge("d", last);
    spool.acknowledge("a", 1);
    assert_eq!(events(&spool, "a"), [2, 5], "nothing is older");
    spool.set_receivers(["b", "c"]);
    assert_eq!((spool.stats().entries, spool.next("a", 0)), (1, None));
    spool.acknowledge("c", last);
    assert_eq!((spool.stats().entries, spool.stats().bytes), (0, 0));
    let keys = |prefix: &str| {
        let mut keys = 0;
        let count = |key: &str, _: &[u8]| {
            keys += usize::from(key.starts_with(prefix));
            std::ops::ControlFlow::Continue(())
        };
        let mut count = count;
        journal.scan(&mut count).unwrap();
        keys
    };
    assert_eq!((keys("event/"), keys("receiver/")), (0, 2));
}

#[test]
fn what_a_receiver_got_it_does_not_get_again_after_a_stop() {
    let (journal, first) = spool();
    first.set_receivers(["a", "b"]);
    let numbers: Vec<_> = (1..=3).map(|id| push(&first, id)).collect();
    first.acknowledge("a", numbers[1]);
    first.tick(START);
    let (_, second, report) = crash(&journal, LIMITS);
    assert_eq!((report.entries, report.receivers, report.ended), (3, 2, 0));
    second.set_receivers(["a", "b"]);
    assert_eq!((events(&second, "a"), events(&second, "b")), (vec![3], vec![1, 2, 3]));
    let of_a = &second.stats().receivers[0];
    assert_eq!((of_a.acknowledged, of_a.waiting, of_a.oldest), (numbers[1], 1, Some(START)));
    assert!(push(&second, 4) > numbers[2]);
}

#[test]
fn how_far_a_receiver_is_is_written_with_many_acknowledgements_and_not_with_each() {
    let (journal, spool) = spool();
    spool.set_receivers(["a", "b"]);
    let records = |journal: &MemoryJournal| journal.stats().committed_records;
    let mut last = 0;
    let written: Vec<u64> = (0..u64::from(ACKNOWLEDGEMENTS))
        .map(|id| {
            last = spool.push(&event(id, START), |name| name == "a").unwrap().unwrap();
            let before = records(&journal);
            spool.acknowledge("a", last);
            records(&journal) - before
        })
        .collect();
    let (end, others) = written.split_last().unwrap();
    assert!(others.iter().all(|written| *written == 1), "the entry is deleted, and that is all");
    assert_eq!(*end, 2);
    let before = records(&journal);
    spool.tick(START);
    assert_eq!(records(&journal), before, "nothing has changed since");
}

#[test]
fn the_oldest_go_when_there_are_too_many_too_large_or_too_old_ones() {
    let (journal, spool) = spool();
    spool.set_receivers(["a", "b"]);
    spool.push(&event(0, START), |name| name == "b").unwrap();
    for id in 1..=14 {
        push(&spool, id);
    }
    assert_eq!(events(&spool, "a"), (3..=14).collect::<Vec<_>>());
    let lost = |spool: &Spool| spool.stats().receivers.iter().map(|one| one.lost).collect::<Vec<_>>();
    assert_eq!((lost(&spool), spool.stats().entries), (vec![2, 3], 12));
    let told = |receiver: &str, events| Loss { receiver: receiver.into(), events };
    assert_eq!(spool.take_losses(START), [told("a", 2), told("b", 3)]);
    assert_eq!(spool.take_losses(START), []);
    spool.tick(START.plus(LIMITS.age));
    assert_eq!(spool.stats().entries, 12);
    spool.tick(START.plus(LIMITS.age + Duration::from_millis(1)));
    assert_eq!((spool.stats().entries, lost(&spool)), (0, vec![14, 15]));
    let (_, again, report) = crash(&journal, LIMITS);
    assert_eq!((report.entries, lost(&again)), (0, vec![14, 15]));
    assert_eq!(again.take_losses(START), [told("a", 12), told("b", 12)], "what was told is not told again");

    let tight = SpoolLimits { bytes: 2_000, ..LIMITS };
    let small = spool_on(&Arc::new(MemoryJournal::default()), tight);
    small.set_receivers(["a"]);
    let mut large = event(1, START);
    large.text = "x".repeat(500);
    for _ in 0..9 {
        small.push(&large, |_| true).unwrap();
        assert!(small.stats().bytes <= tight.bytes);
    }
    assert!((2..5).contains(&small.stats().entries));
}

#[test]
fn the_event_that_tells_of_losses_ends_by_itself() {
    let (_, spool) = spool();
    spool.set_receivers(["a", "b", "c"]);
    for id in 0..13 {
        push(&spool, id);
    }
    let mut told = 0;
    for minute in 0..100 {
        // All are young.
        let now = START.plus(Duration::from_mins(minute));
        for _ in spool.take_losses(now) {
            told += 1;
            push(&spool, 100);
        }
    }
    assert!((3..=12).contains(&told), "{told}");
}

#[test]
fn what_the_journal_refuses_waits_in_memory_and_is_written_later() {
    let (journal, spool) = spool();
    spool.set_receivers(["a"]);
    let first = push(&spool, 1);
    assert!(spool.settled().unwrap().is_none());
    journal.set_no_space(true);
    let refused = spool.push(&event(2, START), |_| true).unwrap_err();
    assert!(matches!(refused.source, SubmitError::NoSpace { .. }) && refused.number > first);
    assert!(matches!(spool.settled(), Err(SubmitError::NoSpace { .. })));
    spool.acknowledge("a", first);
    assert_eq!((events(&spool, "a"), spool.stats().unwritten), (vec![2], 1), "it is sent all the same");
    assert_eq!(events(&crash(&journal, LIMITS).1, "a"), [1], "neither the event nor the deletion is durable");
    journal.set_no_space(false);
    spool.tick(START);
    assert!(spool.settled().unwrap().is_none() && spool.stats().unwritten == 0);
    assert_eq!(events(&crash(&journal, LIMITS).1, "a"), [2]);
    journal.set_no_space(true);
    spool.push(&event(3, START), |_| true).unwrap_err();
    journal.set_no_space(false);
    push(&spool, 4);
    assert_eq!(events(&crash(&journal, LIMITS).1, "a"), [2, 3, 4], "the next push writes it first");
}

#[test]
fn what_is_settled_is_durable_and_what_fails_is_told() {
    let (journal, spool) = spool();
    spool.set_receivers(["a"]);
    journal.hold();
    push(&spool, 1);
    let ticket = spool.settled().unwrap().unwrap();
    let other = spool.settled().unwrap().unwrap();
    assert_eq!(events(&crash(&journal, LIMITS).1, "a"), [] as [u64; 0]);
    journal.release();
    assert_eq!((ticket.wait(), other.wait()), (Ok(()), Ok(())));
    journal.hold();
    push(&spool, 2);
    let ticket = spool.settled().unwrap().unwrap();
    journal.fail("broken");
    assert_eq!(ticket.wait(), Err(CommitError::Failed("broken".into())));
}

#[test]
fn records_that_cannot_be_read_are_named_and_newer_ones_stop_the_start() {
    let journal = Arc::new(MemoryJournal::default());
    journal.append("event/7", Some(b"\x01rubbish")).unwrap();
    journal.append("letter", Some(b"\x01")).unwrap();
    let report = spool_on(&journal, LIMITS).load().unwrap();
    assert_eq!((report.unreadable, report.entries), (2, 0));
    assert!(report.examples.contains(&"event/7: it is malformed: contents".to_owned()), "{report:?}");
    journal.append("event/8", Some(&[record::VERSION + 1])).unwrap();
    let error = spool_on(&journal, LIMITS).load().unwrap_err();
    assert!(matches!(&error, LoadError::NewerNotification { key, .. } if **key == *"event/8"), "{error}");
    assert!(journal.get("event/7").is_some());
}

#[test]
fn kinds_that_this_version_does_not_have_are_kept_by_their_word() {
    let (journal, spool) = spool();
    spool.set_receivers(["a"]);
    let number = push(&spool, 1);
    let mut entry = Arc::unwrap_or_clone(spool.next("a", 0).unwrap());
    let receiver = spool.inner.lock().queue.receivers["a"].id;
    entry.kind = Kind::Other("moon-risen".into());
    let mut bytes = Vec::new();
    record::write_entry(&entry, &[receiver], &mut bytes);
    journal.append(&record::entry_key(number), Some(&bytes)).unwrap();
    let (_, again, _) = crash(&journal, LIMITS);
    assert_eq!(again.next("a", 0).unwrap().kind.as_str(), "moon-risen");
}

#[test]
fn a_receiver_that_comes_anew_gets_nothing_of_the_one_before_it() {
    let (journal, spool) = spool();
    spool.set_receivers(["a", "b"]);
    push(&spool, 1);
    // The deletion of its record is lost.
    journal.set_no_space(true);
    spool.set_receivers(["b"]);
    journal.set_no_space(false);
    spool.set_receivers(["a", "b"]);
    push(&spool, 2);
    assert_eq!((events(&spool, "a"), events(&spool, "b")), (vec![2], vec![1, 2]));
    let (journal, again, report) = crash(&journal, LIMITS);
    assert_eq!((events(&again, "a"), report.receivers), (vec![2], 2));
    assert_eq!(crash(&journal, LIMITS).2.receivers, 2);
}
