//! Turns any bytes into phones that talk, administrators who interfere, time that passes and disks that fill up, and
//! looks after every step whether the service still keeps its promises.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use callboard_codecs::wpi::{
    Action, Fragment, ItemRef, Layout, Limits, MAX_MESSAGE_BYTES, PhoneMessageRef, Reason, ReplyStatus,
    parse_phone_message, parse_service_message, write_phone_message,
};
use callboard_core::device::{Device, DeviceId, DeviceState, encode, encode_tasks};
use callboard_core::dialogue::sessions::Cookie;
use callboard_core::dialogue::wpi::Door;
use callboard_core::event::EventLimits;
use callboard_core::fleet::Filter;
use callboard_core::item::{ItemKey, ItemWrite};
use callboard_core::policy::{AppliesTo, Template, TemplateId, TemplateItem, TemplateKind};
use callboard_core::secret::Secret;
use callboard_core::service::sip::admin::DeviceCredentials;
use callboard_core::service::{
    JobRequest, Outcome, OverloadCause, SecureModeRequest, Service, Settings, TaskRequest, WpiRequest,
    WpiResponse,
};

use crate::world::{Branch, World, poll, settings, stored};

/// Steps of one run: enough for several dialogues.
const STEPS: usize = 80;
const PHONES: usize = 3;
const PIN: &str = "verysecret789";
/// A value of which a device can have few.
static LONG: LazyLock<String> = LazyLock::new(|| "x".repeat(2_000));

/// Names and values that mean something to the service, and some that mean nothing.
const ITEMS: [(&str, Option<u32>, &str, Option<&str>); 30] = [
    ("hostname", None, "a", None),
    ("hostname", None, "b", None),
    ("hostname", None, "", Some("read only")),
    ("sntp-addr", None, "old", None),
    ("sntp-addr", None, "", Some("invalid data")),
    ("realm", None, "r", None),
    ("dhcp", None, "True", None),
    ("admin-pwd", None, "", Some("not today")),
    ("sip-pwd", None, "opensesame", None),
    ("key-label-unicode", Some(1), "Anna", None),
    ("key-label-unicode", Some(2), "Sören", None),
    ("alert", Some(1), "^^^^", None),
    ("alert", Some(2), "<&>", None),
    ("name-of-tomorrow", None, "x", None),
    ("software-version", None, "V1 R3.8.0", None),
    ("software-version", None, "V3 R6.0.0", None),
    ("device-type", None, "OpenStage 40", None),
    ("e164", None, "4989700112", None),
    ("e164", None, "", None),
    ("configuration-changed-flag", None, "true", None),
    ("configuration-attached-flag", None, "true", None),
    ("configuration-attached-number", None, "1", None),
    ("bootstrapping-tan", None, "789", None),
    ("bootstrapping-tan", None, "000", None),
    ("cleanup-reason", None, "password retries exceeded", None),
    ("goto-secure-mode", None, "", Some("failed")),
    ("dls-mode-secure", None, "", Some("failed")),
    ("key-modules", None, "1", None),
    ("file-deployment-status", None, "ok", None),
    ("mac-addr", None, "00:1a:e8:00:00:02", None),
];

/// Values of templates and of tasks that write.
const WISHES: [(&str, Option<u32>, &str); 10] = [
    ("hostname", None, "phone-%%{e164,$-4}"),
    ("hostname", None, "b"),
    ("sntp-addr", None, "new"),
    ("realm", None, "NULL"),
    ("admin-pwd", None, "one"),
    ("sip-pwd", None, "opensesame"),
    ("key-label-unicode", Some(1), "<Anna>"),
    ("key-label-unicode", Some(2), "%%{device-type}"),
    ("alert", Some(1), "x"),
    ("name-of-tomorrow", None, "y"),
];

/// The bytes that decide.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// The rare case. Never for a zero, which stands for a phone that behaves.
    fn one_in(&mut self, chances: u8) -> bool {
        self.byte() % chances == chances - 1
    }

    fn pick<'t, T>(&mut self, table: &'t [T]) -> &'t T {
        &table[self.below(table.len())]
    }
}

type Pending = Pin<Box<dyn Future<Output = WpiResponse>>>;

/// A message that has no answer yet.
struct Call {
    future: Pending,
    sent: Arc<Sent>,
    /// Its revision when the answer began to wait for the disk.
    revision: u64,
    /// Deletions when the message was sent.
    deletions: u32,
}

/// A message as it was sent.
struct Sent {
    body: Vec<u8>,
    /// Its number among all messages, which stands in it too: no two bodies are alike.
    number: u32,
    nonce: String,
    /// The device that it names.
    device: Option<DeviceId>,
}

#[derive(Default)]
struct Phone {
    cookie: Option<Cookie>,
    connection: Option<Cookie>,
    /// The action it was told last.
    told: Option<Action>,
    last: Option<Arc<Sent>>,
    call: Option<Call>,
}

struct Run<'a> {
    input: Input<'a>,
    world: World,
    phones: [Phone; PHONES],
    messages: u32,
    deletions: u32,
    revisions: BTreeMap<DeviceId, u64>,
    held: bool,
    full: bool,
}

/// Play what the bytes say. Panics where a promise is broken.
pub(crate) fn run(bytes: &[u8]) {
    let mut run = Run {
        input: Input(bytes),
        world: World::new(bounds()),
        phones: Default::default(),
        messages: 0,
        deletions: 0,
        revisions: BTreeMap::new(),
        held: false,
        full: false,
    };
    for _ in 0..STEPS {
        if run.input.0.is_empty() {
            break;
        }
        run.step();
        run.check();
    }
    run.end();
}

/// Bounds that a few messages reach.
fn bounds() -> Settings {
    let mut settings = Settings { templates: 3, templates_per_device: 2, tasks_per_device: 3, ..settings() };
    settings.events = EventLimits {
        administration: 4,
        tasks: 4,
        security: 4,
        trouble: 4,
        routine: 4,
        ..EventLimits::default()
    };
    settings.flow.actions = 6;
    settings.flow.fragments = 3;
    settings.flow.items = 24;
    settings.flow.device_items = 20;
    settings.flow.device_bytes = 6_000;
    settings.sessions.flows = 2;
    settings.sessions.retransmission_nonces = 2;
    settings.sessions.retransmission_bytes = 64 * 1_500;
    settings.fleet.devices = 2;
    settings.fleet.dictionary_values = 16;
    settings
}

fn id(phone: usize) -> DeviceId {
    format!("00:1a:e8:00:00:{phone:02x}").parse().unwrap()
}

impl Run<'_> {
    fn step(&mut self) {
        match self.input.byte() % 16 {
            0..=8 => self.message(),
            9 => self.admin(),
            10 => self.template(),
            11 => self.task(),
            12 => self.disk(),
            13 => {
                let seconds = *self.input.pick(&[1, 5, 61, 121, 601]);
                self.world.clock.advance(Duration::from_secs(seconds));
                self.world.service.sweep();
            }
            14 => {
                let phone = self.input.below(PHONES);
                self.phones[phone].call = None;
            }
            _ => self.listen(),
        }
    }

    fn message(&mut self) {
        let phone = self.input.below(PHONES);
        let sent = match self.phones[phone].last.clone() {
            Some(last) if self.input.one_in(8) => last,
            _ => match self.compose(phone) {
                Some(new) => Arc::new(new),
                None => return,
            },
        };
        self.phones[phone].last = Some(sent.clone());
        let pick = |input: &mut Input<'_>, own: Option<Cookie>, other: Option<Cookie>| match input.byte() % 8
        {
            5 => None,
            6 => other,
            7 => Some(Cookie::from_u128(1)),
            _ => own,
        };
        let neighbour = (phone + 1) % PHONES;
        let cookie = pick(&mut self.input, self.phones[phone].cookie, self.phones[neighbour].cookie);
        let connection =
            pick(&mut self.input, self.phones[phone].connection, self.phones[neighbour].connection);
        let door = match self.input.byte() % 8 {
            7 => self.secure_door(neighbour),
            5 | 6 => self.secure_door(phone),
            _ => Door::Default,
        };
        let source = IpAddr::from([192, 0, 2, *self.input.pick(&[1, 2])]);
        let shed = self.input.one_in(16);
        let service = self.world.service.clone();
        let request = (door, source, cookie, connection, shed);
        let future = Box::pin(call(service, sent.clone(), request));
        let call = Call { future, sent, revision: 0, deletions: self.deletions };
        self.phones[phone].call = Some(call);
        self.hear(phone);
    }

    /// The secure door, usually with the certificate that the device was given last.
    fn secure_door(&mut self, phone: usize) -> Door {
        let device = id(phone);
        let known = self.world.service.fleet.get(&device);
        let given = known.and_then(|known| {
            let security = &known.security;
            let offered = security.series().map(|series| format!("{}01", series.to_hex()).into_boxed_str());
            offered.or_else(|| security.certificate_serial.clone())
        });
        let serial = given.filter(|_| !self.input.one_in(8)).unwrap_or_else(|| "00".into());
        Door::Secure { device, serial }
    }

    /// Usually what follows on the action that the phone was told.
    fn reason(&mut self, told: Option<Action>) -> Reason<'static> {
        let accepted = Some(ReplyStatus::Accepted);
        match self.input.byte() % 16 {
            8 => Reason::StartUp,
            9 => Reason::Solicited,
            10 => Reason::LocalChanges,
            11 => Reason::InventoryChanges,
            12 => Reason::Status,
            13 => Reason::CleanUp,
            14 if self.input.one_in(4) => Reason::Unknown("telepathy".into()),
            14 | 15 => {
                let action = if self.input.one_in(2) { None } else { Some(*self.input.pick(&Action::ALL)) };
                Reason::ReplyTo { action, status: None }
            }
            choice => match told {
                None | Some(Action::CleanUp | Action::Restart) => Reason::StartUp,
                // A part repeats the action that it belongs to.
                Some(Action::GetNextFragment) => Reason::ReplyTo { action: None, status: accepted },
                Some(_) => {
                    let status = match choice {
                        6 => Some(ReplyStatus::Busy),
                        7 => Some(ReplyStatus::Failed),
                        _ => accepted,
                    };
                    Reason::ReplyTo { action: told, status }
                }
            },
        }
    }

    /// A message of a phone, or none if it cannot be written.
    fn compose(&mut self, phone: usize) -> Option<Sent> {
        let told = self.phones[phone].told;
        let reason = self.reason(told);
        let address = id(phone).to_string();
        let mut items = Vec::new();
        if reason.is_opening() || self.input.one_in(4) {
            items.push(ItemRef::new("mac-addr", &address));
        }
        for _ in 0..self.input.below(8) {
            let (name, index, value, status) = *self.input.pick(&ITEMS);
            items.push(ItemRef { name, index, status, value });
        }
        if self.input.one_in(32) {
            items.push(ItemRef::new("realm", &LONG));
        }
        self.messages += 1;
        let nonce = format!("{:X}", self.messages);
        let message = PhoneMessageRef {
            nonce: &nonce,
            max_items: Some(*self.input.pick(&[-1, -1, 1, 2])),
            fragment: *self.input.pick(&[Fragment::Final, Fragment::Final, Fragment::Absent, Fragment::Next]),
            reason: &reason,
            items: &items,
            layout: Layout::Compact,
        };
        let mut body = Vec::new();
        write_phone_message(&mut body, &message).ok()?;
        let named = items.iter().rev().find(|item| item.name == "mac-addr");
        let device = named.and_then(|item| DeviceId::from_phone(item.value).ok());
        Some(Sent { body, number: self.messages, nonce, device })
    }

    /// Take the answer to a phone's message, if there is one already.
    fn hear(&mut self, phone: usize) {
        let Some(mut call) = self.phones[phone].call.take() else { return };
        let Some(response) = poll(call.future.as_mut()) else {
            if call.revision == 0 {
                call.revision = self.of(call.sent.device.as_ref()).map_or(0, |device| device.revision);
            }
            self.phones[phone].call = Some(call);
            return;
        };
        Self::well_formed(&response, &call);
        if response.outcome == Outcome::Finished && response.flow_time.is_some() {
            self.durable(&call);
        }
        let own = &mut self.phones[phone];
        own.cookie = response.set_cookie.or(own.cookie);
        own.connection = response.flow.or(own.connection);
        own.told = Some(response.reply.action);
    }

    fn listen(&mut self) {
        for phone in 0..PHONES {
            self.hear(phone);
        }
    }

    fn well_formed(response: &WpiResponse, call: &Call) {
        let mut xml = Vec::new();
        response.reply.write(&call.sent.nonce, &mut xml).unwrap();
        assert!(xml.len() <= MAX_MESSAGE_BYTES);
        let read = parse_service_message(&xml, &Limits::default()).unwrap();
        assert_eq!((read.nonce, read.action), (call.sent.nonce.as_str(), response.reply.action));
        assert_eq!(read.items.len(), response.reply.items.len());
    }

    /// What the last answer of a flow acknowledges is in the store.
    fn durable(&self, call: &Call) {
        let Some(device) = self.of(call.sent.device.as_ref()) else { return };
        let stored = stored(&self.world.store, &device.id);
        if !self.held && !self.full {
            assert_eq!(stored.as_ref(), Some(&*device));
        } else if call.deletions == self.deletions {
            assert!(stored.is_some_and(|stored| stored.revision >= call.revision));
        }
    }

    fn of(&self, device: Option<&DeviceId>) -> Option<Arc<Device>> {
        self.world.service.fleet.get(device?)
    }

    fn admin(&mut self) {
        let device = id(self.input.below(PHONES));
        let service = self.world.service.clone();
        let wish = match self.input.byte() % 8 {
            0 => SecureModeRequest::Off,
            1 => SecureModeRequest::NoPin,
            2 => SecureModeRequest::DefaultPin,
            3 => SecureModeRequest::IndividualPin(Secret::new(PIN)),
            4 => {
                if poll(std::pin::pin!(service.delete_device(&device, None, DeviceCredentials::Forget)))
                    .is_none_or(|done| done.is_ok())
                {
                    self.revisions.remove(&device);
                    self.deletions += 1;
                }
                return;
            }
            5 => {
                let templates = [TemplateId::from_u64(self.input.byte().into())];
                let _ = poll(std::pin::pin!(service.assign_templates(&device, &templates, None)));
                return;
            }
            6 => {
                let template = TemplateId::from_u64(self.input.below(3) as u64);
                let _ = poll(std::pin::pin!(service.delete_template(template, None)));
                return;
            }
            _ => {
                self.world.credentials.set_broken(self.input.one_in(2));
                self.world.credentials.set_busy(self.input.one_in(4));
                return;
            }
        };
        let _ = poll(std::pin::pin!(service.set_secure_mode(&device, &wish, None)));
    }

    fn wishes(&mut self) -> Vec<(ItemKey, &'static str)> {
        let mut wishes = BTreeMap::new();
        for _ in 0..self.input.below(6) {
            let (name, index, value) = *self.input.pick(&WISHES);
            wishes.insert(ItemKey::new(name, index), value);
        }
        wishes.into_iter().collect()
    }

    fn template(&mut self) {
        let service = self.world.service.clone();
        let number = self.input.below(3);
        let wishes = self.wishes();
        let item = |(key, value)| TemplateItem::new(key, value, service.vault()).unwrap();
        let template = Template {
            id: TemplateId::from_u64(number as u64),
            revision: 0,
            name: format!("t{number}").into(),
            description: "".into(),
            kind: *self.input.pick(&[
                TemplateKind::Default,
                TemplateKind::Onboarding,
                TemplateKind::Disabled,
            ]),
            ranking: 1 + u32::from(self.input.byte()),
            device_types: Vec::new(),
            software_types: Vec::new(),
            applies_to: *self.input.pick(&[AppliesTo::All, AppliesTo::All, AppliesTo::Assigned]),
            items: wishes.into_iter().map(item).collect(),
            created: service.now(),
            changed: service.now(),
        };
        let _ = poll(std::pin::pin!(service.put_template(template, true, None)));
    }

    fn task(&mut self) {
        let device = id(self.input.below(PHONES));
        let wishes = self.wishes();
        let wish = match self.input.byte() % 7 {
            0 => TaskRequest::ReadAll,
            1 => TaskRequest::ReadItems(wishes.into_iter().map(|(key, _)| key).collect()),
            2 => TaskRequest::WriteItems(
                wishes.into_iter().map(|(key, value)| ItemWrite { key, value: Secret::new(value) }).collect(),
            ),
            3 => TaskRequest::Restart { factory_reset: false },
            4 => TaskRequest::ApplyTemplates,
            5 => TaskRequest::FactoryResetKeepCertificates,
            _ => TaskRequest::Restart { factory_reset: true },
        };
        let service = self.world.service.clone();
        if self.input.byte().is_multiple_of(2) {
            let _ = poll(std::pin::pin!(service.add_task(&device, wish)));
            return;
        }
        let request = JobRequest {
            wish,
            targets: (0..PHONES).map(id).collect(),
            name: "".into(),
            initiator: "".into(),
            schedule: None,
            wait_seconds: Some(1 + u32::from(self.input.byte())),
            running_seconds: Some(1 + u32::from(self.input.byte())),
        };
        let _ = poll(std::pin::pin!(service.submit_job(request)));
        self.work();
    }

    /// What is done for jobs in the background, as far as the store lets it.
    fn work(&self) {
        let mut work = std::pin::pin!(self.world.service.work_on_jobs());
        for _ in 0..100 {
            if poll(work.as_mut()).is_some() {
                return;
            }
        }
    }

    fn disk(&mut self) {
        let store = &self.world.store;
        match self.input.byte() % 4 {
            0 => {
                store.hold();
                self.held = true;
            }
            1 => {
                store.release();
                self.held = false;
            }
            2 => {
                store.set_no_space(true);
                self.full = true;
            }
            _ => {
                store.set_no_space(false);
                self.full = false;
            }
        }
        self.listen();
    }

    fn check(&mut self) {
        let service = &self.world.service;
        assert!(service.open_flows() <= PHONES);
        let fleet = &service.fleet;
        assert!(fleet.len() <= 2);
        assert_eq!(DeviceState::ALL.map(|state| fleet.in_state(state)).iter().sum::<usize>(), fleet.len());
        for device in fleet.page(None, PHONES, &Filter::default()).devices {
            let before = self.revisions.insert(device.id.clone(), device.revision).unwrap_or(0);
            assert!(device.revision >= before, "{} went from {before} to {}", device.id, device.revision);
        }
    }

    /// Everybody hangs up, the disk works, time passes: nothing is left open, and all is in the store.
    fn end(mut self) {
        self.phones = Default::default();
        self.world.store.set_no_space(false);
        self.world.store.release();
        self.world.clock.advance(Duration::from_secs(10_000));
        self.world.service.sweep();
        assert_eq!(self.world.service.open_flows(), 0);
        // Every job ends: its tasks waited and ran long enough.
        self.work();
        self.work();
        for job in self.world.service.jobs.book().iter() {
            assert!(job.ended.is_some(), "{job:?} {:?}", self.world.service.job_counts(job));
        }
        for device in self.world.service.fleet.page(None, PHONES, &Filter::default()).devices {
            let is_told = self.world.service.reach.pending.contains(&device.id);
            assert_eq!(
                is_told,
                self.world.service.has_work(&device),
                "{}: its polls must tell whether work waits: {:?} {:?}",
                device.id,
                device.security,
                device.tasks
            );
        }
        let before = self.world.service.clone();
        self.world.crash();
        let all = |service: &Service| -> Vec<_> {
            let page = service.fleet.page(None, PHONES, &Filter::default());
            page.devices
                .iter()
                .map(|device| (encode(device).unwrap(), encode_tasks(device).unwrap()))
                .collect()
        };
        assert_eq!(all(&before), all(&self.world.service));
        assert_eq!(before.templates.all(), self.world.service.templates.all());
    }
}

async fn call(
    service: Arc<Service>,
    sent: Arc<Sent>,
    (door, source, cookie, connection, shed): (Door, IpAddr, Option<Cookie>, Option<Cookie>, bool),
) -> WpiResponse {
    let message = parse_phone_message(&sent.body, &Limits::default()).unwrap();
    let digest = u64::from(sent.number);
    let has_cookie = cookie.is_some();
    let shed = shed.then_some(OverloadCause::Connections);
    let request = WpiRequest {
        message: &message,
        door: &door,
        source,
        host: Some("198.51.100.7:18443"),
        digest,
        cookie,
        has_cookie,
        connection,
        sender: &Branch { spent: false },
        shed,
    };
    service.wpi(request).await
}
