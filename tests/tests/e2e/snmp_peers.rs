//! SNMP with programs that others have written: those of net-snmp, in every combination of security that they have.

use std::net::SocketAddr;
use std::path::PathBuf;

use callboard_tests::server::{Launch, Server};
use callboard_tests::until;
use serde_json::{Value, json};
use tokio::process::Command;

const AUTH_PASSWORD: &str = "authpass12";
const PRIV_PASSWORD: &str = "privpass12";
/// net-snmp's words for how messages are authenticated, and ours.
const AUTH: [(&str, &str); 6] = [
    ("MD5", "md5"),
    ("SHA", "sha"),
    ("SHA-224", "sha-224"),
    ("SHA-256", "sha-256"),
    ("SHA-384", "sha-384"),
    ("SHA-512", "sha-512"),
];
/// The same for how they are encrypted.
const PRIVACY: [(&str, &str); 6] = [
    ("DES", "des"),
    ("AES", "aes-128"),
    ("AES-192", "aes-192"),
    ("AES-256", "aes-256"),
    ("AES-192-C", "aes-192-c"),
    ("AES-256-C", "aes-256-c"),
];

/// One way to speak: what net-snmp is told on its command line.
#[derive(Clone, Debug)]
struct Way {
    label: String,
    arguments: Vec<String>,
    /// A user of version 3 has an engine of its own for traps.
    is_third: bool,
    is_first: bool,
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn user_of(auth: Option<&str>, privacy: Option<&str>) -> String {
    [Some("u"), auth, privacy].into_iter().flatten().collect::<Vec<_>>().join("-")
}

/// All ways there are.
fn ways() -> Vec<Way> {
    let way = |label: &str, arguments: &[&str]| Way {
        label: label.to_owned(),
        arguments: words(arguments),
        is_third: label.starts_with("v3"),
        is_first: label == "v1",
    };
    let mut ways = vec![
        way("v1", &["-v1", "-c", "public"]),
        way("v2c", &["-v2c", "-c", "public"]),
        way("v3 noAuthNoPriv", &["-v3", "-l", "noAuthNoPriv", "-u", "u"]),
    ];
    for (auth, own) in AUTH {
        let user = user_of(Some(own), None);
        let known = ["-v3", "-u", &user, "-a", auth, "-A", AUTH_PASSWORD];
        ways.push(way(&format!("v3 authNoPriv {auth}"), &[&known[..], &["-l", "authNoPriv"]].concat()));
        for (privacy, other) in PRIVACY {
            let user = user_of(Some(own), Some(other));
            let known = ["-v3", "-u", &user, "-a", auth, "-A", AUTH_PASSWORD];
            let secret = ["-l", "authPriv", "-x", privacy, "-X", PRIV_PASSWORD];
            ways.push(way(&format!("v3 authPriv {auth} {privacy}"), &[&known[..], &secret].concat()));
        }
    }
    ways
}

/// A server on which all of them may tell.
async fn office() -> Server {
    let launch = Launch::new().set("snmp.events_per_source", 10_000).set("events.notifications_kept", 10_000);
    let server = launch.start().await;
    let put = async |path: String, body: Value| {
        let answer = server.admin().request("PUT", &path, "", &body.to_string()).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
    };
    put("/snmp/groups/readers".into(), json!({ "access": { "noAuthNoPriv": "all" } })).await;
    let common = json!({ "community": "public", "notifications": true, "group": "readers" });
    put("/snmp/communities/public".into(), common).await;
    let user = |auth: Option<&str>, privacy: Option<&str>| {
        let mut body = json!({ "notifications": "noAuthNoPriv", "group": "readers" });
        if let Some(auth) = auth {
            body["auth_protocol"] = auth.into();
            body["auth_password"] = AUTH_PASSWORD.into();
        }
        if let Some(privacy) = privacy {
            body["priv_protocol"] = privacy.into();
            body["priv_password"] = PRIV_PASSWORD.into();
        }
        (format!("/snmp/users/{}", user_of(auth, privacy)), body)
    };
    let mut users = vec![user(None, None)];
    for (_, auth) in AUTH {
        users.push(user(Some(auth), None));
        users.extend(PRIVACY.map(|(_, privacy)| user(Some(auth), Some(privacy))));
    }
    for (path, body) in users {
        put(path, body).await;
    }
    server
}

/// A program of net-snmp whose state lies in a folder of its own.
struct Peer {
    folder: PathBuf,
    door: SocketAddr,
}

impl Peer {
    fn new(server: &Server, door: &str) -> Self {
        let folder = server.launch.file("net-snmp");
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, door: server.door(door) }
    }

    /// Runs it to its end: whether it was content, and all that it said.
    async fn run(&self, program: &str, arguments: &[String], rest: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        command.env("SNMP_PERSISTENT_DIR", &self.folder).env("SNMPCONFPATH", &self.folder).env("MIBS", "");
        command.args(["-t", "5", "-r", "2"]).args(arguments).arg(self.door.to_string()).args(rest);
        let output = command.output().await;
        let output = output
            .unwrap_or_else(|error| panic!("{program} (Debian's packages snmp and snmptrapd): {error}"));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Sends a trap or an inform with a text.
    async fn notify(&self, way: &Way, inform: bool, text: &str) -> (bool, String) {
        let mut arguments = way.arguments.clone();
        if way.is_third && !inform {
            // The engine of each user has a clock of its own: net-snmp's is always at its start.
            arguments.extend(words(&["-e", "0x8000000001020304"]));
        }
        let head: &[&str] = if way.is_first {
            &["1.3.6.1.4.1.8072.9999", "127.0.0.9", "6", "42", "123456"]
        } else {
            &["123456", "1.3.6.1.6.3.1.1.5.3"]
        };
        let program = if inform { "snmpinform" } else { "snmptrap" };
        self.run(program, &arguments, &[head, &["1.3.6.1.2.1.1.5.0", "s", text]].concat()).await
    }
}

/// The texts of the notifications that came in, oldest first.
async fn told(server: &Server) -> Vec<String> {
    let (mut texts, mut next) = (Vec::new(), String::new());
    loop {
        let page: Value = server.admin().get(&format!("/events?kind=trap-received&limit=200{next}")).await;
        let events = page["items"].as_array().unwrap();
        texts.extend(events.iter().map(|event| event["text"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    texts.reverse();
    texts
}

#[tokio::test]
async fn traps_and_informs_come_in_from_net_snmp() {
    let server = office().await;
    let peer = Peer::new(&server, "snmp_trap");
    let mut expected = Vec::new();
    println!("{:<32}{:<8}{}", "net-snmp to Callboard", "trap", "inform");
    for (number, way) in ways().iter().enumerate() {
        let mut cells = Vec::new();
        for inform in [false, true] {
            if inform && way.is_first {
                cells.push("-");
                continue;
            }
            let text = format!("case {number} {inform}");
            let (is_content, said) = peer.notify(way, inform, &text).await;
            assert!(is_content, "{}, inform {inform}: {said}", way.label);
            expected.push(text);
            cells.push("ok");
        }
        println!("{:<32}{:<8}{}", way.label, cells[0], cells[1]);
    }
    let last = format!("\"{}\"", expected.last().unwrap());
    let all = until("the last notification", || async {
        let all = told(&server).await;
        all.last()?.contains(&last).then_some(all)
    });
    let all = all.await;
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (text, expected) in all.iter().zip(&expected) {
        let name = if text.contains(", v1)") { "1.3.6.1.4.1.8072.9999.0.42" } else { "linkDown" };
        let begin = format!("{name}: sysName.0 = \"{expected}\" (from 127.0.0.1");
        assert!(text.starts_with(&begin), "{text}");
    }
}

#[tokio::test]
async fn whoever_is_wrong_is_told_why() {
    let server = office().await;
    let peer = Peer::new(&server, "snmp_trap");
    let third = |user: &str, level: &str, auth: &str, password: &str| Way {
        label: user.to_owned(),
        arguments: words(&[
            "-v3",
            "-u",
            user,
            "-l",
            level,
            "-a",
            auth,
            "-A",
            password,
            "-x",
            "AES",
            "-X",
            PRIV_PASSWORD,
        ]),
        is_third: true,
        is_first: false,
    };
    for (way, reason, metric) in [
        (third("nobody", "authPriv", "SHA", AUTH_PASSWORD), "Unknown user name", "unknown-user"),
        (
            third("u-sha-aes-128", "authPriv", "SHA", "another password"),
            "Authentication failure",
            "wrong-digest",
        ),
        (
            third("u-sha", "authPriv", "SHA", AUTH_PASSWORD),
            "Unsupported security level",
            "unsupported-security-level",
        ),
    ] {
        let (is_content, said) = peer.notify(&way, true, "wrong").await;
        assert!(!is_content && said.contains(reason), "{}: {said}", way.label);
        let metrics = server.metrics().scrape().await;
        assert!(metrics.count("callboard_snmp_refused_total", &[("reason", metric)]) >= 1, "{metric}");
    }
    let community = Way {
        label: "community".to_owned(),
        arguments: words(&["-v2c", "-c", "guess"]),
        is_third: false,
        is_first: false,
    };
    let mut silent = community.arguments.clone();
    silent.extend(words(&["-t", "1", "-r", "0"]));
    let (is_content, _) = peer.notify(&Way { arguments: silent, ..community }, true, "wrong").await;
    assert!(!is_content, "an unknown community is not answered");
    assert_eq!(told(&server).await, [] as [String; 0]);
    let page: Value = server.admin().get("/events?kind=snmp-refused").await;
    assert!(page["items"].as_array().unwrap().len() >= 2, "{page}");
}
