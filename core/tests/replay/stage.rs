//! Plays a dialogue file.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use callboard_codecs::wpi::{Item, Limits, MAX_MESSAGE_BYTES, parse_service_message};
use callboard_core::device::{Device, DeviceId};
use callboard_core::event::EventKind;
use callboard_core::item::ItemSetBuilder;
use callboard_core::job::JobId;
use callboard_core::policy::TemplateId;
use callboard_core::reach::polling::PollingMode;
use callboard_core::service::{Outcome, Settings, WpiResponse};
use callboard_core::store::{Store as _, Table, Write};

use crate::phone::{Call, Phone};
use crate::script::{self, Fault, ItemLine, Result, Step};
use crate::world::{World, poll, settings};

/// Phones by the word that begins their steps.
const PHONES: [(&str, &str, &str); 2] =
    [("phone", "00:1a:e8:0a:0b:0c", "192.0.2.41"), ("other", "00:1a:e8:0a:0b:0d", "192.0.2.42")];

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) phones: BTreeMap<&'static str, Phone>,
    pub(crate) templates: BTreeMap<String, TemplateId>,
    /// The jobs, in the order in which they were submitted.
    pub(crate) jobs: Vec<JobId>,
    /// The last event that the file has accounted for.
    pub(crate) told: u64,
    /// Whose message waits for its `service` line.
    speaking: &'static str,
}

/// Play a file. The error says where it goes wrong.
pub(crate) fn play(path: &Path) -> std::result::Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    script::read(&text).and_then(|steps| perform(&steps)).map_err(|fault| fault.in_file(path))
}

fn perform(steps: &[Step]) -> Result<()> {
    let mut bounds = settings();
    let is_setting = |step: &Step| matches!(step.words[0].as_str(), "limit" | "polling");
    let first = steps.iter().position(|step| !is_setting(step)).unwrap_or(steps.len());
    for step in &steps[..first] {
        if step.words[0] == "polling" {
            set_polling(step, &mut bounds)?;
        } else {
            set_limit(step, &mut bounds)?;
        }
    }
    let phones = PHONES.map(|(word, id, source)| (word, Phone::new(id, source)));
    let mut stage = Stage {
        world: World::new(bounds),
        phones: phones.into(),
        templates: BTreeMap::new(),
        jobs: Vec::new(),
        told: 0,
        speaking: "phone",
    };
    for step in &steps[first..] {
        stage.step(step)?;
    }
    stage.nothing_left(steps.last())
}

fn set_limit(step: &Step, bounds: &mut Settings) -> Result<()> {
    let value: usize = step.argument(1)?.parse().map_err(|_| step.fault("a limit is a number"))?;
    let small = u32::try_from(value).unwrap_or(u32::MAX);
    match step.argument(0)? {
        "actions" => bounds.flow.actions = small,
        "fragments" => bounds.flow.fragments = small,
        "items" => bounds.flow.items = value,
        "device-items" => bounds.flow.device_items = value,
        "device-bytes" => bounds.flow.device_bytes = value,
        "flows" => bounds.sessions.flows = value,
        "flows-per-source" => bounds.sessions.flows_per_source = value,
        "devices" => bounds.fleet.devices = value,
        other => return Err(step.fault(format!("no limit {other}"))),
    }
    Ok(())
}

fn set_polling(step: &Step, bounds: &mut Settings) -> Result<()> {
    bounds.polling.url = Some("http://dcmp.example.net:8080/dcmp/".into());
    bounds.polling.mode = match step.argument(0)? {
        "disabled" => PollingMode::Disabled,
        "automatic" => PollingMode::Automatic,
        "enabled" => PollingMode::Enabled,
        other => return Err(step.fault(format!("no mode {other}"))),
    };
    Ok(())
}

impl Stage {
    fn step(&mut self, step: &Step) -> Result<()> {
        match step.words[0].as_str() {
            "phone" | "other" => self.phone_step(step),
            "service" => self.service_step(step),
            "hang-up" => {
                self.speaker().call = None;
                Ok(())
            }
            "clock" => self.clock(step),
            "store" => self.store(step),
            "crash" => {
                self.world.crash();
                self.told = 0;
                Ok(())
            }
            "credentials" => {
                let word = step.argument(0)?;
                self.world.credentials.set_broken(word == "fail");
                self.world.credentials.set_busy(word == "busy");
                self.world.credentials.set_held(word == "hold");
                Ok(())
            }
            "known" => self.known(step),
            "template" => self.template(step),
            "admin" => self.admin(step),
            "job" => self.expect_job(step),
            "events" => self.events(step),
            "device" => self.device(step),
            "flows" => self.flows(step),
            "limit" | "polling" => Err(step.fault("limits and modes stand at the beginning of a file")),
            other => Err(step.fault(format!("no directive {other:?}"))),
        }
    }

    fn speaker(&mut self) -> &mut Phone {
        self.phones.get_mut(self.speaking).unwrap()
    }

    /// The device that a step names by `other`, or the first one.
    pub(crate) fn meant(&self, step: &Step) -> DeviceId {
        let word = if step.has("other") { "other" } else { "phone" };
        self.phones[word].id.clone()
    }

    fn phone_step(&mut self, step: &Step) -> Result<()> {
        if self.speaker().call.is_some() {
            return Err(step.fault("the message before has no `service` line"));
        }
        self.speaking = if step.words[0] == "other" { "other" } else { "phone" };
        let (service, credentials) = (self.world.service.clone(), self.world.credentials.clone());
        self.speaker().send(step, &service, &credentials)
    }

    /// Compare what the service says with what it should say.
    fn service_step(&mut self, step: &Step) -> Result<()> {
        let phone = self.speaker();
        let Some(Call { mut future, nonce, opening }) = phone.call.take() else {
            return Err(step.fault("no message waits for an answer"));
        };
        let answer = poll(future.as_mut());
        let wanted = step.argument(0)?;
        let answer = match (answer, wanted) {
            (None, "waits") => {
                phone.call = Some(Call { future, nonce, opening });
                return Ok(());
            }
            (None, _) => return Err(step.fault("the service does not answer yet")),
            (Some(answer), _) => answer,
        };
        match (answer, wanted) {
            (Err(kind), "400") if step.has(kind.as_label()) => Ok(()),
            (Err(kind), _) => Err(step.fault(format!("the body was not read: {}", kind.as_label()))),
            (Ok(response), _) => {
                phone.remember(&response);
                check_reply(step, &response, &nonce)?;
                check_cookie(step, &response, opening)
            }
        }
    }

    fn clock(&mut self, step: &Step) -> Result<()> {
        let seconds = step.argument(0)?.strip_prefix('+').and_then(|text| text.strip_suffix('s'));
        let seconds = seconds.and_then(|text| text.parse().ok()).ok_or_else(|| step.fault("clock +5s"))?;
        self.world.clock.advance(Duration::from_secs(seconds));
        self.world.service.sweep();
        Ok(())
    }

    fn store(&mut self, step: &Step) -> Result<()> {
        let store = &self.world.store;
        match step.argument(0)? {
            "hold" => store.hold(),
            "release" => store.release(),
            "no-space" => store.set_no_space(true),
            "space" => store.set_no_space(false),
            "fail" => store.fail("the disk is gone"),
            "spoil" => {
                let key = self.meant(step).to_string();
                drop(store.submit(vec![Write::put(Table::Device, key, vec![1, 2, 3])]));
            }
            other => return Err(step.fault(format!("the store knows no {other:?}"))),
        }
        Ok(())
    }

    /// Make a device that was registered long ago, with its basic items and those of the block.
    fn known(&mut self, step: &Step) -> Result<()> {
        let word = if step.has("other") { "other" } else { "phone" };
        let phone = &self.phones[word];
        let service = &self.world.service;
        let mut builder = ItemSetBuilder::default();
        let mut all = phone.basic();
        for line in &step.block {
            all.push(ItemLine::parse(line)?);
        }
        for item in &all {
            let pushed =
                builder.push(&item.name, item.index, &item.value, item.status.as_deref(), service.vault());
            pushed.map_err(|error| step.fault(error.to_string()))?;
        }
        let reported = builder.build(10_000).map_err(|error| step.fault(error.to_string()))?;
        let at = service.now();
        self.world.clock.advance(Duration::from_hours(24));
        let text = |name: &str| reported.text(name).unwrap_or_default().into_owned();
        let done = service.fleet.update(&phone.id, true, |device| {
            let mut device = Device { revision: device.revision + 1, onboarded: true, ..device.clone() };
            device.identity.device_type = text("device-type").into();
            device.identity.software_type = text("software-type").into();
            device.identity.software_version = text("software-version").into();
            device.identity.part_number = text("part-number").into();
            device.identity.e164 = text("e164").into();
            device.identity.basic_e164 = text("basic-e164").into();
            device.identity.contact_me_uri = text("contact-me-uri").into();
            device.contacts.first = at;
            device.contacts.last = at;
            device.contacts.read = Some(at);
            device.reported = reported.clone();
            Ok(device)
        });
        let (_, ticket) = done.map_err(|error| step.fault(error.to_string()))?;
        now(ticket).map_err(|error| step.fault(error.to_string()))
    }

    fn flows(&self, step: &Step) -> Result<()> {
        let open = self.world.service.open_flows().to_string();
        if step.argument(0)? == open { Ok(()) } else { Err(step.fault(format!("{open} flows are open"))) }
    }

    /// A file that says nothing of an event or an answer has not looked at it.
    fn nothing_left(&mut self, last: Option<&Step>) -> Result<()> {
        let at = last.map_or(script::At(0), |step| step.at);
        if self.speaker().call.is_some() {
            return Err(Fault::new(at, "the last message has no `service` line"));
        }
        let left: Vec<_> = self.untold().into_iter().map(|(kind, text)| format!("{kind}: {text}")).collect();
        if left.is_empty() { Ok(()) } else { Err(Fault::new(at, format!("events nobody expects: {left:?}"))) }
    }

    /// Events that the file has not accounted for, without those of its own `admin` steps.
    pub(crate) fn untold(&mut self) -> Vec<(String, String)> {
        let events = self.world.service.events.after(self.told, usize::MAX);
        self.told = events.last().map_or(self.told, |event| event.id);
        events
            .into_iter()
            .filter(|event| event.kind != EventKind::AdminChange)
            .map(|event| (event.kind.as_str().to_owned(), event.text))
            .collect()
    }
}

/// The reply as the phone reads it: through the writer and the phone's parser.
fn check_reply(step: &Step, response: &WpiResponse, nonce: &str) -> Result<()> {
    let mut xml = Vec::new();
    response.reply.write(nonce, &mut xml).map_err(|error| step.fault(error.to_string()))?;
    if xml.len() > MAX_MESSAGE_BYTES {
        return Err(step.fault(format!("the reply has {} bytes", xml.len())));
    }
    let message =
        parse_service_message(&xml, &Limits::default()).map_err(|error| step.fault(error.to_string()))?;
    if message.nonce != nonce {
        return Err(step.fault(format!("the reply has nonce {}", message.nonce)));
    }
    let said: Vec<_> = message.items.iter().map(line_of).collect();
    let told = format!("the service says {} {said:?} ({})", message.action, outcome(response.outcome));
    if message.action.as_str() != step.argument(0)? {
        return Err(step.fault(told));
    }
    let wanted: Vec<_> = step.block.iter().map(ItemLine::parse).collect::<Result<_>>()?;
    if said != wanted {
        return Err(step.fault(told));
    }
    let word = step.arguments()[1..].iter().find(|word| !matches!(word.as_str(), "cookie" | "no-cookie"));
    match word {
        Some(word) if *word != outcome(response.outcome) => Err(step.fault(told)),
        _ => Ok(()),
    }
}

fn line_of(item: &Item<'_>) -> ItemLine {
    ItemLine {
        name: item.name.clone().into_owned(),
        index: item.index,
        value: item.value.clone().into_owned(),
        status: item.status.clone().map(std::borrow::Cow::into_owned),
    }
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Overload(cause) => format!("overload:{}", cause.as_str()),
        other => other.as_str().to_owned(),
    }
}

/// The first answer of a flow sets the cookie, no other does. A step may say otherwise.
fn check_cookie(step: &Step, response: &WpiResponse, opening: bool) -> Result<()> {
    let usual =
        opening && matches!(response.outcome, Outcome::Answered | Outcome::Finished | Outcome::Repeated);
    let wanted = step.has("cookie") || (usual && !step.has("no-cookie"));
    match (wanted, response.set_cookie.is_some()) {
        (true, false) => Err(step.fault("the reply sets no cookie")),
        (false, true) => Err(step.fault("the reply sets a cookie")),
        _ => Ok(()),
    }
}

/// Run a future that nothing holds up.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    poll(std::pin::pin!(future)).expect("the store is not held")
}
