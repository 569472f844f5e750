//! Plug and play: phones that ask for their profile, over real sockets. The multicast group is asked in a network namespace of its
//! own, in which the server has the well-known port.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use callboard_tests::server::{Launch, Server};
use callboard_tests::{until, within};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::process::Command;

/// Time after which a request is sent again: a datagram to this machine is hardly ever lost.
const AGAIN: Duration = Duration::from_secs(5);

/// A phone that is new.
struct Phone {
    socket: UdpSocket,
    asked: u32,
}

/// What a SUBSCRIBE says beside the usual.
struct Wish<'a> {
    mac: &'a str,
    vendor: &'a str,
    more: &'a str,
    to_tag: &'a str,
}

const FETCH: Wish<'static> = Wish { mac: "0004132E08B4", vendor: "snom", more: "Expires: 0\r\n", to_tag: "" };

impl Phone {
    async fn at(address: &str) -> Self {
        Self { socket: UdpSocket::bind(address).await.unwrap(), asked: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// As a Snom writes it: no branch, any host.
    fn subscribe(&mut self, wish: &Wish<'_>) -> String {
        self.asked += 1;
        let (address, cseq, Wish { mac, vendor, more, to_tag }) = (self.address(), self.asked, wish);
        format!(
            "SUBSCRIBE sip:MAC%3a{mac}@lan SIP/2.0\r\nVia: SIP/2.0/UDP {address};rport\r\n\
             From: <sip:MAC%3a{mac}@lan>;tag=668717252\r\nTo: <sip:MAC%3a{mac}@lan>{to_tag}\r\n\
             Call-ID: 949137397@{address}\r\nCSeq: {cseq} SUBSCRIBE\r\n\
             Event: ua-profile;profile-type=\"device\";vendor=\"{vendor}\";model=\"snom370\";version=\"8.7.5.48\"\r\n\
             {more}Accept: application/url\r\nContact: <sip:{address}>\r\nContent-Length: 0\r\n\r\n"
        )
    }

    async fn receive(&self, what: &str) -> (String, SocketAddr) {
        let mut bytes = [0; 4_096];
        let (length, from) = within(what, self.socket.recv_from(&mut bytes)).await.unwrap();
        (String::from_utf8(bytes[..length].to_vec()).unwrap(), from)
    }

    /// Asks until there is an answer, and gives the first.
    async fn ask(&mut self, to: SocketAddr, wish: &Wish<'_>) -> (String, SocketAddr) {
        let request = self.subscribe(wish);
        let mut bytes = [0; 4_096];
        within("an answer to SUBSCRIBE", async {
            loop {
                self.socket.send_to(request.as_bytes(), to).await.unwrap();
                let answer = tokio::time::timeout(AGAIN, self.socket.recv_from(&mut bytes)).await;
                let Ok(Ok((length, from))) = answer else { continue };
                return (String::from_utf8(bytes[..length].to_vec()).unwrap(), from);
            }
        })
        .await
    }

    /// The NOTIFY that follows, answered as phones do.
    async fn notified(&self) -> String {
        let (notify, from) = self.receive("NOTIFY").await;
        assert!(notify.starts_with(&format!("NOTIFY sip:{} SIP/2.0\r\n", self.address())), "{notify}");
        let names = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let kept = notify.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        let answer = format!(
            "SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n",
            kept.collect::<Vec<_>>().join("\r\n")
        );
        self.socket.send_to(answer.as_bytes(), from).await.unwrap();
        notify
    }
}

async fn profile(server: &Server, name: &str, body: &Value) {
    let path = format!("/sip/profiles/{name}");
    assert_eq!(server.admin().request("PUT", &path, "", &body.to_string()).await.status, 201);
}

async fn accepted(server: &Server, notifies: i64) {
    until("the phone's answers", || async {
        let labels = [("outcome", "accepted")];
        (server.metrics().count("callboard_sip_notifies_total", &labels).await == notifies).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_phone_is_told_its_url_and_when_it_changes() {
    let server = Launch::new().set("sip.plug_and_play", "on").start().await;
    let url = "https://provisioning.example/snom/{model}-{MAC}.htm";
    profile(&server, "snom", &json!({ "vendor": "Snom", "mac_prefixes": ["00:04:13"], "url": url })).await;
    let told = "https://provisioning.example/snom/snom370-0004132E08B4.htm";
    let preview =
        server.admin().get("/sip/profiles/preview?mac=0004132e08b4&vendor=snom&model=snom370").await;
    assert_eq!(preview, json!({ "profile": "snom", "url": told, "content_type": "application/url" }));

    let mut phone = Phone::at("127.0.0.1:0").await;
    let door = server.door("sip_udp");
    let (answer, _) = phone.ask(door, &FETCH).await;
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && answer.contains("\r\nExpires: 0\r\n"), "{answer}");
    let contact = format!("\r\nContact: <sip:callboard@{door}>\r\n");
    assert!(answer.contains(&contact), "{answer}");
    let notify = phone.notified().await;
    assert!(notify.contains("\r\nSubscription-State: terminated;reason=timeout\r\n"), "{notify}");
    assert!(notify.contains("\r\nContent-Type: application/url\r\n") && notify.ends_with(told), "{notify}");
    accepted(&server, 1).await;

    // It wants to hear of changes, until it does not any more.
    let (answer, _) = phone.ask(door, &Wish { more: "Expires: 600\r\n", ..FETCH }).await;
    let tag =
        answer.lines().find_map(|line| line.strip_prefix("To: ")?.split_once('>')).unwrap().1.to_owned();
    assert!(phone.notified().await.contains("\r\nSubscription-State: active;expires=600\r\n"));
    let listed = server.admin().get("/sip/subscriptions").await;
    assert_eq!(
        (&listed["items"][0]["device"], &listed["items"][0]["url"]),
        (&json!("00:04:13:2e:08:b4"), &json!(told))
    );
    server.admin().put("/sip/profiles/snom", &json!({ "vendor": "snom", "url": "http://h/{mac}" })).await;
    assert!(phone.notified().await.ends_with("\r\n\r\nhttp://h/0004132e08b4"));
    let end = Wish { to_tag: &tag, ..FETCH };
    assert!(phone.ask(door, &end).await.0.starts_with("SIP/2.0 200 OK\r\n"));
    assert!(phone.notified().await.contains("\r\nSubscription-State: terminated;reason=timeout\r\n"));
    assert_eq!(server.admin().get("/sip/subscriptions").await["items"], json!([]));
    // Nobody else is told anything.
    let (refused, _) = phone.ask(door, &Wish { vendor: "yealink", ..FETCH }).await;
    assert!(refused.starts_with("SIP/2.0 404 "), "{refused}");
    let log = server.log.clone();
    server.stop().await;
    assert!(!log.all().await.contains("panicked"));
}

/// What a shell has to do before the inner test runs: a loopback that carries what is sent to groups.
const NETWORK: &str = "set -e; export PATH=\"$PATH:/usr/sbin:/sbin\"; ip link set lo up; ip link set lo multicast on; \
                       ip route add 224.0.0.0/4 dev lo; exec \"$0\" \"$@\"";

/// Runs the test below in a network namespace. It needs `unshare` and `ip`, and root or the right to make user namespaces.
#[tokio::test]
async fn a_phone_that_asks_the_group_is_told_its_url() {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--", "bash", "-c", NETWORK]).arg(this);
    command.args(["--exact", "pnp::in_a_network_of_its_own", "--ignored", "--nocapture"]);
    let ended = within("the test in the namespace", command.stdin(Stdio::null()).kill_on_drop(true).output());
    let ended = ended.await.expect("unshare starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", ended.status);
}

#[tokio::test]
#[ignore = "the test above runs it in a network namespace"]
async fn in_a_network_of_its_own() {
    let group: SocketAddr = "224.0.1.75:5060".parse().unwrap();
    let launch = Launch::new()
        .set("listen.sip_udp", "0.0.0.0:5060")
        .set("listen.sip_multicast", group)
        .set("sip.multicast_interfaces", "127.0.0.1");
    let server = launch.start().await;
    assert_eq!(server.door("sip_multicast"), group);
    profile(&server, "snom", &json!({ "vendor": "snom", "url": "http://192.0.2.7/snom/{mac}.htm" })).await;
    let door: SocketAddr = "127.0.0.1:5060".parse().unwrap();
    let mut phone = Phone::at("127.0.0.1:5062").await;

    // Those of others are left to others: the first answer is that to the second request.
    let others = phone.subscribe(&Wish { vendor: "yealink", ..FETCH });
    phone.socket.send_to(others.as_bytes(), group).await.unwrap();
    let (answer, from) = phone.ask(group, &FETCH).await;
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nCSeq: 2 SUBSCRIBE\r\n") && from == door, "{from} {answer}");
    assert!(answer.contains("Via: SIP/2.0/UDP 127.0.0.1:5062;rport=5062;received=127.0.0.1\r\n"), "{answer}");
    assert!(answer.contains("\r\nContact: <sip:callboard@127.0.0.1>\r\n"), "{answer}");
    let notify = phone.notified().await;
    assert!(notify.ends_with("\r\n\r\nhttp://192.0.2.7/snom/0004132e08b4.htm"), "{notify}");
    accepted(&server, 1).await;
    // The wildcard sockets of the same port hear the group, too, and must not answer.
    let metrics = server.metrics();
    let answers = |status| metrics.count("callboard_sip_responses_total", status);
    assert_eq!(answers(&[("method", "SUBSCRIBE"), ("status", "489")]).await, 0);
    assert_eq!(metrics.count("callboard_sip_profile_requests_total", &[("outcome", "no_rule")]).await, 1);
    // By itself the server is not asked, by default.
    let (refused, _) = phone.ask(door, &FETCH).await;
    assert!(refused.starts_with("SIP/2.0 489 "), "{refused}");
    server.stop().await;
}
