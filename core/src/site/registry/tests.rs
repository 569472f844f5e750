//! Sites from their making to their end.

use super::*;
use crate::store::MemoryStore;
use crate::time::Random;

const DAY: Duration = Duration::from_hours(24);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Gives this number and no other.
struct Dice(u128);

impl Random for Dice {
    fn next_u128(&self) -> u128 {
        self.0
    }
}

fn token(site: u64, secret: u128) -> SiteToken {
    SiteToken::new(SiteId::from_u64(site), [7; 32], &Dice(secret))
}

fn certificate(serial: &str) -> SiteCertificate {
    SiteCertificate { serial: serial.into(), expires: NOW.plus(DAY) }
}

fn registry(store: &Arc<MemoryStore>) -> Registry {
    Registry::new(store.clone(), 2)
}

#[test]
fn a_token_enrols_once() {
    let store = Arc::new(MemoryStore::default());
    let registry = registry(&store);
    let (one, id) = (token(1, 1), SiteId::from_u64(1));
    drop(registry.create("Branch", &one, DAY, NOW).unwrap());
    assert!(registry.check_token(&one, NOW).is_ok());
    for wrong in [token(1, 2), token(2, 1)] {
        assert!(matches!(registry.check_token(&wrong, NOW), Err(EnrolError::Token(_))));
        assert!(matches!(registry.enrol(&wrong, certificate("0f"), NOW), Err(EnrolError::Token(_))));
    }
    assert!(matches!(registry.check_token(&one, NOW.plus(DAY)), Err(EnrolError::Spent("it has ended"))));
    assert!(!registry.admits(id, "0a"));
    drop(registry.enrol(&one, certificate("0a"), NOW).unwrap());
    assert!(registry.admits(id, "0a") && !registry.admits(id, "0b") && !registry.admits(id, ""));
    assert!(matches!(registry.enrol(&one, certificate("0b"), NOW), Err(EnrolError::Spent("it was used"))));
    assert!(!registry.admits(id, "0b"));

    // A new token: the old certificate is good until it is used, then no more.
    let two = token(1, 2);
    drop(registry.retoken(&two, None, DAY, NOW).unwrap());
    assert!(registry.admits(id, "0a") && registry.check_token(&one, NOW).is_err());
    drop(registry.enrol(&two, certificate("0c"), NOW).unwrap());
    assert!(registry.admits(id, "0c") && !registry.admits(id, "0a"));
}

#[test]
fn a_certificate_is_good_until_its_successor_was_seen() {
    let store = Arc::new(MemoryStore::default());
    let registry = registry(&store);
    let id = SiteId::from_u64(1);
    drop(registry.create("Branch", &token(1, 1), DAY, NOW).unwrap());
    drop(registry.enrol(&token(1, 1), certificate("0a"), NOW).unwrap());
    drop(registry.renew(id, "0a", certificate("0b"), NOW).unwrap());
    // The answer was lost: the edge asks again, with the certificate that it has.
    drop(registry.renew(id, "0a", certificate("0c"), NOW).unwrap());
    registry.seen(id, "0a", NOW).unwrap();
    assert!(registry.admits(id, "0a") && registry.admits(id, "0c") && !registry.admits(id, "0b"));
    registry.seen(id, "0c", NOW).unwrap();
    assert!(registry.admits(id, "0c") && !registry.admits(id, "0a"));
}

#[test]
fn an_edge_that_was_replaced_gets_no_certificate() {
    let store = Arc::new(MemoryStore::default());
    let registry = registry(&store);
    let id = SiteId::from_u64(1);
    drop(registry.create("Branch", &token(1, 1), DAY, NOW).unwrap());
    drop(registry.enrol(&token(1, 1), certificate("0a"), NOW).unwrap());
    drop(registry.retoken(&token(1, 2), None, DAY, NOW).unwrap());
    drop(registry.enrol(&token(1, 2), certificate("0b"), NOW).unwrap());
    // It is still connected, and asks.
    let before = registry.get(id);
    assert!(matches!(registry.check_renewal(id, "0a", DAY, NOW), Err(EnrolError::Certificate(_))));
    assert!(matches!(registry.renew(id, "0a", certificate("0c"), NOW), Err(EnrolError::Certificate(_))));
    assert_eq!(registry.get(id), before);
    assert!(registry.admits(id, "0b") && !registry.admits(id, "0a") && !registry.admits(id, "0c"));
}

#[test]
fn a_certificate_is_not_renewed_while_it_is_young() {
    let store = Arc::new(MemoryStore::default());
    let registry = registry(&store);
    let id = SiteId::from_u64(1);
    drop(registry.create("Branch", &token(1, 1), DAY, NOW).unwrap());
    drop(registry.enrol(&token(1, 1), certificate("0a"), NOW).unwrap());
    let at = |now| registry.check_renewal(id, "0a", DAY / 2, now);
    assert!(matches!(at(NOW), Err(EnrolError::Certificate("too much of its life is left"))));
    assert!(at(NOW.plus(DAY / 2)).is_ok() && at(NOW.plus(2 * DAY)).is_ok());
    // The certificate of the renewal is young, and may never have arrived: the older one counts.
    let new = SiteCertificate { serial: "0b".into(), expires: NOW.plus(2 * DAY) };
    drop(registry.renew(id, "0a", new, NOW.plus(DAY / 2)).unwrap());
    assert!(at(NOW.plus(DAY / 2)).is_ok());
    assert!(registry.check_renewal(id, "0b", DAY / 2, NOW.plus(DAY / 2)).is_err());
}

#[test]
fn sites_come_back_from_the_store() {
    let store = Arc::new(MemoryStore::default());
    let first = registry(&store);
    drop(first.create("One", &token(1, 1), DAY, NOW).unwrap());
    drop(first.create("Two", &token(2, 2), DAY, NOW).unwrap());
    drop(first.enrol(&token(1, 1), certificate("0a"), NOW).unwrap());
    drop(first.remove(SiteId::from_u64(2), Some(1)).unwrap());
    let again = registry(&store);
    assert_eq!(again.load().unwrap(), (1, vec![]));
    assert_eq!(again.all(), first.all());
    assert!(again.admits(SiteId::from_u64(1), "0a"));
    assert!(again.check_token(&token(1, 1), NOW).is_err(), "it stays used");
}

#[test]
fn conflicts_are_told_apart() {
    let store = Arc::new(MemoryStore::default());
    let registry = registry(&store);
    let (id, none) = (SiteId::from_u64(1), SiteId::from_u64(9));
    drop(registry.create("One", &token(1, 1), DAY, NOW).unwrap());
    assert!(matches!(registry.create("One", &token(2, 2), DAY, NOW), Err(SiteError::NameTaken(_))));
    for name in ["", " ", " a", "a\nb", "\u{202e}a", &"x".repeat(129)] {
        assert!(
            matches!(registry.create(name, &token(2, 2), DAY, NOW), Err(SiteError::Field(_))),
            "{name:?}"
        );
    }
    drop(registry.create("Two", &token(2, 2), DAY, NOW).unwrap());
    assert!(matches!(registry.create("Three", &token(3, 3), DAY, NOW), Err(SiteError::Full { limit: 2 })));
    let wrong = registry.retoken(&token(1, 4), Some(9), DAY, NOW);
    assert!(matches!(wrong, Err(SiteError::Revision { expected: 9, current: 1 })));
    assert!(matches!(registry.remove(id, Some(9)), Err(SiteError::Revision { .. })));
    assert!(matches!(registry.remove(none, None), Err(SiteError::Unknown(_))));
    let unknown = registry.renew(none, "0a", certificate("0a"), NOW);
    assert!(matches!(unknown, Err(EnrolError::Site(SiteError::Unknown(_)))));
    drop(registry.remove(id, None).unwrap());
    assert!(registry.get(id).is_none() && registry.check_token(&token(1, 1), NOW).is_err());
}

#[test]
fn a_newer_site_ends_the_start_and_a_damaged_one_is_told() {
    let store = Arc::new(MemoryStore::default());
    drop(store.submit(vec![Write::put(Table::Site, "000000000002", vec![1, 2])]).unwrap());
    let (loaded, unreadable) = registry(&store).load().unwrap();
    assert!(loaded == 0 && unreadable[0].starts_with("000000000002: malformed"), "{unreadable:?}");
    drop(store.submit(vec![Write::put(Table::Site, "000000000003", vec![9, 1])]).unwrap());
    let error = registry(&store).load().unwrap_err();
    assert!(matches!(error, LoadError::Newer { table: Table::Site, found: 9, .. }), "{error}");
}
