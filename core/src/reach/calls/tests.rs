use proptest::prelude::*;

use super::*;
use crate::reach::NotCallable;

const MINUTE: u64 = 60_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_767_323_045_000 + millis)
}

fn id(number: u8) -> DeviceId {
    format!("00:1a:e8:00:00:{number:02x}").parse().unwrap()
}

fn calls() -> Calls {
    Calls::new(CallLimits::default())
}

/// Who is called at this time.
fn called(calls: &mut Calls, millis: u64) -> Vec<DeviceId> {
    calls.due(at(millis), 100).calls
}

#[test]
fn a_silent_phone_is_called_five_times_and_then_left_in_peace() {
    let mut calls = calls();
    assert!(calls.want(&id(1), at(0)));
    for (number, millis) in [0, MINUTE, 6 * MINUTE, 21 * MINUTE, 36 * MINUTE].into_iter().enumerate() {
        if millis > 0 {
            assert_eq!(called(&mut calls, millis - 1), [], "{number}");
        }
        assert_eq!(called(&mut calls, millis), [id(1)], "{number}");
        assert_eq!(calls.state(&id(1)).stage, CallStage::Calling);
        assert!(!calls.outcome(&id(1), at(millis + 10_000), CallOutcome::TimedOut));
    }
    let end = 37 * MINUTE;
    assert_eq!(calls.due(at(end - 1), 100), Due::default(), "it has the time to come");
    let due = calls.due(at(end), 100);
    assert_eq!((due.calls, due.used_up), (vec![], vec![(id(1), Some(CallOutcome::TimedOut))]));
    let state = calls.state(&id(1));
    assert_eq!((state.stage, state.tries, state.tries_left), (CallStage::UsedUp, 5, 0));
    assert_eq!((calls.next_at(), calls.counts().used_up), (None, 1));
    // New work comes.
    assert!(calls.want(&id(1), at(end)));
    assert_eq!(called(&mut calls, end), [id(1)]);
    assert_eq!(calls.counts(), CallCounts { waiting: 0, calling: 1, used_up: 0 });
}

#[test]
fn that_it_understood_is_a_try_too() {
    let mut calls = calls();
    calls.want(&id(1), at(0));
    assert_eq!(called(&mut calls, 0), [id(1)]);
    calls.outcome(&id(1), at(5), CallOutcome::Understood);
    assert_eq!(calls.state(&id(1)).stage, CallStage::Waiting(at(MINUTE)));
    assert_eq!(calls.state(&id(1)).tries_left, 4);
    calls.came(&id(1), at(2_000));
    assert_eq!(calls.state(&id(1)).stage, CallStage::Resting);
    assert_eq!((calls.state(&id(1)).tries_left, calls.next_at()), (5, None));
}

#[test]
fn new_work_does_not_call_it_too_soon() {
    let mut calls = calls();
    calls.want(&id(1), at(0));
    called(&mut calls, 0);
    // It comes while the call is under way, is done, and gets new work.
    calls.came(&id(1), at(3));
    calls.rest(&id(1), at(4));
    calls.want(&id(1), at(5));
    assert_eq!(called(&mut calls, 2 * MINUTE), [], "its first call has not ended");
    calls.outcome(&id(1), at(2 * MINUTE), CallOutcome::Broken);
    // The new plan begins with the end of that call: it has cost no try.
    assert_eq!(called(&mut calls, 2 * MINUTE), [id(1)]);
    calls.came(&id(1), at(2 * MINUTE + 1));
    calls.outcome(&id(1), at(2 * MINUTE + 2), CallOutcome::Understood);
    calls.want(&id(1), at(2 * MINUTE + 3));
    assert_eq!(called(&mut calls, 3 * MINUTE - 1), []);
    assert_eq!(called(&mut calls, 3 * MINUTE), [id(1)]);
}

#[test]
fn a_busy_phone_is_called_later_and_later() {
    let mut calls = calls();
    let mut now = 0;
    for wait in [1, 5, 15, 15] {
        calls.came(&id(1), at(now));
        calls.want_again(&id(1), at(now));
        now += wait * MINUTE;
        assert_eq!(called(&mut calls, now - 1), []);
        assert_eq!(called(&mut calls, now), [id(1)]);
        calls.outcome(&id(1), at(now), CallOutcome::Understood);
    }
    // Its work is done: the next time begins anew.
    calls.came(&id(1), at(now));
    calls.rest(&id(1), at(now));
    calls.want_again(&id(1), at(now));
    assert_eq!(calls.next_at(), Some(at(now + MINUTE)));
}

#[test]
fn a_phone_that_cannot_be_called_is_given_up_at_once() {
    let mut calls = calls();
    calls.want(&id(1), at(0));
    called(&mut calls, 0);
    assert!(calls.outcome(&id(1), at(0), CallOutcome::NotCalled(NotCallable::BehindNat)));
    let state = calls.state(&id(1));
    assert_eq!((state.stage, state.called, state.tries), (CallStage::UsedUp, None, 0));
    // Nothing was sent: when it says where it is, it is called at once.
    calls.came(&id(1), at(1));
    calls.want(&id(1), at(2));
    assert_eq!(called(&mut calls, 2), [id(1)]);
}

#[test]
fn a_postponed_call_costs_no_try() {
    let mut calls = calls();
    calls.want(&id(1), at(0));
    called(&mut calls, 0);
    calls.outcome(&id(1), at(0), CallOutcome::Postponed(at(40_000)));
    assert_eq!(called(&mut calls, 39_999), []);
    assert_eq!(called(&mut calls, 40_000), [id(1)]);
    assert_eq!(calls.state(&id(1)).tries, 1);
}

#[test]
fn an_edge_that_is_away_is_asked_again_later_and_costs_no_try() {
    let mut calls = calls();
    calls.want(&id(1), at(0));
    for round in 0..20 {
        let now = round * MINUTE;
        assert_eq!(called(&mut calls, now), [id(1)], "round {round}");
        assert!(!calls.outcome(&id(1), at(now), CallOutcome::EdgeAway));
        assert_eq!(calls.due(at(now + MINUTE - 1), 100), Due::default(), "round {round}");
    }
    let state = calls.state(&id(1));
    assert_eq!((state.stage, state.tries, state.called), (CallStage::Waiting(at(20 * MINUTE)), 0, None));
    // Nobody has heard anything: an administrator need not wait.
    assert_eq!(calls.hurry(&id(1), at(19 * MINUTE + 1)), Ok(()));
}

#[test]
fn an_administrator_can_hurry() {
    let mut calls = calls();
    assert_eq!(calls.hurry(&id(1), at(0)), Ok(()));
    assert_eq!(called(&mut calls, 0), [id(1)]);
    assert_eq!(calls.hurry(&id(1), at(1)), Err(NotNow::TooSoon(at(MINUTE))));
    calls.outcome(&id(1), at(2), CallOutcome::Refused);
    assert_eq!(called(&mut calls, MINUTE), [id(1)]);
    calls.outcome(&id(1), at(MINUTE), CallOutcome::Refused);
    // Its next call would be in five minutes.
    assert_eq!(calls.hurry(&id(1), at(2 * MINUTE - 1)), Err(NotNow::TooSoon(at(2 * MINUTE))));
    assert_eq!(calls.hurry(&id(1), at(2 * MINUTE)), Ok(()));
    assert_eq!(called(&mut calls, 2 * MINUTE), [id(1)]);
    assert_eq!(calls.state(&id(1)).tries_left, 4);
}

#[test]
fn a_call_of_a_process_before_this_one_counts() {
    let mut calls = calls();
    assert!(calls.perhaps_called(&id(1), at(0), at(5)));
    calls.want(&id(1), at(10));
    assert_eq!(called(&mut calls, MINUTE - 1), []);
    assert_eq!(called(&mut calls, MINUTE), [id(1)]);
    calls.outcome(&id(1), at(MINUTE), CallOutcome::Understood);
    // What is known of later calls stays.
    calls.perhaps_called(&id(1), at(0), at(MINUTE));
    assert_eq!(calls.state(&id(1)).called, Some(at(MINUTE)));
    assert_eq!(calls.hurry(&id(1), at(2 * MINUTE - 1)), Err(NotNow::TooSoon(at(2 * MINUTE))));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut calls = Calls::new(CallLimits { devices: 3, remembered: 2, ..CallLimits::default() });
    for number in 1..=3 {
        assert!(calls.want(&id(number), at(0)));
    }
    assert!(!calls.want(&id(4), at(0)));
    assert_eq!(calls.hurry(&id(4), at(0)), Err(NotNow::Full));
    assert_eq!(called(&mut calls, 0).len(), 3);
    for number in 1..=3 {
        calls.outcome(&id(number), at(1), CallOutcome::Understood);
        calls.came(&id(number), at(2));
    }
    assert!(!calls.want(&id(4), at(3)), "who was called a moment ago is not forgotten");
    assert!(calls.want(&id(4), at(MINUTE)));
    assert_eq!(calls.state(&id(1)).called, None);
    assert_eq!(calls.state(&id(3)).called, Some(at(0)));
}

#[test]
fn a_clock_that_is_set_back_holds_nobody_up() {
    let mut calls = calls();
    let late = at(24 * 60 * MINUTE);
    calls.want(&id(1), late);
    assert_eq!(called(&mut calls, 0), [id(1)]);
}

#[derive(Clone, Debug)]
enum Step {
    Want(u8),
    WantAgain(u8),
    Came(u8),
    Rest(u8),
    Hurry(u8),
    Due(usize),
    Outcome(u8, CallOutcome),
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0_u8..6;
    let outcome = prop_oneof![
        Just(CallOutcome::Understood),
        Just(CallOutcome::TimedOut),
        Just(CallOutcome::Status(500)),
        Just(CallOutcome::EdgeAway),
        Just(CallOutcome::NotCalled(NotCallable::Own)),
        (0_u64..100_000).prop_map(|millis| CallOutcome::Postponed(at(millis))),
    ];
    prop_oneof![
        3 => device.clone().prop_map(Step::Want),
        1 => device.clone().prop_map(Step::WantAgain),
        1 => device.clone().prop_map(Step::Came),
        1 => device.clone().prop_map(Step::Rest),
        1 => device.clone().prop_map(Step::Hurry),
        6 => (1_usize..4).prop_map(Step::Due),
        6 => (device, outcome).prop_map(|(device, outcome)| Step::Outcome(device, outcome)),
        6 => (0_u64..400_000).prop_map(Step::Later),
    ]
}

/// What a device was promised, kept apart from the plan.
#[derive(Clone, Default)]
struct Promise {
    wanted: bool,
    calling: bool,
    called: Option<u64>,
    called_before: Option<u64>,
    tries: u32,
}

proptest! {
    #[test]
    fn the_promises_are_kept(steps in proptest::collection::vec(step(), 1..200)) {
        let limits = CallLimits { remembered: 2, ..CallLimits::default() };
        let (tries, spacing) = (limits.tries, 60_000);
        let mut calls = Calls::new(limits);
        let mut promises = vec![Promise::default(); 6];
        let mut now = 0;
        for step in steps {
            match step {
                Step::Want(n) | Step::WantAgain(n) => {
                    let again = matches!(step, Step::WantAgain(_));
                    let anew = !matches!(calls.state(&id(n)).stage, CallStage::Waiting(_) | CallStage::Calling);
                    let taken = if again { calls.want_again(&id(n), at(now)) } else { calls.want(&id(n), at(now)) };
                    prop_assert!(taken);
                    let promise = &mut promises[usize::from(n)];
                    if anew || !promise.wanted {
                        promise.tries = 0;
                    }
                    promise.wanted = true;
                }
                Step::Came(n) | Step::Rest(n) => {
                    if matches!(step, Step::Came(_)) { calls.came(&id(n), at(now)) } else { calls.rest(&id(n), at(now)) }
                    let promise = &mut promises[usize::from(n)];
                    (promise.wanted, promise.tries) = (false, 0);
                }
                Step::Hurry(n) => {
                    let promise = &mut promises[usize::from(n)];
                    let soon = promise.called.is_some_and(|called| now < called + spacing);
                    let done = calls.hurry(&id(n), at(now));
                    prop_assert_eq!(done.is_ok(), !soon && !promise.calling, "{:?}", done);
                    if done.is_ok() {
                        (promise.wanted, promise.tries) = (true, 0);
                    }
                }
                Step::Due(max) => {
                    let due = calls.due(at(now), max);
                    prop_assert!(due.calls.len() <= max && due.used_up.len() <= max);
                    for id in due.calls {
                        let promise = &mut promises[usize::from(id.mac().unwrap()[5])];
                        prop_assert!(promise.wanted && !promise.calling, "called without need");
                        prop_assert!(promise.called.is_none_or(|called| now >= called + spacing), "called too soon");
                        promise.calling = true;
                        promise.called_before = promise.called.replace(now);
                        promise.tries += 1;
                        prop_assert!(promise.tries <= tries, "called too often");
                    }
                }
                Step::Outcome(n, outcome) => {
                    let promise = &mut promises[usize::from(n)];
                    let given_up = calls.outcome(&id(n), at(now), outcome);
                    prop_assert!(promise.calling || !given_up);
                    if std::mem::take(&mut promise.calling) && outcome.is_no_call() {
                        promise.tries = promise.tries.saturating_sub(1);
                        promise.called = promise.called_before;
                    }
                }
                Step::Later(millis) => now += millis,
            }
            for (n, promise) in (0_u8..).zip(&promises) {
                let stage = calls.state(&id(n)).stage;
                let placed = stage != CallStage::Resting;
                prop_assert_eq!(promise.wanted || promise.calling, placed, "device {} is {:?}", n, stage);
            }
            let counts = calls.counts();
            prop_assert_eq!(counts.calling, promises.iter().filter(|promise| promise.calling).count());
        }
    }
}
