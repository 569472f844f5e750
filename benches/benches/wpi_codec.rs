//! The WPI codec: the 24 kB read-all reply of 320 items, read and written, beside quick-xml's event reader
//! doing the same extraction.

use std::hint::black_box;

use callboard_codecs::wpi::catalogue::{self, Access, Indexed, Kind};
use callboard_codecs::wpi::{
    Action, Dialect, Fragment, ItemRef, Layout, Limits, PhoneMessageRef, Reason, ReplyStatus,
    parse_phone_message, write_phone_message, write_service_message,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../../codecs/tests/oracle/mod.rs"]
mod oracle;

const ITEMS: usize = 320;
const NONCE: &str = "4A1F00C27B9E4D5588316677AA90BC01";

/// Items as a phone of the standard workload reports them: the catalogue's readable names, likely values.
fn reported() -> Vec<(&'static str, Option<u32>, &'static str)> {
    let mut items = Vec::new();
    for (id, entry) in catalogue::all() {
        if !matches!(entry.access, Access::ReadOnly | Access::ReadWrite) {
            continue;
        }
        let value = match entry.kind {
            Kind::Bool => ["true", "false"][usize::from(id.number() % 2)],
            Kind::Integer => "3600",
            Kind::Enum => "1",
            Kind::Address | Kind::Ipv4 => "provisioning.branch-17.example.net",
            Kind::Port => "5061",
            Kind::Url => "http://192.0.2.41:8085/contact_dls.html/ContactDLS",
            Kind::Base64 | Kind::Pem => "TUlJRXBRSUJBQUtDQVFFQXY2YWxsIGludmVudGVkIG9mIGNvdXJzZQ==",
            Kind::Text => [
                "Reception desk, second floor, building 17 east, main entrance of the old building",
                "sip:4989700112@provisioning.branch-17.example.net;transport=tls;user=phone",
                "OpenScape Desk Phone CP600 in the hall, left of the stairs, beside the door",
                "Sören Grün, Änderungsdienst, Gebäude 17, zweite Etage, Zimmer 2.104",
            ][usize::from(id.number() % 4)],
        };
        match entry.indexed {
            Indexed::Yes => items.extend((1..=2).map(|index| (entry.name, Some(index), value))),
            Indexed::No | Indexed::Maybe => items.push((entry.name, None, value)),
        }
    }
    items.truncate(ITEMS);
    items
}

fn refs<'a>(items: &[(&'a str, Option<u32>, &'a str)]) -> Vec<ItemRef<'a>> {
    items.iter().map(|&(name, index, value)| ItemRef { name, index, status: None, value }).collect()
}

fn reply(items: &[ItemRef<'_>]) -> Vec<u8> {
    let reason = Reason::ReplyTo { action: Some(Action::ReadAllItems), status: Some(ReplyStatus::Accepted) };
    let message = PhoneMessageRef {
        nonce: NONCE,
        max_items: Some(-1),
        fragment: Fragment::Final,
        reason: &reason,
        items,
        layout: Layout::Indented,
    };
    let mut body = Vec::new();
    assert_eq!(write_phone_message(&mut body, &message), Ok(()));
    body
}

/// Both readers must do the same work, or the comparison means nothing.
fn assert_agreement(body: &[u8]) {
    let ours = parse_phone_message(body, &Limits::default()).map(|message| message.items);
    let theirs = oracle::extract(body).map(|message| message.items);
    assert!(matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs && ours.len() == ITEMS));
}

fn read(criterion: &mut Criterion) {
    let items = reported();
    let body = reply(&refs(&items));
    assert_eq!(items.len(), ITEMS);
    assert!((23_000..25_000).contains(&body.len()), "{} bytes", body.len());
    let limits = Limits::default();
    assert_agreement(&body);

    let mut group = criterion.benchmark_group("wpi_read_all_reply");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("callboard", |bencher| {
        bencher.iter(|| parse_phone_message(black_box(&body), &limits));
    });
    group.bench_function("quick_xml", |bencher| bencher.iter(|| oracle::extract(black_box(&body))));
    group.finish();
}

/// The same with what the short way cannot take: references, statuses, another order of attributes.
fn read_odd(criterion: &mut Criterion) {
    let items = reported();
    let body = String::from_utf8_lossy(&reply(&refs(&items)))
        .replace("second floor", "second &amp; third floor")
        .replace("<Item name", "<Item  status=\"failed\" name");
    let body = body.as_bytes();
    let limits = Limits::default();
    assert_agreement(body);

    let mut group = criterion.benchmark_group("wpi_read_odd_reply");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("callboard", |bencher| {
        bencher.iter(|| parse_phone_message(black_box(body), &limits));
    });
    group.bench_function("quick_xml", |bencher| bencher.iter(|| oracle::extract(black_box(body))));
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let items = reported();
    let items = refs(&items);
    let mut out = Vec::new();
    assert_eq!(write_service_message(&mut out, NONCE, Action::WriteItems, &items, Dialect::Current), Ok(()));

    let mut group = criterion.benchmark_group("wpi_write_items");
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("callboard", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_service_message(&mut out, NONCE, Action::WriteItems, black_box(&items), Dialect::Current)
        });
    });
    group.finish();
}

criterion_group!(benches, read, read_odd, write);
criterion_main!(benches);
