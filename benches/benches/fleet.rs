//! A device of 320 items: packed from a read-all, compared with templates, laid into the fleet, and told all that in a
//! whole boot dialogue. The store is in memory; `commit` measures the disk, `wpi_codec` the XML.

#![allow(missing_docs, clippy::unwrap_used)]

use std::future::Future;
use std::hint::black_box;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use callboard_codecs::wpi::catalogue::{self, Access, Indexed, Kind};
use callboard_codecs::wpi::{Action, Fragment, Ignored, Item, PhoneMessage, Reason, ReplyStatus};
use callboard_core::device::{Device, DeviceId, DeviceUpdate, decode, encode};
use callboard_core::dialogue::sessions::Cookie;
use callboard_core::dialogue::wpi::Door;
use callboard_core::item::{ItemKey, ItemSet, ItemSetBuilder};
use callboard_core::policy::{
    AppliesTo, Facts, Occasion, Template, TemplateId, TemplateItem, TemplateKind, difference,
};
use callboard_core::secret::Vault;
use callboard_core::service::sip::admin::DeviceCredentials;
use callboard_core::service::{Service, WpiRequest, WpiResponse};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[path = "../../core/tests/replay/world.rs"]
#[allow(dead_code)] // tests use more of it
mod world;

use world::{Branch, World, settings};

const ITEMS: usize = 320;
const WRITTEN: usize = 12;

type Reported = Vec<(&'static str, Option<u32>, &'static str)>;

/// Items as a phone of the standard workload reports them: the catalogue's readable names, likely values.
fn reported() -> Reported {
    let mut items = vec![("mac-addr", None, "00:1A:E8:0A:0B:0C")];
    for (id, entry) in catalogue::all() {
        if !matches!(entry.access, Access::ReadOnly | Access::ReadWrite) || entry.name == "mac-addr" {
            continue;
        }
        let value = match entry.kind {
            Kind::Bool => ["true", "false"][usize::from(id.number() % 2)],
            Kind::Integer => "3600",
            Kind::Enum => "1",
            Kind::Port => "5061",
            Kind::Address | Kind::Ipv4 => "provisioning.branch-17.example.net",
            _ => "Reception desk, second floor, building 17 east",
        };
        match entry.indexed {
            Indexed::Yes => items.extend((1..=2).map(|index| (entry.name, Some(index), value))),
            Indexed::No | Indexed::Maybe => items.push((entry.name, None, value)),
        }
    }
    items.truncate(ITEMS);
    items
}

fn pack(items: &Reported, vault: &Vault) -> ItemSet {
    let mut builder = ItemSetBuilder::with_capacity(items.len());
    for (name, index, value) in items {
        builder.push(name, *index, value, None, vault).unwrap();
    }
    builder.build(ITEMS).unwrap()
}

/// Two templates of different ranking that together change twelve of the items.
fn templates(items: &Reported, service: &Service) -> [Template; 2] {
    let writable = |name: &str| {
        let entry = catalogue::lookup(name).map(catalogue::entry);
        entry.is_some_and(|entry| {
            entry.access == Access::ReadWrite && entry.kind == Kind::Text && !entry.secret
        })
    };
    let keys: Vec<_> = items
        .iter()
        .filter(|(name, ..)| writable(name))
        .take(WRITTEN)
        .map(|(name, index, _)| ItemKey::new(name, *index))
        .collect();
    [(1, &keys[..8]), (2, &keys[4..])].map(|(number, keys)| Template {
        id: TemplateId::from_u64(number),
        revision: 0,
        name: format!("template {number}").into(),
        description: "".into(),
        kind: TemplateKind::Default,
        ranking: u32::try_from(number).unwrap(),
        device_types: Vec::new(),
        software_types: Vec::new(),
        applies_to: AppliesTo::All,
        items: keys
            .iter()
            .map(|key| TemplateItem::new(key.clone(), "set by %%{mac,plain}", service.vault()).unwrap())
            .collect(),
        created: service.now(),
        changed: service.now(),
    })
}

fn world(items: &Reported) -> World {
    let world = World::new(settings());
    for template in templates(items, &world.service) {
        now(world.service.put_template(template, true, None)).unwrap();
    }
    world
}

/// Run a future that waits for nothing.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the store in memory commits at once"),
    }
}

fn device_id() -> DeviceId {
    "00:1a:e8:0a:0b:0c".parse().unwrap()
}

fn items(criterion: &mut Criterion) {
    let items = reported();
    let world = world(&items);
    let vault = world.service.vault();
    let set = pack(&items, vault);
    let device = Device { reported: set.clone(), ..Device::new(device_id()) };
    let policy = world.service.templates.policy();
    let plan = || {
        let desired = policy.desired(Facts::of(&device), Occasion::Later);
        difference(desired, &device, &device.reported, vault)
    };
    assert_eq!((set.len(), plan().writes.len()), (ITEMS, WRITTEN));

    let mut group = criterion.benchmark_group("items_320");
    group.throughput(Throughput::Elements(ITEMS as u64));
    group.bench_function("pack_read_all", |bencher| bencher.iter(|| pack(black_box(&items), vault)));
    group.bench_function("merge_one_change", |bencher| {
        bencher.iter(|| {
            let mut builder = ItemSetBuilder::from_set(black_box(&set));
            builder.push("hostname", None, "other", None, vault).unwrap();
            builder.build(ITEMS + 1)
        });
    });
    group.bench_function("difference_of_two_templates", |bencher| bencher.iter(|| black_box(plan())));
    group.finish();
}

fn fleet(criterion: &mut Criterion) {
    let items = reported();
    let world = world(&items);
    let fleet = &world.service.fleet;
    let update =
        DeviceUpdate { reported: Some(pack(&items, world.service.vault())), ..DeviceUpdate::default() };
    let device = update.clone().apply(&Device::new(device_id()));
    let record = encode(&device).unwrap();
    let id = device_id();

    let mut group = criterion.benchmark_group("device_320");
    group.throughput(Throughput::Bytes(record.len() as u64));
    group.bench_function("upsert", |bencher| {
        bencher.iter_batched(
            || update.clone(),
            |update| fleet.update(&id, true, |current| Ok(update.apply(current))).map(|done| done.0.revision),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&device))));
    group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&record))));
    group.finish();
}

/// A message as the codec gives it.
fn message<'a>(
    nonce: &'a str,
    reason: Reason<'a>,
    items: &[(&'a str, Option<u32>, &'a str)],
) -> PhoneMessage<'a> {
    let item = |&(name, index, value): &(&'a str, _, &'a str)| Item {
        name: name.into(),
        index,
        status: None,
        value: value.into(),
    };
    PhoneMessage {
        nonce,
        max_items: None,
        fragment: Fragment::Final,
        reason,
        items: items.iter().map(item).collect(),
        ignored: Ignored::default(),
    }
}

fn say(world: &World, message: &PhoneMessage<'_>, cookie: Option<Cookie>, digest: u64) -> WpiResponse {
    let request = WpiRequest {
        message,
        door: &Door::Default,
        source: IpAddr::from([192, 0, 2, 41]),
        host: Some("198.51.100.7:18443"),
        digest,
        cookie,
        has_cookie: cookie.is_some(),
        connection: None,
        sender: &Branch { spent: false },
        shed: None,
    };
    now(world.service.wpi(request))
}

fn boot(criterion: &mut Criterion) {
    let items = reported();
    let world = world(&items);
    let opening = message("A1", Reason::StartUp, &items[..18]);
    let accepted = |action| Reason::ReplyTo { action: Some(action), status: Some(ReplyStatus::Accepted) };
    let all = message("A2", accepted(Action::ReadAllItems), &items);
    let written = message("A3", accepted(Action::WriteItems), &[]);
    let mut digest = 0;
    let mut dialogue = || {
        // The phone is a new one each time, and so is its message.
        digest += 1;
        // The very first time there is none.
        drop(now(world.service.delete_device(&device_id(), None, DeviceCredentials::Forget)));
        let first = say(&world, &opening, None, digest);
        let second = say(&world, &all, first.set_cookie, digest);
        let third = say(&world, &written, first.set_cookie, digest);
        [first, second, third].map(|response| response.reply.action)
    };
    assert_eq!(dialogue(), [Action::ReadAllItems, Action::WriteItems, Action::CleanUp]);
    criterion.bench_function("boot_dialogue_320", |bencher| bencher.iter(&mut dialogue));
}

criterion_group!(benches, items, fleet, boot);
criterion_main!(benches);
