//! The phones of a dialogue: what they remember, and how they put their messages.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use callboard_codecs::wpi::{
    Action, Fragment, ItemRef, Layout, Limits, ParseErrorKind, PhoneMessageRef, Reason, ReplyStatus,
    parse_phone_message, write_phone_message,
};
use callboard_core::device::DeviceId;
use callboard_core::dialogue::sessions::Cookie;
use callboard_core::dialogue::wpi::Door;
use callboard_core::service::{OverloadCause, Service, WpiRequest, WpiResponse};

use crate::script::{ItemLine, Result, Step};
use crate::world::{Branch, PaperCredentials};

/// The items that every opening message carries (WPI reference, section 5.3), but for the address.
const BASIC: [(&str, &str, Option<&str>); 13] = [
    ("device-type", "OpenStage 60", None),
    ("related-device-type", "OpenStage 60", None),
    ("gigabit-ethernet-enabled", "false", None),
    ("software-type", "Siemens SIP", None),
    ("software-version", "V3 R5.12.0", None),
    ("related-software-version", "V3 R5.12.0", None),
    ("configuration-changed-flag", "false", None),
    ("part-number", "S30817-S7403-C101-020", None),
    ("sip-mobility-state", "1", None),
    ("e164", "4989700112", None),
    ("user-pwd", "000000", None),
    ("user-pwd-unicode", "", Some("failed")),
    ("basic-e164", "4989700112", None),
];

/// What came of a message: the body could not be read, or the service answered.
pub(crate) type Answer = std::result::Result<WpiResponse, ParseErrorKind>;

/// A message under way.
pub(crate) struct Call {
    pub(crate) future: Pin<Box<dyn Future<Output = Answer>>>,
    pub(crate) nonce: String,
    pub(crate) opening: bool,
}

/// A message as it was sent, to be sent again.
#[derive(Clone)]
struct Sent {
    body: Vec<u8>,
    nonce: String,
    opening: bool,
}

/// One phone.
pub(crate) struct Phone {
    pub(crate) id: DeviceId,
    source: IpAddr,
    messages: u32,
    cookie: Option<Cookie>,
    connection: Option<Cookie>,
    last: Option<Sent>,
    pub(crate) call: Option<Call>,
}

impl Phone {
    pub(crate) fn new(id: &str, source: &str) -> Self {
        let (id, source) = (id.parse().unwrap(), source.parse().unwrap());
        Self { id, source, messages: 0, cookie: None, connection: None, last: None, call: None }
    }

    /// The basic items as this phone sends them.
    pub(crate) fn basic(&self) -> Vec<ItemLine> {
        let item = |name: &str, value: &str, status: Option<&str>| ItemLine {
            name: name.to_owned(),
            index: None,
            value: value.to_owned(),
            status: status.map(str::to_owned),
        };
        let uri = format!("http://{}:8085/contact_dls.html/ContactDLS", self.source);
        let mut items: Vec<_> =
            BASIC.iter().map(|(name, value, status)| item(name, value, *status)).collect();
        items.insert(6, item("contact-me-uri", &uri, None));
        items.insert(7, item("mac-addr", &self.id.to_string().to_uppercase(), None));
        items
    }

    /// Send what a `phone` step says.
    pub(crate) fn send(
        &mut self,
        step: &Step,
        service: &Arc<Service>,
        credentials: &PaperCredentials,
    ) -> Result<()> {
        let sent = match step.argument(0)? {
            "again" => self.last.clone().ok_or_else(|| step.fault("nothing was sent yet"))?,
            "xml" => raw(step),
            reason => self.message(step, reason)?,
        };
        self.last = Some(sent.clone());
        let cookie = match step.option("cookie") {
            None | Some("echo") => self.cookie,
            Some("none") => None,
            Some("dead") => Some(Cookie::from_u128(u128::MAX)),
            Some(other) => return Err(step.fault(format!("no such cookie: {other}"))),
        };
        match step.option("connection") {
            None | Some("same") => {}
            Some("new") => self.connection = None,
            Some(other) => return Err(step.fault(format!("no such connection: {other}"))),
        }
        let source = match step.option("source") {
            None => self.source,
            Some(text) => text.parse().map_err(|_| step.fault("no such source"))?,
        };
        let request = Owned {
            door: self.door(step, credentials)?,
            source,
            cookie,
            connection: self.connection,
            sender: Branch { spent: step.has("spent") },
            shed: shed(step)?,
            body: sent.body,
        };
        let future = Box::pin(request.call(service.clone()));
        self.call = Some(Call { future, nonce: sent.nonce, opening: sent.opening });
        Ok(())
    }

    fn door(&self, step: &Step, credentials: &PaperCredentials) -> Result<Door> {
        let serial = || credentials.serial(step.option("serial").unwrap_or("01"));
        match step.option("door") {
            None | Some("default") => Ok(Door::Default),
            Some("secure") => Ok(Door::Secure { device: self.id.clone(), serial: serial() }),
            Some(other) => {
                let device = other.strip_prefix("secure:").and_then(|id| id.parse().ok());
                device
                    .map(|device| Door::Secure { device, serial: serial() })
                    .ok_or_else(|| step.fault("no such door"))
            }
        }
    }

    /// Keep what a phone keeps of an answer.
    pub(crate) fn remember(&mut self, response: &WpiResponse) {
        if response.set_cookie.is_some() {
            self.cookie = response.set_cookie;
        }
        if response.flow.is_some() {
            self.connection = response.flow;
        }
    }

    fn nonce(&mut self, step: &Step) -> String {
        self.messages += 1;
        step.option("nonce").map_or_else(|| format!("4A1F00C27B9E4D55{:04X}", self.messages), str::to_owned)
    }

    fn message(&mut self, step: &Step, reason: &str) -> Result<Sent> {
        let reason = match reason {
            "start-up" => Reason::StartUp,
            "solicited" => Reason::Solicited,
            "local-changes" => Reason::LocalChanges,
            "inventory-changes" => Reason::InventoryChanges,
            "status" => Reason::Status,
            "clean-up" => Reason::CleanUp,
            "reply-to" => reply_to(step),
            other => Reason::Unknown(other.into()),
        };
        let items = self.items(step)?;
        let refs: Vec<_> = items
            .iter()
            .map(|item| ItemRef {
                name: &item.name,
                index: item.index,
                status: item.status.as_deref(),
                value: &item.value,
            })
            .collect();
        let is_reply = matches!(reason, Reason::ReplyTo { .. });
        let fragment = match step.option("fragment") {
            None if is_reply => Fragment::Final,
            None | Some("absent") => Fragment::Absent,
            Some("next") => Fragment::Next,
            Some("final") => Fragment::Final,
            Some(other) => return Err(step.fault(format!("no such fragment: {other}"))),
        };
        let max_items = step.option("max-items").map_or(Ok(-1), str::parse);
        let nonce = self.nonce(step);
        let message = PhoneMessageRef {
            nonce: &nonce,
            max_items: Some(max_items.map_err(|_| step.fault("max-items is a number"))?),
            fragment,
            reason: &reason,
            items: &refs,
            layout: Layout::Indented,
        };
        let mut body = Vec::new();
        write_phone_message(&mut body, &message).map_err(|error| step.fault(error.to_string()))?;
        Ok(Sent { body, nonce, opening: reason.is_opening() })
    }

    /// The items of a block. `[basic]` stands for the basic items; a name that comes again takes the first's place.
    fn items(&self, step: &Step) -> Result<Vec<ItemLine>> {
        let mut items: Vec<ItemLine> = Vec::new();
        for line in &step.block {
            if line.text == "[basic]" {
                items.extend(self.basic());
                continue;
            }
            let item = ItemLine::parse(line)?;
            let same = |old: &&mut ItemLine| (&old.name, old.index) == (&item.name, item.index);
            match items.iter_mut().find(same) {
                Some(old) => *old = item,
                None => items.push(item),
            }
        }
        Ok(items)
    }
}

fn raw(step: &Step) -> Sent {
    let text = step.block.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
    let body = unescape(&text);
    let message = parse_phone_message(&body, &Limits::default());
    let nonce = message.as_ref().map_or_else(|_| String::new(), |message| message.nonce.to_owned());
    let opening = message.is_ok_and(|message| message.reason.is_opening());
    Sent { body, nonce, opening }
}

fn reply_to<'a>(step: &Step) -> Reason<'a> {
    let action = step.arguments().iter().find_map(|word| word.parse::<Action>().ok());
    let status =
        [("accepted", ReplyStatus::Accepted), ("failed", ReplyStatus::Failed), ("busy", ReplyStatus::Busy)];
    Reason::ReplyTo { action, status: status.into_iter().find(|(word, _)| step.has(word)).map(|(_, s)| s) }
}

/// `\xHH` is a byte, so that a file can hold what no text can.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, piece) in text.split("\\x").enumerate() {
        let byte = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| at > 0) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&piece.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(piece.as_bytes()),
        }
    }
    bytes
}

/// `shed`, or `shed=` and the cause.
fn shed(step: &Step) -> Result<Option<OverloadCause>> {
    let Some(label) = step.option("shed") else {
        return Ok(step.has("shed").then_some(OverloadCause::Connections));
    };
    let cause = OverloadCause::ALL.into_iter().find(|cause| cause.as_str() == label);
    cause.map(Some).ok_or_else(|| step.fault(format!("no such cause: {label}")))
}

/// A request that owns what [`WpiRequest`] borrows.
struct Owned {
    door: Door,
    source: IpAddr,
    cookie: Option<Cookie>,
    connection: Option<Cookie>,
    sender: Branch,
    shed: Option<OverloadCause>,
    body: Vec<u8>,
}

impl Owned {
    async fn call(self, service: Arc<Service>) -> Answer {
        let message = parse_phone_message(&self.body, &Limits::default()).map_err(|error| error.kind)?;
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        let request = WpiRequest {
            message: &message,
            door: &self.door,
            source: self.source,
            host: Some("198.51.100.7:18443"),
            digest: hasher.finish(),
            cookie: self.cookie,
            has_cookie: self.cookie.is_some(),
            connection: self.connection,
            sender: &self.sender,
            shed: self.shed,
        };
        Ok(service.wpi(request).await)
    }
}
