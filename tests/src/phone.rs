//! A simulated phone, written after the WPI reference. It checks every answer, and can be asked to be odd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_codecs::wpi::{
    Action, Fragment, ItemRef, Layout, Limits, PhoneMessageRef, Reason, ReplyStatus, parse_service_message,
    write_phone_message,
};

use crate::tls::Client;
use crate::wire::{Response, Wire};

/// Where phones post to (WPI reference, section 1.2).
pub const PATH: &str = "/DeploymentService/LoginService";

/// A name with an index, or without.
pub type Key = (String, Option<u32>);

/// One item as it came from the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Name and index.
    pub key: Key,
    /// The value.
    pub value: String,
}

/// An answer of the service that was checked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP response.
    pub response: Response,
    /// What to do.
    pub action: Action,
    /// With which items.
    pub items: Vec<Item>,
}

impl Answer {
    /// The value of an item.
    pub fn item(&self, name: &str) -> Option<&str> {
        self.indexed(name, None)
    }

    /// The value of one instance of an item.
    pub fn indexed(&self, name: &str, index: Option<u32>) -> Option<&str> {
        let item = self.items.iter().find(|item| item.key.0 == name && item.key.1 == index);
        item.map(|item| item.value.as_str())
    }

    /// It is `CleanUp` without any reason.
    pub fn is_end(&self) -> bool {
        self.action == Action::CleanUp && self.items.is_empty()
    }

    /// It is `CleanUp` for this reason.
    pub fn is_refusal(&self, reason: &str) -> bool {
        self.action == Action::CleanUp && self.item("cleanup-reason") == Some(reason)
    }

    /// It is `CleanUp` because of overload (WPI reference, section 8.15).
    pub fn is_overload(&self) -> bool {
        self.is_refusal("overload")
    }
}

/// A dialogue from its opening to `CleanUp`.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// What the service told, one after the other.
    pub actions: Vec<Action>,
    /// Everything it wrote.
    pub written: Vec<Item>,
    /// The last answer.
    pub last: Answer,
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    /// Its id as it reports it.
    pub mac: String,
    /// Where it calls.
    pub address: SocketAddr,
    /// How it connects.
    pub client: Client,
    /// Its settings: what a read-all gives.
    pub settings: BTreeMap<Key, String>,
    /// Items in one fragment of a long message.
    pub fragment: usize,
    /// Opens a connection for every request and says `Connection: close`.
    pub connection_per_request: bool,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: &'static str,
    /// The settings were changed since the service last read them.
    pub changed: bool,
    /// Its user password, which real phones send in clear in each opening message.
    pub user_pwd: String,
    /// What is typed as the last characters of the PIN.
    pub tan: String,
    /// Where it says that it takes contact-me.
    pub contact_me_uri: String,
    /// The session it is in, or was in last: the whole value that the service set.
    pub cookie: Option<String>,
    wire: Option<Wire>,
}

/// Nonces are never used twice: two phones may stand for one device.
static NONCES: AtomicU64 = AtomicU64::new(1);

impl Phone {
    /// A phone with a few settings, none of them known to anybody yet.
    pub fn new(address: SocketAddr, mac: &str) -> Self {
        let mut phone = Self {
            mac: mac.to_owned(),
            address,
            client: Client::default(),
            settings: BTreeMap::new(),
            fragment: 20,
            connection_per_request: false,
            version: "HTTP/1.1",
            changed: false,
            user_pwd: "000000".to_owned(),
            tan: String::new(),
            contact_me_uri: "http://192.0.2.41:8085/contact_dls.html/ContactDLS".to_owned(),
            wire: None,
            cookie: None,
        };
        for (name, value) in [
            ("hostname", "phone"),
            ("sntp-addr", "NULL"),
            ("sntp-tz-offset", "0"),
            ("display-id-unicode", ""),
            ("reg-addr", "198.51.100.20"),
            ("reg-port", "5060"),
            ("dls-mode-secure", "0"),
        ] {
            phone.settings.insert((name.to_owned(), None), value.to_owned());
        }
        for index in 1..=16 {
            phone.settings.insert(("function-key-def".to_owned(), Some(index)), "0".to_owned());
            phone.settings.insert(("key-label-unicode".to_owned(), Some(index)), format!("Key {index}"));
        }
        phone
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(&(name.to_owned(), None)).map(String::as_str)
    }

    /// The number on it.
    pub fn e164(&self) -> String {
        let digits: String = self.mac.chars().filter(char::is_ascii_hexdigit).collect();
        format!("49897{:05}", u64::from_str_radix(&digits, 16).unwrap_or(0) % 100_000)
    }

    /// The items of an opening message (WPI reference, section 5.3).
    pub fn basic_items(&self) -> Vec<(Key, String)> {
        let changed = if self.changed { "true" } else { "false" };
        let (mac, e164) = (self.mac.clone(), self.e164());
        let version = self.setting("software-version").unwrap_or("V3 R5.12.0");
        [
            ("device-type", "OpenStage 60"),
            ("related-device-type", "OpenStage 60"),
            ("software-type", "Siemens SIP"),
            ("software-version", version),
            ("contact-me-uri", self.contact_me_uri.as_str()),
            ("mac-addr", mac.as_str()),
            ("configuration-changed-flag", changed),
            ("part-number", "S30817-S7403-C101-020"),
            ("e164", e164.as_str()),
            ("user-pwd", self.user_pwd.as_str()),
            ("basic-e164", e164.as_str()),
            ("mobility-enabled", "false"),
        ]
        .map(|(name, value)| ((name.to_owned(), None), value.to_owned()))
        .into()
    }

    /// A message of this phone with a new nonce: nonce and document.
    pub fn message(
        &self,
        reason: &Reason<'_>,
        fragment: Fragment,
        items: &[(Key, String)],
    ) -> (String, Vec<u8>) {
        let items: Vec<_> = items
            .iter()
            .map(|((name, index), value)| ItemRef { name, index: *index, status: None, value })
            .collect();
        self.message_of(reason, fragment, &items)
    }

    /// The same with items that may have a status.
    pub fn message_of(
        &self,
        reason: &Reason<'_>,
        fragment: Fragment,
        items: &[ItemRef<'_>],
    ) -> (String, Vec<u8>) {
        let digits = self.mac.replace(':', "").to_uppercase();
        let nonce = format!("{digits:0<16.16}{:016X}", NONCES.fetch_add(1, Ordering::Relaxed));
        let message = PhoneMessageRef {
            nonce: &nonce,
            max_items: Some(-1),
            fragment,
            reason,
            items,
            layout: Layout::Indented,
        };
        let mut body = Vec::new();
        write_phone_message(&mut body, &message).expect("a message that can be written");
        (nonce, body)
    }

    /// The head of a request with this body, cookie included, the way phones write it.
    pub fn head(&self, length: usize) -> String {
        let mut head =
            format!("POST {PATH} {}\r\nHost: {}\r\nContent-Type: text/xml\r\n", self.version, self.address);
        if let Some(cookie) = &self.cookie {
            write!(head, "Cookie: {cookie}\r\n").unwrap();
        }
        if self.connection_per_request {
            head += "Connection: close\r\n";
        }
        head + &format!("Content-Length: {length}\r\n\r\n")
    }

    /// The connection, opened if there is none.
    pub async fn wire(&mut self) -> &mut Wire {
        if self.wire.is_none() {
            self.wire = Some(self.client.connect(self.address).await);
        }
        self.wire.as_mut().expect("just opened")
    }

    /// Lets go of the connection without a word.
    pub fn hang_up(&mut self) {
        self.wire = None;
    }

    /// Sends a body, gives the response, and sees that the connection ends if either side said so.
    pub async fn post(&mut self, body: &[u8]) -> Response {
        let request = [self.head(body.len()).as_bytes(), body].concat();
        let response = self.wire().await.ask(request).await;
        let last = response.closes() || self.connection_per_request || response.version == "HTTP/1.0";
        if last && let Some(mut wire) = self.wire.take() {
            wire.assert_closed().await;
        }
        response
    }

    /// Says something and checks the answer (WPI reference, sections 1.3, 1.5 and 4.2).
    pub async fn say(&mut self, reason: Reason<'_>, fragment: Fragment, items: &[(Key, String)]) -> Answer {
        let (nonce, body) = self.message(&reason, fragment, items);
        let response = self.post(&body).await;
        self.check(&nonce, reason.is_opening(), response)
    }

    /// Checks an answer, and remembers its cookie.
    pub fn check(&mut self, nonce: &str, opening: bool, response: Response) -> Answer {
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("content-type"), Some("text/xml"));
        assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
        assert_eq!(response.header("transfer-encoding"), None);
        let message = parse_service_message(&response.body, &Limits::default()).expect("a service message");
        assert_eq!(message.nonce, nonce, "the nonce is given back");
        let items = message.items.iter().map(|item| Item {
            key: (item.name.clone().into_owned(), item.index),
            value: item.value.clone().into_owned(),
        });
        let (items, action) = (items.collect(), message.action);
        let cookie = response.header("set-cookie").map(str::to_owned);
        let answer = Answer { response, action, items };
        match &cookie {
            Some(cookie) => assert!(opening, "a cookie inside of a dialogue: {cookie}"),
            None => assert!(!opening || answer.item("cleanup-reason").is_some(), "no cookie: {answer:?}"),
        }
        if let Some(cookie) = cookie {
            // The whole value with its attributes: that is what real phones send back.
            self.cookie = Some(cookie);
        }
        answer
    }

    /// `start-up`.
    pub async fn start_up(&mut self) -> Answer {
        self.open(Reason::StartUp).await
    }

    /// Any opening message.
    pub async fn open(&mut self, reason: Reason<'_>) -> Answer {
        let items = self.basic_items();
        self.say(reason, Fragment::Absent, &items).await
    }

    /// `reply-to`.
    pub async fn reply(
        &mut self,
        action: Action,
        status: ReplyStatus,
        fragment: Fragment,
        items: &[(Key, String)],
    ) -> Answer {
        let reason = Reason::ReplyTo { action: Some(action), status: Some(status) };
        self.say(reason, fragment, items).await
    }

    /// Does what it was told, and says so. `None` after `CleanUp`.
    pub async fn obey(&mut self, answer: &Answer) -> Option<Answer> {
        use Action::{CleanUp, ReadAllItems, ReadItems, WriteItems};
        let done = ReplyStatus::Accepted;
        match answer.action {
            ReadAllItems => Some(self.tell_all().await),
            WriteItems => {
                for item in &answer.items {
                    self.settings.insert(item.key.clone(), item.value.clone());
                }
                Some(self.reply(WriteItems, done, Fragment::Final, &[]).await)
            }
            ReadItems => {
                let values = answer.items.iter().map(|item| (item.key.clone(), self.value(&item.key)));
                let values: Vec<_> = values.collect();
                Some(self.reply(ReadItems, done, Fragment::Final, &values).await)
            }
            CleanUp => None,
            other => panic!("told to {other}"),
        }
    }

    fn value(&self, key: &Key) -> String {
        match key.0.as_str() {
            "bootstrapping-tan" => self.tan.clone(),
            _ => self.settings.get(key).cloned().unwrap_or_default(),
        }
    }

    /// All settings in fragments; the answer to the last.
    async fn tell_all(&mut self) -> Answer {
        let all: Vec<_> = self.settings.clone().into_iter().collect();
        let mut parts = all.chunks(self.fragment).peekable();
        while let Some(part) = parts.next() {
            let fragment = if parts.peek().is_some() { Fragment::Next } else { Fragment::Final };
            let answer = self.reply(Action::ReadAllItems, ReplyStatus::Accepted, fragment, part).await;
            if fragment == Fragment::Final {
                self.changed = false;
                return answer;
            }
            assert_eq!(answer.action, Action::GetNextFragment);
        }
        unreachable!("a phone has settings")
    }

    /// Goes on from an answer to the end of the dialogue.
    pub async fn follow(&mut self, mut answer: Answer) -> Dialogue {
        let (mut actions, mut written) = (Vec::new(), Vec::new());
        loop {
            actions.push(answer.action);
            if answer.action == Action::WriteItems {
                written.extend(answer.items.iter().cloned());
            }
            match self.obey(&answer).await {
                Some(next) => answer = next,
                None => return Dialogue { actions, written, last: answer },
            }
        }
    }

    /// From `start-up` to the end of the dialogue.
    pub async fn boot(&mut self) -> Dialogue {
        let answer = self.start_up().await;
        self.follow(answer).await
    }
}
