//! A simulated phone of a firmware generation with a will of its own: it does what it is told, or it does not.
//!
//! Below it is a [`Phone`], which checks every answer. Above that it keeps settings and files, fetches, boots and moves
//! between the doors, so that a test says only who calls and what must come of it.

mod deeds;
mod memory;

use callboard_codecs::wpi::{Action, Fragment, ItemRef, Reason, ReplyStatus};

use crate::generation::Generation;
use crate::phone::{Answer, Item, Key, Phone};
use crate::server::Server;
use deeds::{After, Doors};
use memory::Files;

/// How a phone takes what it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// It does it.
    #[default]
    Obeys,
    /// It is in a call: it reads, but does not write, and takes firmware only if that is to be at once (WPI reference,
    /// sections 5.2 and 6.4).
    InCall,
    /// It does nothing of it, and says so.
    Refuses,
    /// It hangs up instead of an answer, in the middle of a long one, and does nothing of it.
    Disappears,
    /// It loads firmware, and starts up with the one that it had.
    KeepsVersion,
}

/// An item as a phone reports it.
#[derive(Clone, Debug)]
struct Reported {
    key: Key,
    value: String,
    status: Option<&'static str>,
}

impl Reported {
    fn good(name: &str, index: Option<u32>, value: &str) -> Self {
        Self { key: (name.to_owned(), index), value: value.to_owned(), status: None }
    }

    fn bad(key: &Key, status: &'static str) -> Self {
        Self { key: key.clone(), value: String::new(), status: Some(status) }
    }

    fn as_item_ref(&self) -> ItemRef<'_> {
        ItemRef { name: &self.key.0, index: self.key.1, status: self.status, value: &self.value }
    }
}

/// A phone.
#[derive(Debug)]
pub struct Handset {
    /// What speaks for it.
    pub phone: Phone,
    /// Its firmware.
    pub generation: Generation,
    /// How it takes what it is told.
    pub manner: Manner,
    /// What its user types when it asks for a PIN.
    pub pin: String,
    /// A type of files that it cannot take.
    pub takes_no: &'static str,
    /// Whether the last dialogue ended with the wish to be called when it is idle, and its firmware knows that.
    pub calls_back: bool,
    version: String,
    files: Files,
    doors: Doors,
    after: After,
    is_secure: bool,
}

impl Handset {
    /// A phone with factory settings in front of the default door.
    pub fn new(server: &Server, generation: Generation, mac: &str) -> Self {
        let mut handset = Self {
            phone: server.phone(mac),
            generation,
            manner: Manner::Obeys,
            pin: String::new(),
            takes_no: "",
            calls_back: false,
            version: generation.version().to_owned(),
            files: Files::default(),
            doors: Doors::of(server),
            after: After::Nothing,
            is_secure: false,
        };
        handset.phone.client = generation.client();
        handset.forget_settings();
        handset
    }

    /// One phone of each generation, started and known.
    pub async fn of_all_generations(server: &Server) -> Vec<Self> {
        let mut handsets = Vec::new();
        for (number, generation) in (1..).zip(Generation::ALL) {
            let mut handset = Self::new(server, generation, &format!("00:1a:e8:0a:0b:{number:02x}"));
            assert_eq!(handset.call(Reason::StartUp).await, ["ReadAllItems"]);
            handsets.push(handset);
        }
        handsets
    }

    /// The server was started again, on other ports.
    pub fn moves_to(&mut self, server: &Server) {
        self.doors = Doors::of(server);
        self.phone.address = self.doors.of_mode(self.is_secure);
        self.phone.hang_up();
    }

    /// Opens a dialogue and follows it to its end. Gives what it was told: actions with their items, without `CleanUp`
    /// and `GetNextFragment`.
    pub async fn call(&mut self, reason: Reason<'_>) -> Vec<String> {
        self.call_with(reason, Vec::new()).await
    }

    /// The same, with more items behind the basic ones.
    async fn call_with(&mut self, reason: Reason<'_>, more: Vec<Reported>) -> Vec<String> {
        let mut told = Vec::new();
        let items = [self.basic_items(), more].concat();
        self.calls_back = false;
        let mut answer = self.say(reason, Fragment::Absent, &items).await;
        while answer.action != Action::CleanUp {
            told.push(text(&answer));
            let Some(next) = self.act(&answer).await else {
                self.phone.hang_up();
                return told;
            };
            answer = next;
        }
        assert_eq!(answer.item("cleanup-reason"), None, "{told:?} {answer:?}");
        self.calls_back = answer.item("send-solicited") == Some("true") && self.generation.calls_back();
        told
    }

    /// What it is told by the opening message alone; it hangs up and does nothing.
    pub async fn peek(&mut self, reason: Reason<'_>) -> Option<String> {
        let items = self.basic_items();
        let answer = self.say(reason, Fragment::Absent, &items).await;
        self.phone.hang_up();
        (answer.action != Action::CleanUp).then(|| text(&answer))
    }

    /// Somebody changes a setting at the phone. Gives what it is told when it calls about that.
    pub async fn change(&mut self, name: &str, value: &str) -> Vec<String> {
        self.phone.settings.insert((name.to_owned(), None), value.to_owned());
        self.phone.changed = true;
        let mut attached = Vec::new();
        if self.generation.attaches_changes() {
            attached.push(Reported::good("configuration-attached-flag", None, "true"));
            attached.push(Reported::good("configuration-attached-number", None, "1"));
            attached.push(Reported::good(name, None, value));
        }
        let told = self.call_with(Reason::LocalChanges, attached).await;
        self.phone.changed = false;
        told
    }

    /// Says something and checks the answer.
    async fn say(&mut self, reason: Reason<'_>, fragment: Fragment, items: &[Reported]) -> Answer {
        let items: Vec<_> = items.iter().map(Reported::as_item_ref).collect();
        let (nonce, body) = self.phone.message_of(&reason, fragment, &items);
        let response = self.phone.post(&body).await;
        if !self.generation.reads_references() {
            let text = response.text().replace("&quot;", "").replace("&apos;", "");
            assert!(!text.contains('&'), "its firmware cannot read this: {text}");
        }
        self.phone.check(&nonce, reason.is_opening(), response)
    }

    async fn reply(&mut self, answer: &Answer, status: ReplyStatus, items: &[Reported]) -> Option<Answer> {
        let reason = Reason::ReplyTo { action: Some(answer.action), status: Some(status) };
        Some(self.say(reason, Fragment::Final, items).await)
    }

    /// Takes what it was told; the next answer, or `None` if it does not reply.
    async fn act(&mut self, answer: &Answer) -> Option<Answer> {
        use Action::{
            CleanUp, FileDeployment, GetNextFragment, ReadAllItems, ReadItems, Restart, SoftwareDeployment,
            WriteItems,
        };
        let action = answer.action;
        match (self.manner, action) {
            (Manner::Disappears, ReadAllItems) => {
                let part: Vec<_> = self.all_items().into_iter().take(self.phone.fragment).collect();
                let reason = Reason::ReplyTo { action: Some(action), status: Some(ReplyStatus::Accepted) };
                assert_eq!(self.say(reason, Fragment::Next, &part).await.action, GetNextFragment);
                None
            }
            (Manner::Disappears, _) => None,
            // Of files it says so in a message of its own.
            (Manner::Refuses, FileDeployment) => self.fetch_files(answer).await,
            (Manner::Refuses, _) => self.reply(answer, ReplyStatus::Failed, &[]).await,
            (Manner::InCall, WriteItems) => self.reply(answer, ReplyStatus::Busy, &[]).await,
            (Manner::InCall, SoftwareDeployment) if answer.item("file-priority") == Some("normal") => {
                self.reply(answer, ReplyStatus::Busy, &[]).await
            }
            (_, ReadAllItems) => Some(self.tell_all().await),
            (_, ReadItems) => {
                let items: Vec<_> = answer.items.iter().flat_map(|item| self.read(&item.key)).collect();
                self.reply(answer, ReplyStatus::Accepted, &items).await
            }
            (_, WriteItems) => {
                let refused: Vec<_> = answer.items.iter().filter_map(|item| self.write(item)).collect();
                self.enter_or_leave(answer);
                self.reply(answer, ReplyStatus::Accepted, &refused).await
            }
            (_, Restart) => self.restart(answer),
            (_, SoftwareDeployment) => self.load(answer).await,
            (_, FileDeployment) => self.fetch_files(answer).await,
            (_, GetNextFragment | CleanUp) => panic!("told to {action}"),
        }
    }

    /// All that can be read, in fragments; the answer to the last.
    async fn tell_all(&mut self) -> Answer {
        let all = self.all_items();
        let mut parts = all.chunks(self.phone.fragment).peekable();
        loop {
            let part = parts.next().expect("a phone has settings");
            let fragment = if parts.peek().is_some() { Fragment::Next } else { Fragment::Final };
            let status = Some(ReplyStatus::Accepted);
            let reason = Reason::ReplyTo { action: Some(Action::ReadAllItems), status };
            let answer = self.say(reason, fragment, part).await;
            if fragment == Fragment::Final {
                self.phone.changed = false;
                return answer;
            }
            assert_eq!(answer.action, Action::GetNextFragment);
        }
    }
}

/// An answer in one line. Values that differ from run to run or are long are left out.
fn text(answer: &Answer) -> String {
    let item = |item: &Item| {
        let index = item.key.1.map(|index| format!("[{index}]")).unwrap_or_default();
        let value = match item.key.0.as_str() {
            "dls-secure-port" | "file-https-base-url" => "*",
            _ if item.value.len() > 100 => "*",
            _ => &item.value,
        };
        format!(" {}{index}={value}", item.key.0)
    };
    answer.items.iter().fold(answer.action.to_string(), |text, each| text + &item(each))
}
