//! Opening messages.

use std::sync::Arc;

use callboard_codecs::wpi::{Item, PhoneMessage, Reason, SoftwareVersion};

use super::flow::{Awaiting, Flow, ToDo};
use super::{Arrival, Context, Door, Learned, Step};
use crate::device::{Device, DeviceUpdate, Identity, Route, SecureMode, SecurityChange, TaskType};
use crate::event::{EventDraft, EventKind};
use crate::item::{ItemSet, ItemSetBuilder, NameRef};
use crate::policy::Occasion;
use crate::secret::Vault;

/// Longest host and port that a phone is taken by its word for.
const MAX_AUTHORITY_BYTES: usize = 255;

/// Whether a phone's `Host` can be told to it again as a part of a URL.
fn is_authority(host: &str) -> bool {
    (1..=MAX_AUTHORITY_BYTES).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

impl Flow {
    /// Take an opening message of `base` (a new [`Device`] if it was never heard of).
    ///
    /// The caller has read the device id from the message, asked [`admit`](super::admit) and looked `base` up.
    pub fn open(ctx: &Context<'_>, base: Arc<Device>, message: &PhoneMessage<'_>, arrival: &Arrival) -> Step {
        let mut events = Vec::new();
        let mut flow = Self::begin(ctx, base, message, arrival);
        flow.note_tasks(ctx, message, &mut events);
        flow.note_software(&mut events);
        // First what is to be done: a read-all needs the items of this message beside its own.
        flow.decide(ctx, message, &mut events);
        flow.take_items(ctx, message, &mut events);
        let next = flow.proceed(ctx, &mut events);
        flow.conclude(ctx, message.nonce, arrival.digest, next, events)
    }

    fn begin(ctx: &Context<'_>, base: Arc<Device>, message: &PhoneMessage<'_>, arrival: &Arrival) -> Self {
        let identity = identity(&base.identity, &message.items);
        let update = DeviceUpdate {
            contact: Some(ctx.now),
            source: Some(arrival.source),
            route: Route { site: arrival.site },
            opened_with: ctx.vault.digest(message.nonce),
            started: message.reason == Reason::StartUp,
            ..DeviceUpdate::default()
        };
        Self {
            device: base.id.clone(),
            reason: message.reason.as_label(),
            opened: ctx.now,
            touched: ctx.now,
            dialect: identity.dialect(),
            identity,
            called: arrival
                .host
                .as_deref()
                .filter(|host| is_authority(host))
                .map(|host| format!("https://{host}").into()),
            opening: ItemSet::default(),
            reported: base.reported.clone(),
            known: base.contacts.read.is_some(),
            occasion: if base.onboarded { Occasion::Later } else { Occasion::FirstContact },
            max_items: message.max_items,
            applied: None,
            postponed: Vec::new(),
            learned: Learned { update, is_new: base.revision == 0, ..Learned::default() },
            awaiting: Awaiting::Nothing,
            to_do: ToDo::default(),
            actions: 0,
            last: None,
            completed: None,
            certificate: match &arrival.door {
                Door::Default => None,
                Door::Secure { serial, .. } => Some(serial.clone()),
            },
            base,
        }
    }

    /// Other firmware has other items, and may take what the old one refused.
    fn note_software(&mut self, events: &mut Vec<EventDraft>) {
        let (old, new) = (&self.base.identity, &self.identity);
        let same = same_version(&old.software_version, &new.software_version)
            && *old.software_type == *new.software_type;
        if same || !self.known {
            return;
        }
        let name = |identity: &Identity| format!("{} {}", identity.software_type, identity.software_version);
        let text = format!("software changed from {} to {}", name(old), name(new));
        events.push(EventDraft::about(&self.device, EventKind::SoftwareChanged, text));
        self.learned.update.forget_refusals = true;
        self.to_do.read_all = true;
    }

    /// Merge the items of the message into what is known.
    fn take_items(&mut self, ctx: &Context<'_>, message: &PhoneMessage<'_>, events: &mut Vec<EventDraft>) {
        let changed = !self.known || changes(&self.reported, &message.items, ctx.vault);
        if !changed && !self.to_do.read_all {
            return;
        }
        match collect(ItemSetBuilder::with_capacity(message.items.len()), &message.items, ctx) {
            Ok(set) => self.opening = set,
            Err(reason) => return self.too_large(&reason, events),
        }
        if !changed {
            return;
        }
        let mut all = ItemSetBuilder::from_set(&self.reported);
        for entry in &self.opening {
            all.push_entry(&entry);
        }
        match ctx.limits.pack(all) {
            Ok(set) => {
                self.reported = set;
                self.learned.update.reported = Some(self.reported.clone());
            }
            Err(reason) => {
                // Whoever sent this, the phone itself says what it has.
                self.too_large(&reason, events);
                self.opening = ItemSet::default();
                self.to_do.read_all = true;
            }
        }
    }

    pub(super) fn too_large(&self, reason: &str, events: &mut Vec<EventDraft>) {
        events.push(EventDraft::about(&self.device, EventKind::DeviceTooLarge, reason));
    }

    /// What this reason asks for.
    fn decide(&mut self, ctx: &Context<'_>, message: &PhoneMessage<'_>, events: &mut Vec<EventDraft>) {
        let flag = |name: &str| {
            message
                .items
                .iter()
                .any(|item| item.name == name && item.value.trim().eq_ignore_ascii_case("true"))
        };
        self.to_do.tasks = true;
        self.to_do.read_all |= !self.known;
        match message.reason {
            Reason::StartUp => {
                self.to_do.read_all |= flag("configuration-changed-flag");
                self.to_do.policy = true;
            }
            Reason::LocalChanges => {
                let attached = flag("configuration-attached-flag") && attached_complete(message);
                self.to_do.read_all |= !attached;
                self.to_do.policy = !self.guarded(ctx);
                let text = if attached {
                    "settings changed at the phone"
                } else {
                    "settings changed at the phone, not attached"
                };
                events.push(EventDraft::about(&self.device, EventKind::LocalChange, text));
            }
            Reason::InventoryChanges => {
                events.push(EventDraft::about(&self.device, EventKind::InventoryChange, modules(message)));
            }
            Reason::Status => {
                events.push(EventDraft::about(&self.device, EventKind::FileStatus, file_status(message)));
            }
            _ => self.to_do.policy = true,
        }
        // What is known is out of date until it was read. A task to read says nothing of that.
        self.learned.half_read = self.to_do.read_all;
        self.to_do.read_all |= self.waits(ctx, TaskType::ReadAll) || self.has_files_to_verify(ctx);
        self.to_do.policy |= self.waits(ctx, TaskType::ApplyTemplates);
        self.decide_security(ctx, message);
    }

    /// Whether the change may be the echo of our own write (WPI reference, section 6.6).
    fn guarded(&self, ctx: &Context<'_>) -> bool {
        self.base
            .contacts
            .written
            .is_some_and(|written| ctx.now.since(written) < ctx.limits.local_changes_guard)
    }

    fn decide_security(&mut self, ctx: &Context<'_>, message: &PhoneMessage<'_>) {
        let security = &self.base.security;
        let mode = security.mode;
        if mode == SecureMode::Secure {
            return self.decide_renewal(ctx, message.reason == Reason::StartUp);
        }
        // Three characters are soon guessed: then only an administrator begins it anew.
        let guessed = mode.needs_pin() && security.wrong_tans >= ctx.secure.max_pin_retries.max(1);
        match &self.certificate {
            _ if guessed => self.to_do = ToDo::default(),
            // Between credentials and the secure door the user types a PIN: only a boot begins that anew.
            None if mode.is_enabling() && (!security.sent || message.reason == Reason::StartUp) => {
                // Bootstrapping stands alone in its flow (WPI reference, section 7.3).
                self.to_do = ToDo { credentials: true, ..ToDo::default() };
            }
            // Anybody can name the device at this door, and it is about to prove itself at the other one: what waits
            // for it waits until then.
            None if mode.is_enabling() => self.to_do = ToDo::default(),
            None if mode == SecureMode::Disabling => {
                let left = SecurityChange::Left("the phone came to the default door");
                self.learned.update.security = Some(left);
            }
            Some(serial) if mode.needs_pin() && security.may_enter_with(serial) => self.to_do.tan = true,
            // Given to whomever before this PIN was chosen: it proves nothing now. The phone that has it is to come to
            // the other door for credentials under this PIN.
            Some(_) if mode.needs_pin() => self.to_do = ToDo { leave_secure: true, ..ToDo::default() },
            Some(serial) if mode.is_enabling() => {
                self.learned.update.security = Some(SecurityChange::Secured { serial: serial.clone() });
            }
            // One in default mode has no business at this door: it kept a certificate that was taken back.
            Some(_) => self.to_do.leave_secure = matches!(mode, SecureMode::Disabling | SecureMode::Off),
            None => {}
        }
    }
}

/// Whether two software versions are one: compared as numbers where they can be read (WPI reference, section 11).
pub(super) fn same_version(a: &str, b: &str) -> bool {
    match (a.parse::<SoftwareVersion>(), b.parse::<SoftwareVersion>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.trim() == b.trim(),
    }
}

/// The identity after these items: what the message does not name stays.
pub(super) fn identity(old: &Identity, items: &[Item<'_>]) -> Identity {
    let mut new = old.clone();
    for item in items.iter().filter(|item| item.status.is_none() && item.index.is_none()) {
        let value = bounded(item.value.trim());
        let shared = match &*item.name {
            "device-type" => &mut new.device_type,
            "software-type" => &mut new.software_type,
            "software-version" => &mut new.software_version,
            "part-number" => &mut new.part_number,
            "e164" => {
                set_own(&mut new.e164, value);
                continue;
            }
            "basic-e164" => {
                set_own(&mut new.basic_e164, value);
                continue;
            }
            "contact-me-uri" => {
                set_own(&mut new.contact_me_uri, value);
                continue;
            }
            _ => continue,
        };
        if **shared != *value {
            *shared = value.into();
        }
    }
    new
}

fn set_own(field: &mut Box<str>, value: &str) {
    if **field != *value {
        *field = value.into();
    }
}

/// Identity texts are short; what is longer is cut, the item itself keeps all of it.
fn bounded(value: &str) -> &str {
    const MOST: usize = 255;
    if value.len() <= MOST {
        return value;
    }
    let end = (0..=MOST).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
    &value[..end]
}

/// Whether any item differs from what is known.
fn changes(known: &ItemSet, items: &[Item<'_>], vault: &Vault) -> bool {
    let mut sorted: Vec<_> = items.iter().map(|item| (NameRef::of(&item.name), item.index, item)).collect();
    sorted.sort_by_key(|(name, index, _)| (*name, *index));
    let mut cursor = known.iter().peekable();
    for (name, index, item) in sorted {
        while cursor.next_if(|entry| (entry.name, entry.index) < (name, index)).is_some() {}
        let same = cursor.peek().is_some_and(|entry| {
            (entry.name, entry.index) == (name, index)
                && entry.status == item.status.as_deref()
                && entry.value.equals(&item.value, vault)
        });
        if !same {
            return true;
        }
    }
    false
}

/// Add items to a builder and pack it.
fn collect(mut builder: ItemSetBuilder, items: &[Item<'_>], ctx: &Context<'_>) -> Result<ItemSet, String> {
    for item in items {
        builder
            .push(&item.name, item.index, &item.value, item.status.as_deref(), ctx.vault)
            .map_err(|error| error.to_string())?;
    }
    if builder.bytes() > ctx.limits.device_bytes {
        return Err(format!("more than {} bytes of items", ctx.limits.device_bytes));
    }
    ctx.limits.pack(builder)
}

/// Whether as many changed items are attached as the phone says (WPI reference, section 8.10). They come behind the
/// basic items, the last of which is not fixed, so that only "too few" can be told.
fn attached_complete(message: &PhoneMessage<'_>) -> bool {
    let number = message
        .items
        .iter()
        .find(|item| item.name == "configuration-attached-number")
        .and_then(|item| item.value.trim().parse::<usize>().ok());
    let behind = message
        .items
        .iter()
        .rposition(|item| {
            matches!(&*item.name, "configuration-attached-number" | "configuration-attached-flag")
        })
        .map_or(0, |at| message.items.len() - at - 1);
    number.is_none_or(|number| number <= behind) && message.ignored.total() == 0
}

/// At most this many items are told in an event's text.
const TOLD: usize = 8;

fn told<'i>(items: impl Iterator<Item = (&'i str, &'i str)>) -> String {
    let list: Vec<_> = items
        .take(TOLD)
        .map(|(name, value)| format!("{name}={}", value.chars().take(64).collect::<String>()))
        .collect();
    list.join(", ")
}

fn modules(message: &PhoneMessage<'_>) -> String {
    let listed = told(
        message
            .items
            .iter()
            .filter(|item| item.name.ends_with("-modules"))
            .map(|item| (&*item.name, &*item.value)),
    );
    if listed.is_empty() { "inventory changed".to_owned() } else { format!("inventory changed: {listed}") }
}

fn file_status(message: &PhoneMessage<'_>) -> String {
    let listed = told(
        message
            .items
            .iter()
            .filter(|item| item.name.starts_with("file-deployment-"))
            .map(|item| (&*item.name, &*item.value)),
    );
    if listed.is_empty() { "status without file".to_owned() } else { listed }
}
