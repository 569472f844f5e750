use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_678);

fn range(text: &str) -> Range {
    text.parse().unwrap()
}

fn wish(text: &str) -> ScanWish {
    ScanWish { range: range(text), port: 8_085, service: None }
}

fn scans() -> Scans {
    Scans::new(ScanLimits { addresses: 300, running: 2, kept: 3 })
}

#[test]
fn ranges_are_read() {
    for (text, shown, len) in [
        ("192.0.2.0/24", "192.0.2.1-192.0.2.254", 254),
        ("192.0.2.0/31", "192.0.2.0-192.0.2.1", 2),
        ("192.0.2.9/32", "192.0.2.9", 1),
        (" 192.0.2.9 ", "192.0.2.9", 1),
        ("192.0.2.9-192.0.2.9", "192.0.2.9", 1),
        ("192.0.2.250 - 192.0.3.5", "192.0.2.250-192.0.3.5", 12),
        ("::ffff:192.0.2.1-192.0.2.2", "192.0.2.1-192.0.2.2", 2),
        ("2001:db8::/126", "2001:db8::-2001:db8::3", 4),
        ("0.0.0.0/0", "0.0.0.1-255.255.255.254", (1 << 32) - 2),
        ("::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", u128::MAX),
    ] {
        let range = range(text);
        assert_eq!((range.to_string(), range.len()), (shown.to_owned(), len), "{text}");
    }
    for (text, why) in [
        ("", BadRange::Form),
        ("phones", BadRange::Form),
        ("192.0.2.1-", BadRange::Form),
        ("192.0.2.1-192.0.2.3-192.0.2.5", BadRange::Form),
        ("192.0.2.1-2001:db8::1", BadRange::Mixed),
        ("192.0.2.2-192.0.2.1", BadRange::Backwards),
    ] {
        assert_eq!(text.parse::<Range>(), Err(why), "{text}");
    }
    for text in ["192.0.2.1/24", "192.0.2.0/33", "x/24"] {
        assert!(matches!(text.parse::<Range>(), Err(BadRange::Network(_))), "{text}");
    }
}

#[test]
fn a_range_gives_its_addresses() {
    let all: Vec<_> = range("192.0.2.254-192.0.3.1").iter().map(|address| address.to_string()).collect();
    assert_eq!(all, ["192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"]);
    assert_eq!(range("2001:db8::ffff-2001:db8::1:0").get(1), "2001:db8::1:0".parse().ok());
    assert_eq!(range("192.0.2.1").get(1), None);
    assert_eq!(range("255.255.255.255").iter().count(), 1);
}

#[test]
fn a_scan_calls_each_address_once_and_ends() {
    let mut scans = scans();
    let id = scans.begin(wish("192.0.2.1-192.0.2.3"), NOW).unwrap().id;
    let probes: Vec<_> = std::iter::from_fn(|| scans.next()).collect();
    let called: Vec<_> = probes.iter().map(|probe| probe.address.to_string()).collect();
    assert_eq!(called, ["192.0.2.1:8085", "192.0.2.2:8085", "192.0.2.3:8085"]);
    let answers = [
        ScanAnswer::Nothing(CallOutcome::TimedOut),
        ScanAnswer::Phone,
        ScanAnswer::Skipped(NotCallable::Own),
    ];
    for (probe, answer) in probes.iter().zip(answers).rev() {
        assert_eq!(scans.get(id).unwrap().state, ScanState::Running);
        scans.answered(probe, answer, NOW);
        // An answer counts once.
        scans.answered(probe, answer, NOW);
    }
    let scan = scans.get(id).unwrap();
    assert_eq!((scan.state, scan.ended), (ScanState::Done, Some(NOW)));
    let counts = ScanCounts { tried: 3, phones: 1, others: 0, nothing: 1, skipped: 1 };
    assert_eq!(scan.counts, counts);
    let found: Vec<_> = scan.answers(1).map(|(number, address, _)| (number, address.to_string())).collect();
    assert_eq!(found, [(1, "192.0.2.2".to_owned()), (2, "192.0.2.3".to_owned())]);
}

#[test]
fn scans_take_turns_and_can_be_cancelled() {
    let mut scans = scans();
    let one = scans.begin(wish("192.0.2.0/24"), NOW).unwrap().id;
    let two = scans.begin(wish("198.51.100.0/24"), NOW).unwrap().id;
    assert!(two > one);
    assert_eq!(scans.begin(wish("203.0.113.1"), NOW).unwrap_err(), ScanRefused::Running(2));
    let turns: Vec<_> = (0..4).map(|_| scans.next().unwrap().scan).collect();
    assert_eq!(turns, [one, two, one, two]);
    let last = scans.next().unwrap();
    assert_eq!(scans.end(one, NOW), Some(ScanState::Running));
    scans.answered(&last, ScanAnswer::Phone, NOW);
    assert_eq!(scans.get(one).unwrap().counts.tried, 0, "it has ended");
    assert_eq!((scans.next().unwrap().scan, scans.next().unwrap().scan), (two, two));
    assert_eq!(scans.end(one, NOW), Some(ScanState::Cancelled));
    assert_eq!((scans.end(one, NOW), scans.get(one).is_none()), (None, true));
}

#[test]
fn scans_are_bounded() {
    let mut scans = scans();
    let refused = scans.begin(wish("10.0.0.0/8"), NOW).unwrap_err();
    assert_eq!(refused, ScanRefused::TooLarge { addresses: (1 << 24) - 2, limit: 300 });
    assert!(scans.begin(wish("::/0"), NOW).is_err());
    let ids: Vec<_> = (0..5)
        .map(|_| {
            let id = scans.begin(wish("192.0.2.0/24"), NOW).unwrap().id;
            scans.end(id, NOW);
            id
        })
        .collect();
    let kept: Vec<_> = scans.all().map(|scan| scan.id).collect();
    assert_eq!(kept, [ids[4], ids[3], ids[2]]);
}
