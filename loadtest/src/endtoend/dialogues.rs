//! Whole dialogues over TLS against a scripted service: good ones pass, and each kind of wrong answer is noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;

use super::responder::{COOKIE, Request, Script, answer, body, start};
use crate::call::{Called, Caller, Patience, Space, Target, World};
use crate::drive::{Drive, Driven};
use crate::fault::Fault;
use crate::ledger::{Ledger, Phase, State};
use crate::phone::dialogue::Plan;
use crate::phone::stencil::{Fill, NONCE_LEN};
use crate::wire::tls::{Key, PhoneTls, Version};

const UNKNOWN: State = State { phase: Phase::Uncertain, configured: false, generation: 0 };

pub(super) fn target(addr: std::net::SocketAddr, key: Key, version: Version) -> Target {
    Target {
        addr,
        host: addr.to_string(),
        tls: PhoneTls::new(key, version).unwrap(),
        sources: 64,
        replayed: None,
        fixed_nonce: None,
        patience: Patience {
            dialogue: Duration::from_secs(20),
            overload: Duration::from_millis(1),
            overload_tries: 3,
        },
    }
}

/// The items that a good service writes to that phone.
fn items(world: &World, number: u32) -> String {
    let identity = world.fleet.identity(number);
    let fill = Fill { identity: &identity, generation: 0, nonce: &[b'0'; NONCE_LEN] };
    world.profiles[identity.model].write_list(fill)
}

/// Number of the phone that sent an opening message.
fn number_of(world: &World, body: &str) -> u32 {
    let mac = body.split("mac-addr\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    world.fleet.number(&mac.to_ascii_lowercase()).unwrap()
}

/// The answers of a boot, by the number of the request; checks what a phone must send.
fn boot_answer(world: &World, number: u32, request: &Request) -> Vec<u8> {
    let cookie = if request.step == 0 { COOKIE } else { "" };
    assert!(request.head.starts_with("POST /DeploymentService/LoginService HTTP/1.1\r\n"));
    assert!(request.head.contains("\r\nContent-Type: text/xml\r\n"));
    let echo = "\r\nCookie: JSESSIONID=0D3C55F1A2B84C7790E1F2036475869A; Path=/DeploymentService; Secure\r\n";
    assert_eq!(request.head.contains(echo), request.step > 0, "the whole value comes back");
    let (action, items) = match request.step {
        0 => ("ReadAllItems", String::new()),
        1 | 2 => ("GetNextFragment", String::new()),
        3 => ("WriteItems", items(world, number)),
        _ => ("CleanUp", String::new()),
    };
    answer(&body(request.nonce(), action, &items), cookie)
}

async fn boot(key: Key, version: Version, script: Script, world: &World) -> Result<(), Fault> {
    let target = target(start(key, script).await, key, version);
    let caller = Caller { world, target: &target, number: 0, plan: Plan::Boot };
    match caller.call(&mut UNKNOWN.clone(), &mut Space::default()).await? {
        Called::Done { .. } => Ok(()),
        Called::Later => Err(Fault::Overload(1)),
    }
}

#[tokio::test]
async fn a_boot_passes_with_each_key_and_version() {
    let world = Arc::new(World::new(1));
    for key in [Key::P256, Key::Rsa] {
        for version in [Version::Tls12, Version::Tls13] {
            let script: Script = Arc::new({
                let world = Arc::clone(&world);
                move |request| Some(boot_answer(&world, 0, request))
            });
            boot(key, version, script, &world).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_service_must_have_the_key_that_the_phone_can_check() {
    let world = World::new(1);
    let addr = start(Key::Rsa, Arc::new(|_| None)).await;
    let target = target(addr, Key::P256, Version::Tls13);
    let caller = Caller { world: &world, target: &target, number: 0, plan: Plan::Boot };
    let result = caller.call(&mut UNKNOWN.clone(), &mut Space::default()).await;
    assert_eq!(result.err().unwrap().label(), "handshake");
}

/// Changes the good answer of one step.
type Twist = fn(String) -> String;

/// What goes wrong, at which step, and under which name it must be counted.
const TWISTS: [(&str, usize, Twist); 19] = [
    ("status", 0, |a| a.replace("200 OK", "500 Internal Server Error")),
    ("status", 4, |a| a.replace("200 OK", "302 Found")),
    ("http_head", 1, |a| a.replace("HTTP/1.1 200", "HTTP/1.0 200")),
    ("content_type", 1, |a| a.replace("text/xml", "application/xml")),
    ("content_length", 2, |a| a.replace("Content-Length", "X-Length")),
    ("chunked", 1, |a| a.replace("Content-Type", "Transfer-Encoding: chunked\r\nContent-Type")),
    ("cookie", 0, |a| a.replace("JSESSIONID", "SESSION")),
    ("cookie", 0, |a| a.replace(COOKIE, "")),
    ("cookie", 1, |a| a.replacen("\r\n\r\n", &format!("\r\n{COOKIE}\r\n"), 1)),
    ("cookie", 2, |a| a.replace("\r\n\r\n", &format!("\r\n{COOKIE}{COOKIE}\r\n"))),
    ("trailing_bytes", 3, |a| a + "x"),
    ("xml", 1, |a| a.replace("Message>", "Massage>")),
    ("nonce", 2, |a| a.replace("nonce=\"", "nonce=\"0")),
    ("action", 0, |a| a.replace("ReadAllItems", "GetNextFragment")),
    ("action", 2, |a| a.replace("GetNextFragment", "CleanUp")),
    ("action", 4, |a| a.replace("CleanUp", "ReadAllItems")),
    ("items", 3, |a| a.replace("198.51.100.21", "198.51.100.99")),
    ("items", 3, |a| a.replace("sntp-addr-backup", "sntp-addr-backap")),
    ("connection_ended", 1, |a| a.replace("Content-Type", "Connection: close\r\nContent-Type")),
];

#[tokio::test]
async fn each_kind_of_wrong_answer_is_a_fault() {
    let world = Arc::new(World::new(1));
    for (label, at, twist) in TWISTS {
        let script: Script = Arc::new({
            let world = Arc::clone(&world);
            move |request| {
                let good = boot_answer(&world, 0, request);
                if request.step != at {
                    return Some(good);
                }
                let good = String::from_utf8(good).unwrap();
                let length = |text: &str| text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
                let wrong = twist(good.clone());
                assert_ne!(wrong, good, "the twist for {label} does something");
                // Where the body became longer or shorter the length stays honest, but for bytes that come after it.
                let wrong = if label == "trailing_bytes" {
                    wrong
                } else {
                    wrong.replace(
                        &format!("Length: {}\r", length(&good)),
                        &format!("Length: {}\r", length(&wrong)),
                    )
                };
                Some(wrong.into_bytes())
            }
        });
        let fault = boot(Key::P256, Version::Tls13, script, &world).await.unwrap_err();
        assert_eq!(fault.label(), label, "step {at}: {fault}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_is_a_fault() {
    let world = Arc::new(World::new(1));
    for last in 0..5 {
        let script: Script = Arc::new({
            let world = Arc::clone(&world);
            move |request| (request.step < last).then(|| boot_answer(&world, 0, request))
        });
        let fault = boot(Key::P256, Version::Tls13, script, &world).await.unwrap_err();
        assert_eq!(fault.label(), "connection_ended");
        assert!(fault.is_disconnect());
    }
}

async fn drive_all(
    script: Script,
    world: &Arc<World>,
    phones: u32,
    rate: Option<f64>,
) -> (Driven, Arc<Ledger>) {
    let addr = start(Key::P256, script).await;
    let ledger = Arc::new(Ledger::new(phones));
    let drive = Drive {
        world: Arc::clone(world),
        target: Arc::new(target(addr, Key::P256, Version::Tls13)),
        ledger: Arc::clone(&ledger),
        plan: Plan::Boot,
        numbers: 0..phones,
        concurrency: 8,
        rate,
        endless: false,
        first: 0,
        stop: Arc::new(AtomicBool::new(false)),
        progress: ProgressBar::hidden(),
    };
    (drive.run().await.unwrap(), ledger)
}

/// A good service for many phones.
fn good_service(world: &Arc<World>) -> Script {
    let world = Arc::clone(world);
    Arc::new(move |request| Some(boot_answer(&world, number_of(&world, &request.opening), request)))
}

#[tokio::test]
async fn many_phones_are_counted_and_settled() {
    let world = Arc::new(World::new(3));
    let (driven, ledger) = drive_all(good_service(&world), &world, 40, Some(5_000.0)).await;
    assert_eq!((driven.tally.done, driven.tally.errors()), (40, 0));
    assert_eq!(ledger.count(Phase::Settled), 40);
    assert!((0..40).all(|number| ledger.state(number).configured));
    assert!(driven.tally.quantile_us(0.99).unwrap() > 0);
}

#[tokio::test]
async fn one_wrong_phone_is_one_error() {
    let world = Arc::new(World::new(3));
    let good = good_service(&world);
    let script: Script = Arc::new({
        let world = Arc::clone(&world);
        move |request| {
            let wrong = number_of(&world, &request.opening) == 7 && request.step == 4;
            if wrong { Some(answer(&body("0", "CleanUp", ""), "")) } else { good(request) }
        }
    });
    let (driven, ledger) = drive_all(script, &world, 20, None).await;
    assert_eq!((driven.tally.done, driven.tally.faults["nonce"]), (19, 1));
    assert_eq!(ledger.state(7), State { phase: Phase::Uncertain, configured: true, generation: 0 });
    assert_eq!(ledger.count(Phase::Settled), 19);
}

#[tokio::test]
async fn after_overload_a_phone_comes_again() {
    let world = Arc::new(World::new(3));
    let good = good_service(&world);
    let connections = AtomicU32::new(0);
    let overload = "<Item name=\"cleanup-reason\">overload</Item>";
    let script: Script = Arc::new(move |request| {
        if request.step == 0 && connections.fetch_add(1, Ordering::Relaxed) < 3 {
            return Some(answer(&body(request.nonce(), "CleanUp", overload), "Connection: close\r\n"));
        }
        good(request)
    });
    let (driven, _) = drive_all(script, &world, 5, None).await;
    assert_eq!((driven.tally.done, driven.tally.overloads, driven.tally.errors()), (5, 3, 0));
}

#[tokio::test]
async fn overload_without_end_is_an_error() {
    let world = Arc::new(World::new(3));
    let overload = "<Item name=\"cleanup-reason\">overload</Item>";
    let script: Script =
        Arc::new(move |request| Some(answer(&body(request.nonce(), "CleanUp", overload), COOKIE)));
    let (driven, _) = drive_all(script, &world, 2, None).await;
    assert_eq!((driven.tally.done, driven.tally.faults["overload_for_too_long"]), (0, 2));
}
