//! Random phones, administrators and disks against the whole service: the corpus of the fuzz target `wpi_dialogue`,
//! and fresh bytes in every run.

#![allow(clippy::unwrap_used, clippy::expect_used)] // these are tests

#[path = "replay/drive.rs"]
mod drive;
#[path = "replay/world.rs"]
mod world;

use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use callboard_codecs::wpi::{Limits, parse_phone_message};
use callboard_core::dialogue::sessions::Cookie;
use callboard_core::dialogue::wpi::Door;
use callboard_core::service::{Outcome, WpiRequest, WpiResponse};
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

/// Say something as the phone of this address.
fn say(world: &World, nonce: u64, reason: &str, address: &str, cookie: Option<Cookie>) -> WpiResponse {
    let body = format!(
        "<WorkpointMessage><Message nonce=\"{nonce}\">{reason}<ItemList><Item name=\"mac-addr\">{address}</Item>\
         </ItemList></Message></WorkpointMessage>"
    );
    let message = parse_phone_message(body.as_bytes(), &Limits::default()).unwrap();
    let request = WpiRequest {
        message: &message,
        door: &Door::Default,
        source: IpAddr::from([192, 0, 2, 1]),
        digest: nonce,
        cookie,
        has_cookie: cookie.is_some(),
        connection: None,
        sender: &Branch { spent: false },
        shed: None,
    };
    // Another thread may commit what this one waits for, so it may take more than one look.
    let mut answer = pin!(world.service.wpi(request));
    loop {
        if let Some(response) = poll(answer.as_mut()) {
            return response;
        }
        std::thread::yield_now();
    }
}

#[test]
fn phones_that_talk_at_once_leave_nothing_open() {
    const OPENING: &str = "<ReasonForContact>start-up</ReasonForContact>";
    const ANSWER: &str =
        "<ReasonForContact action=\"ReadAllItems\" status=\"accepted\">reply-to</ReasonForContact>";
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
                            let answer = say(world, nonce + repetition, ANSWER, address, cookie);
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
