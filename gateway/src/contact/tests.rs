//! Calls against web servers of every kind.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use callboard_codecs::contact::{MAX_HEAD_BYTES, PATH, ServiceAddress};
use callboard_core::device::DeviceId;
use callboard_core::reach::CallOutcome;
use callboard_core::service::{Service, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::metrics::ContactMetrics;
use super::{Call, ContactSettings, Dispatcher, Reply, Told, call};
use crate::testing::surroundings;

const LIMIT: Duration = Duration::from_secs(10);

/// What a web server does when it has heard the request.
enum Then {
    /// Say this and hang up.
    Say(Vec<u8>),
    /// Say this and never stop.
    Go(&'static [u8]),
    /// Say nothing, and wait.
    Wait,
}

/// A web server for one call: where it is, and what it heard.
async fn server(address: &str, then: Then) -> (std::net::SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let local = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.windows(14).any(|part| part == b"ContactMe=true") {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0, "the whole request");
        }
        match then {
            Then::Say(bytes) => stream.write_all(&bytes).await.unwrap(),
            Then::Go(bytes) => while stream.write_all(bytes).await.is_ok() {},
            Then::Wait => drop(stream.read_to_end(&mut Vec::new()).await),
        }
        String::from_utf8(heard).unwrap()
    });
    (local, heard)
}

async fn reply(then: Then) -> Reply {
    let (address, _heard) = server("127.0.0.1", then).await;
    call(&Call { address, path: PATH, told: None }, LIMIT).await
}

async fn reply_to(text: &str) -> Reply {
    reply(Then::Say(text.as_bytes().to_vec())).await
}

#[tokio::test]
async fn a_phone_understands() {
    let answer = b"HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\n\r\n".to_vec();
    let (address, heard) = server("127.0.0.1", Then::Say(answer)).await;
    let service = ServiceAddress { address: "198.51.100.7".parse().unwrap(), port: Some(18_443) };
    let reply = call(&Call { address, path: "/x?y", told: Some(Told::This(service)) }, LIMIT).await;
    assert_eq!(reply, Reply { outcome: CallOutcome::Understood, status: Some(204), is_phone: true });
    let heard = heard.await.unwrap();
    assert!(heard.starts_with(&format!("POST /x?y HTTP/1.1\r\nHost: {address}\r\n")), "{heard}");
}

#[tokio::test]
async fn a_phone_is_told_where_the_call_comes_from() {
    let (address, heard) = server("127.0.0.9", Then::Say(b"HTTP/1.1 204\r\n\r\n".to_vec())).await;
    call(&Call { address, path: PATH, told: Some(Told::Caller(18_443)) }, LIMIT).await;
    let heard = heard.await.unwrap();
    let form = heard.split("\r\n\r\n").nth(1).unwrap();
    assert!(form.starts_with("ContactMe=true&dls_ip_addr=127.0.0."), "{form}");
    assert!(form.ends_with("&dls_ip_port=18443"), "{form}");
}

#[tokio::test]
async fn others_answer_as_they_like() {
    let other =
        |status| Reply { outcome: CallOutcome::Status(status), status: Some(status), is_phone: false };
    assert_eq!(reply_to("HTTP/1.0 404 Not Found\r\n\r\n").await, other(404));
    assert_eq!(reply_to("HTTP/1.1 500\r\nServer: ngi").await, other(500));
    assert_eq!(reply_to("SSH-2.0-x\r\n").await, CallOutcome::NotHttp.into());
    assert_eq!(reply_to("HTTP/1.1 2").await, CallOutcome::NotHttp.into());
    assert_eq!(reply_to("").await, CallOutcome::Broken.into());
}

#[tokio::test]
async fn an_answer_without_end_is_read_to_its_bound() {
    let mut long = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    long.resize(2 * MAX_HEAD_BYTES, b'x');
    assert_eq!(reply(Then::Say(long)).await.outcome, CallOutcome::Understood);
    assert_eq!(reply(Then::Go(b"HTTP/1.1 200 OK\r\nX: y\r\n")).await.outcome, CallOutcome::Understood);
    assert_eq!(reply(Then::Go(b"garbage")).await.outcome, CallOutcome::NotHttp);
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reply = call(&Call { address, path: PATH, told: None }, LIMIT).await;
    assert_eq!(reply, CallOutcome::Refused.into());
}

#[tokio::test]
async fn a_silent_one_is_not_waited_for() {
    let (address, _heard) = server("127.0.0.1", Then::Wait).await;
    let reply = call(&Call { address, path: PATH, told: None }, Duration::from_millis(1)).await;
    assert_eq!(reply, CallOutcome::TimedOut.into());
}

fn dispatcher(rate_per_second: usize) -> Dispatcher {
    let mut settings = Settings::default();
    settings.reach.enabled = true;
    let contact = ContactSettings {
        concurrency: NonZeroUsize::new(4),
        rate_per_second,
        scan_concurrency: 1,
        scan_rate_per_second: 1,
        timeout: LIMIT,
        service: None,
        port: 18_443,
    };
    Dispatcher {
        service: Arc::new(Service::new(surroundings(), settings)),
        metrics: Arc::new(ContactMetrics::new()),
        settings: Arc::new(contact),
        edges: None,
    }
}

#[tokio::test(start_paused = true)]
async fn devices_of_a_site_that_is_away_take_no_turn_from_others() {
    const DEVICES: usize = 30;
    let dispatcher = dispatcher(1);
    let service = &dispatcher.service;
    let (site, _) = service.create_site("Graz").await.unwrap();
    let ids: Vec<DeviceId> =
        (0..DEVICES).map(|number| format!("00:1a:e8:00:00:{number:02x}").parse().unwrap()).collect();
    for id in &ids {
        let made = service.fleet.update_detached(id, true, |old| {
            let mut new = old.clone();
            new.revision += 1;
            new.identity.contact_me_uri = "http://10.1.2.3:8085/contact_dls.html/ContactDLS".into();
            new.contacts.source = Some(IpAddr::from([10, 1, 2, 3]));
            new.contacts.first = service.now();
            new.route.site = Some(site.id);
            Ok(new)
        });
        service.reach.want(&made.unwrap(), service.now());
    }
    let begun = tokio::time::Instant::now();
    let all_told = async {
        let away = Some((service.now(), CallOutcome::EdgeAway));
        while !ids.iter().all(|id| service.reach.state(id).last == away) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = dispatcher.devices(4) => {}
        () = all_told => {}
    }
    // At one turn a second they would have taken half a minute of this clock, which moves only while nothing else does.
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let counts = service.reach.counts();
    assert_eq!((counts.waiting, counts.calling), (DEVICES, 0), "each waits for its next time");
}
