//! Random phones, administrators and disks against the whole service: the corpus of the fuzz target `wpi_dialogue`,
//! and fresh bytes in every run.

#![allow(clippy::unwrap_used, clippy::expect_used)] // these are tests

#[path = "replay/drive.rs"]
mod drive;
#[allow(dead_code, reason = "written dialogues use the rest of it")]
#[path = "replay/world.rs"]
mod world;

use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::wpi::{Action, Limits, parse_phone_message};
use callboard_core::dialogue::sessions::Cookie;
use callboard_core::dialogue::wpi::Door;
use callboard_core::service::{Outcome, SecureModeRequest, Service, TaskRequest, WpiRequest, WpiResponse};
use proptest::prelude::*;

use world::{Branch, World, poll, settings};

#[test]
fn the_corpus_breaks_no_promise() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/wpi_dialogue");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        drive::run(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "the corpus is empty");
}

const OPENING: &str = "<ReasonForContact>start-up</ReasonForContact>";
const READ: &str =
    "<ReasonForContact action=\"ReadAllItems\" status=\"accepted\">reply-to</ReasonForContact>";
const WRITTEN: &str =
    "<ReasonForContact action=\"WriteItems\" status=\"accepted\">reply-to</ReasonForContact>";
const ADDRESS: &str = "00:1a:e8:00:00:01";

/// A message of the phone of this address, and what it gets.
async fn call(
    service: Arc<Service>,
    nonce: u64,
    reason: &str,
    address: &str,
    cookie: Option<Cookie>,
) -> WpiResponse {
    let body = format!(
        "<WorkpointMessage><Message nonce=\"{nonce}\">{reason}<ItemList><Item name=\"mac-addr\">{address}</Item>\
         </ItemList></Message></WorkpointMessage>"
    );
    let message = parse_phone_message(body.as_bytes(), &Limits::default()).unwrap();
    let request = WpiRequest {
        message: &message,
        door: &Door::Default,
        source: IpAddr::from([192, 0, 2, 1]),
        host: Some("198.51.100.7:18443"),
        digest: nonce,
        cookie,
        has_cookie: cookie.is_some(),
        connection: None,
        sender: &Branch { spent: false },
        shed: None,
    };
    service.wpi(request).await
}

/// Say something as the phone of this address.
fn say(world: &World, nonce: u64, reason: &str, address: &str, cookie: Option<Cookie>) -> WpiResponse {
    // Another thread may commit what this one waits for, so it may take more than one look.
    let mut answer = pin!(call(world.service.clone(), nonce, reason, address, cookie));
    loop {
        if let Some(response) = poll(answer.as_mut()) {
            return response;
        }
        std::thread::yield_now();
    }
}

/// A world with one phone that is known.
fn world_with_a_phone() -> World {
    let world = World::new(settings());
    let cookie = say(&world, 1, OPENING, ADDRESS, None).set_cookie;
    assert_eq!(say(&world, 2, READ, ADDRESS, cookie).outcome, Outcome::Finished);
    world
}

#[test]
fn a_flow_that_was_replaced_while_its_request_waits_for_the_disk_stays_replaced() {
    for old_first in [true, false] {
        let world = world_with_a_phone();
        let id = ADDRESS.parse().unwrap();
        poll(pin!(world.service.set_secure_mode(&id, &SecureModeRequest::NoPin, None))).unwrap().unwrap();
        world.store.hold();
        // Each certificate is made durable before it leaves: both requests have their flow, and wait.
        let mut old = pin!(call(world.service.clone(), 3, OPENING, ADDRESS, None));
        assert!(poll(old.as_mut()).is_none());
        let mut new = pin!(call(world.service.clone(), 4, OPENING, ADDRESS, None));
        assert!(poll(new.as_mut()).is_none());
        world.store.release();
        let (old, new) = if old_first {
            let old = poll(old.as_mut()).unwrap();
            (old, poll(new.as_mut()).unwrap())
        } else {
            let new = poll(new.as_mut()).unwrap();
            (poll(old.as_mut()).unwrap(), new)
        };
        assert_eq!((old.outcome, old.reply.action), (Outcome::LostSession, Action::CleanUp));
        assert_eq!((new.outcome, new.reply.action), (Outcome::Answered, Action::WriteItems));
        assert_eq!(world.service.open_flows(), 1);
        let end = say(&world, 5, WRITTEN, ADDRESS, new.set_cookie);
        assert_eq!((end.outcome, world.service.open_flows()), (Outcome::Finished, 0));
        // The phone took the certificate of the new flow, the second that was made.
        let device = world.service.fleet.get(&id).unwrap();
        assert_eq!(device.security.certificate_serial, Some(world.credentials.serial("02")));
    }
}

#[test]
fn a_flow_that_was_replaced_while_its_end_waits_for_the_disk_ends_no_other() {
    let world = World::new(settings());
    let cookie = say(&world, 1, OPENING, ADDRESS, None).set_cookie;
    world.store.hold();
    let mut end = pin!(call(world.service.clone(), 2, READ, ADDRESS, cookie));
    assert!(poll(end.as_mut()).is_none());
    // What the old flow learned is in memory already: without the task the new one would have nothing to do.
    let id = ADDRESS.parse().unwrap();
    assert!(poll(pin!(world.service.add_task(&id, TaskRequest::ReadAll))).is_none());
    let new = say(&world, 3, OPENING, ADDRESS, None);
    assert_eq!(new.reply.action, Action::ReadAllItems);
    world.store.release();
    assert_eq!(poll(end.as_mut()).unwrap().outcome, Outcome::Finished);
    assert_eq!(world.service.open_flows(), 1);
    assert_eq!(say(&world, 4, READ, ADDRESS, new.set_cookie).outcome, Outcome::Finished);
    assert_eq!(world.service.open_flows(), 0);
    assert_eq!(world.service.fleet.get(&id).unwrap().open_tasks().count(), 0);
}

#[test]
fn phones_that_talk_at_once_leave_nothing_open() {
    let world = World::new(settings());
    let finished = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let world = &world;
                scope.spawn(move || {
                    let mut finished = 0;
                    for round in 0..200 {
                        // Two devices for four threads: they take each other's places, and end each other's flows.
                        let address = ["00:1a:e8:00:00:01", "00:1a:e8:00:00:02"][usize::from(round % 3 == 0)];
                        let nonce = (thread * 1_000 + round) * 10;
                        let cookie = say(world, nonce, OPENING, address, None).set_cookie;
                        for repetition in 1..3 {
                            let answer = say(world, nonce + repetition, READ, address, cookie);
                            finished += usize::from(answer.outcome == Outcome::Finished);
                        }
                    }
                    finished
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert!(finished > 0);
    world.clock.advance(Duration::from_hours(1));
    world.service.sweep();
    assert_eq!((world.service.open_flows(), world.service.fleet.len()), (0, 2));
}

proptest! {
    #[test]
    fn nothing_breaks_a_promise(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        drive::run(&bytes);
    }
}
