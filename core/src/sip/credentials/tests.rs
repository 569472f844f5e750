//! Realms and credentials from their making to their end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::secret::{KEY_LEN, Vault};
use crate::store::{LoadError, MemoryStore, Store as _, Table, Write};

fn registry(store: &Arc<MemoryStore>) -> Credentials {
    bounded(store, CredentialLimits { realms: 3, credentials: 1_000 })
}

fn bounded(store: &Arc<MemoryStore>, limits: CredentialLimits) -> Credentials {
    Credentials::new(store.clone(), Arc::new(Vault::new(&[1; KEY_LEN]).unwrap()), limits)
}

fn with_realms(store: &Arc<MemoryStore>, names: &[&str]) -> Credentials {
    let registry = registry(store);
    for name in names {
        let domains = vec![format!("{name}.example").parse().unwrap()];
        drop(registry.put_realm(realm(name), domains, true, None).unwrap());
    }
    registry
}

fn realm(name: &str) -> RealmName {
    name.parse().unwrap()
}

fn user(name: &str) -> Username {
    name.parse().unwrap()
}

fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn wish(in_realm: &str, username: &str, of: Option<&str>, password: Option<&str>) -> CredentialWish {
    CredentialWish {
        realm: realm(in_realm),
        username: user(username),
        device: of.map(device),
        password: password.map(Secret::new),
    }
}

fn add(registry: &Credentials, in_realm: &str, username: &str, of: Option<&str>) {
    let _ = registry.put(wish(in_realm, username, of, Some("secret")), true, None).unwrap();
}

fn list(registry: &Credentials, filter: &CredentialFilter, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let names = after
            .as_ref()
            .map(|(realm, username): &(RealmName, Username)| (realm.as_str(), username.as_str()));
        let page = registry.page(names, limit, filter);
        assert!(page.credentials.len() <= limit);
        all.extend(page.credentials.iter().map(|one| format!("{}/{}", one.realm, one.username)));
        let Some(next) = page.next else { return all };
        after = Some(next);
    }
}

#[test]
fn what_was_stored_comes_back() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a", "b"]);
    let (one, _) = registry.put(wish("a", "100", Some("phone-1"), Some("1234")), true, None).unwrap();
    add(&registry, "b", "100", None);
    add(&registry, "b", "101", None);
    drop(registry.remove(&realm("b"), &user("101"), Some(1)).unwrap());
    let again = self::registry(&Arc::new(store.reopen()));
    let loaded = again.load().unwrap();
    assert_eq!((loaded.realms, loaded.credentials, loaded.unreadable), (2, 2, 0));
    assert_eq!(again.find("a", "100").unwrap(), one);
    assert_eq!(again.find("a", "100").unwrap().ha1, Ha1::of("100", "a", &Secret::new("1234")).unwrap());
    assert_eq!(again.find("b", "101"), None);
    assert_eq!(again.realm_of("A.EXAMPLE").unwrap().name, realm("a"));
    let of_phone = CredentialFilter { device: Some(device("phone-1")), ..CredentialFilter::default() };
    assert_eq!(list(&again, &of_phone, 10), ["a/100"]);
    assert_eq!((again.count("a"), again.count("b"), again.count("c")), (1, 1, 0));
}

#[test]
fn a_password_is_hashed_and_shows_nowhere() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a"]);
    let wanted = wish("a", "100", None, Some("hunter2"));
    let wished = format!("{wanted:?}");
    let (one, _) = registry.put(wanted, true, None).unwrap();
    let shown = format!("{wished} {one:?} {registry:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("[1") && shown.contains("Ha1(…)"), "{shown}");
    let record = store.get(Table::SipCredential, "a/100").unwrap();
    assert!(!record.windows(7).any(|part| part == b"hunter2"));
}

#[test]
fn changes_follow_revisions_and_keep_what_they_do_not_name() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a"]);
    let put = |wish, create, expected| registry.put(wish, create, expected);
    assert!(matches!(put(wish("a", "100", None, Some("x")), false, None), Err(CredentialError::Unknown(..))));
    assert!(matches!(
        put(wish("z", "100", None, Some("x")), true, None),
        Err(CredentialError::UnknownRealm(_))
    ));
    assert!(matches!(put(wish("a", "100", None, None), true, None), Err(CredentialError::Password)));
    assert!(matches!(put(wish("a", "100", None, Some("")), true, None), Err(CredentialError::Password)));
    let long = "x".repeat(crate::sip::digest::MAX_PASSWORD_BYTES + 1);
    assert!(matches!(put(wish("a", "100", None, Some(&long)), true, None), Err(CredentialError::Password)));
    let (first, _) = put(wish("a", "100", Some("phone-1"), Some("x")), true, None).unwrap();
    let stale = put(wish("a", "100", None, Some("y")), false, Some(7));
    assert!(matches!(stale, Err(CredentialError::Revision { expected: 7, current: 1 })));
    let (second, _) = put(wish("a", "100", Some("phone-2"), None), false, Some(1)).unwrap();
    assert_eq!(
        (second.revision, second.device.as_ref(), &second.ha1),
        (2, Some(&device("phone-2")), &first.ha1)
    );
    let (third, _) = put(wish("a", "100", None, Some("y")), true, Some(2)).unwrap();
    assert_ne!(third.ha1, first.ha1);
    for phone in ["phone-1", "phone-2"] {
        let filter = CredentialFilter { device: Some(device(phone)), ..CredentialFilter::default() };
        assert_eq!(list(&registry, &filter, 10), [""; 0], "{phone}");
    }
    assert_eq!(registry.count("a"), 1);
    assert!(matches!(
        registry.remove(&realm("a"), &user("100"), Some(2)),
        Err(CredentialError::Revision { .. })
    ));
    drop(registry.remove(&realm("a"), &user("100"), Some(3)).unwrap());
    assert!(matches!(registry.remove(&realm("a"), &user("100"), None), Err(CredentialError::Unknown(..))));
    assert_eq!((registry.find("a", "100"), store.get(Table::SipCredential, "a/100")), (None, None));
}

#[test]
fn a_realm_with_credentials_stays() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a"]);
    add(&registry, "a", "100", None);
    add(&registry, "a", "101", None);
    assert!(matches!(
        registry.remove_realm(&realm("a"), None),
        Err(CredentialError::RealmInUse { credentials: 2 })
    ));
    for username in ["100", "101"] {
        drop(registry.remove(&realm("a"), &user(username), None).unwrap());
    }
    assert!(matches!(registry.remove_realm(&realm("a"), Some(2)), Err(CredentialError::Revision { .. })));
    drop(registry.remove_realm(&realm("a"), Some(1)).unwrap());
    assert!(matches!(registry.remove_realm(&realm("a"), None), Err(CredentialError::UnknownRealm(_))));
    assert_eq!((registry.realm("a"), registry.realm_of("a.example")), (None, None));
    assert!(store.get(Table::SipRealm, "a").is_none());
}

#[test]
fn no_two_realms_cover_a_domain() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a", "b"]);
    let put = |name: &str, domains: &[&str], expected| {
        let domains = domains.iter().map(|domain| domain.parse().unwrap()).collect();
        registry.put_realm(realm(name), domains, true, expected)
    };
    assert!(matches!(put("b", &["A.example"], None), Err(CredentialError::DomainTaken { .. })));
    assert!(matches!(put("b", &[], Some(9)), Err(CredentialError::Revision { expected: 9, current: 1 })));
    let (changed, _) = put("a", &["new.example", "new.example", "192.0.2.1"], Some(1)).unwrap();
    assert_eq!((changed.revision, changed.domains.len()), (2, 2));
    assert_eq!(registry.realm_of("a.example"), None, "what it does not cover any more is free");
    drop(put("b", &["a.example"], None).unwrap());
    drop(put("a", &[], None).unwrap());
    assert!(matches!(put("b", &[], None), Err(CredentialError::RestTaken(other)) if other == realm("a")));
    assert_eq!(registry.realm_of("elsewhere.example").unwrap().name, realm("a"));
    assert_eq!(registry.realm_of("a.example").unwrap().name, realm("b"));
    let many: Vec<_> = (0..=MAX_DOMAINS).map(|at| format!("d{at}.example").parse().unwrap()).collect();
    let refused = registry.put_realm(realm("b"), many, false, None);
    assert!(matches!(refused, Err(CredentialError::Full { limit: MAX_DOMAINS, .. })));
}

#[test]
fn bounds_hold() {
    let store = Arc::new(MemoryStore::default());
    let registry = bounded(&store, CredentialLimits { realms: 1, credentials: 2 });
    drop(registry.put_realm(realm("a"), vec![], true, None).unwrap());
    let second = registry.put_realm(realm("b"), vec!["b.example".parse().unwrap()], true, None);
    assert!(matches!(second, Err(CredentialError::Full { limit: 1, .. })));
    let unknown = registry.put_realm(realm("b"), vec![], false, None);
    assert!(matches!(unknown, Err(CredentialError::UnknownRealm(_))));
    add(&registry, "a", "100", None);
    add(&registry, "a", "101", None);
    let third = registry.put(wish("a", "102", None, Some("x")), true, None);
    assert!(matches!(third, Err(CredentialError::Full { limit: 2, .. })));
    let _ = registry.put(wish("a", "101", None, Some("x")), true, None).unwrap();
}

#[test]
fn a_device_has_only_so_many() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a"]);
    for number in 0..MAX_PER_DEVICE {
        add(&registry, "a", &number.to_string(), Some("phone-1"));
    }
    let one_more = registry.put(wish("a", "x", Some("phone-1"), Some("x")), true, None);
    assert!(matches!(one_more, Err(CredentialError::Full { limit: MAX_PER_DEVICE, .. })));
    add(&registry, "a", "0", Some("phone-1"));
    add(&registry, "a", "x", Some("phone-2"));
}

#[test]
fn what_cannot_be_read_stays_and_is_told() {
    let store = Arc::new(MemoryStore::default());
    let first = with_realms(&store, &["a", "b"]);
    for username in ["100", "101", "102"] {
        add(&first, "a", username, None);
    }
    let foreign = store.get(Table::SipCredential, "a/100").unwrap();
    let put =
        |key: &str, value| drop(store.submit(vec![Write::put(Table::SipCredential, key, value)]).unwrap());
    put("a/103", foreign.clone());
    put("a/104", vec![1, 2, 3]);
    put("a/105", vec![]);
    store.damage(Table::SipCredential, "a/101");
    let name = store.get(Table::SipRealm, "b").unwrap();
    drop(store.submit(vec![Write::put(Table::SipRealm, "c", name)]).unwrap());
    let again = registry(&store);
    let loaded = again.load().unwrap();
    assert_eq!((loaded.realms, loaded.credentials, loaded.unreadable), (2, 2, 5), "{loaded:?}");
    assert_eq!(loaded.reasons.len(), 5);
    assert!(loaded.reasons.iter().any(|reason| reason.starts_with("a/103: holds 100 of a")), "{loaded:?}");
    assert_eq!(again.unreadable(), 5);
    assert_eq!(store.get(Table::SipCredential, "a/103"), Some(foreign));
    // Without its realm a credential is nothing, and the list of reasons is bounded.
    drop(store.submit(vec![Write::delete(Table::SipRealm, "a")]).unwrap());
    for number in 0..200 {
        put(&format!("a/{number:05}"), vec![]);
    }
    let loaded = registry(&store).load().unwrap();
    assert_eq!((loaded.realms, loaded.credentials), (1, 0));
    assert!(loaded.unreadable > 200 && loaded.reasons.len() == 100);
}

#[test]
fn a_newer_record_ends_the_start() {
    for (table, key) in [(Table::SipRealm, "a"), (Table::SipCredential, "a/100")] {
        let store = Arc::new(MemoryStore::default());
        drop(store.submit(vec![Write::put(table, key, vec![9, 1, 2])]).unwrap());
        let error = registry(&store).load().unwrap_err();
        assert!(matches!(error, LoadError::Newer { found: 9, supported: 1, .. }), "{error}");
        assert_eq!(store.get(table, key), Some(vec![9, 1, 2]));
    }
}

#[test]
fn a_refused_write_changes_nothing() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a"]);
    add(&registry, "a", "100", None);
    store.fail("broken");
    assert!(matches!(
        registry.put(wish("a", "101", None, Some("x")), true, None),
        Err(CredentialError::Submit(_))
    ));
    assert!(matches!(registry.remove(&realm("a"), &user("100"), None), Err(CredentialError::Submit(_))));
    assert!(matches!(registry.put_realm(realm("a"), vec![], true, None), Err(CredentialError::Submit(_))));
    assert_eq!((registry.count("a"), registry.realm("a").unwrap().revision), (1, 1));
    assert!(registry.find("a", "101").is_none() && registry.realm_of("a.example").is_some());
}

#[test]
fn names_too_long_for_a_key_come_back_too() {
    let store = Arc::new(MemoryStore::default());
    let registry = registry(&store);
    let (name, username) = ("/".repeat(MAX_NAME_BYTES), "x".repeat(MAX_NAME_BYTES));
    drop(registry.put_realm(realm(&name), vec![], true, None).unwrap());
    add(&registry, &name, &username, None);
    let again = self::registry(&store);
    assert_eq!(again.load().unwrap().credentials, 1);
    drop(again.remove(&realm(&name), &user(&username), Some(1)).unwrap());
    assert_eq!(self::registry(&store).load().unwrap().credentials, 0);
}

#[test]
fn a_challenge_of_a_phone_is_answered_with_its_own_credentials_alone() {
    let store = Arc::new(MemoryStore::default());
    let registry = with_realms(&store, &["a", "b"]);
    add(&registry, "a", "100", Some("phone-1"));
    add(&registry, "a", "auth-101", Some("phone-1"));
    add(&registry, "a", "102", Some("phone-2"));
    add(&registry, "a", "103", None);
    add(&registry, "b", "auth-1", Some("phone-1"));
    let (one, two) = (device("phone-1"), device("phone-2"));
    let ask = |realm: &str, proven, device, user| {
        registry.answering(realm, &Line { proven, device, user }).map(|one| one.username.to_string())
    };
    let found = |name: &str| Some(name.to_owned());
    assert_eq!(ask("a", None, Some(&one), "100"), found("100"));
    assert_eq!(ask("a", Some(("a", "auth-101")), Some(&one), "101"), found("auth-101"));
    assert_eq!(ask("a", Some(("a", "103")), None, "103"), found("103"), "it registered with them");
    assert_eq!(ask("b", Some(("a", "auth-101")), Some(&one), "101"), found("auth-1"), "its only ones there");
    assert_eq!(ask("a", None, Some(&one), "101"), None, "it has several");
    assert_eq!(ask("a", None, Some(&two), "100"), found("102"), "never those of another device");
    assert_eq!(ask("a", None, Some(&one), "102"), None);
    assert_eq!(ask("a", None, None, "103"), None, "who proved nothing gets nothing");
    assert_eq!(ask("b", Some(("a", "103")), None, "auth-1"), None);
    assert_eq!(ask("phone's own", Some(("a", "100")), Some(&one), "100"), None);
}

proptest! {
    /// Whatever is put and removed: pages, counts and finds agree with a plain map, and with what a restart finds.
    #[test]
    fn lists_agree_with_a_map(
        steps in prop::collection::vec(
            (0_usize..3, "[ab]{1,3}", prop::option::of(0_usize..3), prop::bool::weighted(0.7)), 0..60),
        limit in 1_usize..5,
        wanted_realm in prop::option::of(0_usize..3),
        wanted_device in prop::option::of(0_usize..3),
        prefix in "[ab]{0,2}",
    ) {
        let realms = ["a", "a/b", "b"];
        let devices = ["phone-1", "phone-2", "00:1a:e8:00:00:01"];
        let store = Arc::new(MemoryStore::default());
        let registry = registry(&store);
        for (at, name) in realms.iter().enumerate() {
            let domain = format!("d{at}.example").parse().unwrap();
            drop(registry.put_realm(realm(name), vec![domain], true, None).unwrap());
        }
        let mut model = BTreeMap::new();
        for (at, username, of, put) in steps {
            let key = (realms[at], username.clone());
            if put {
                add(&registry, realms[at], &username, of.map(|of| devices[of]));
                model.insert(key, of);
            } else {
                let removed = registry.remove(&realm(realms[at]), &user(&username), None);
                prop_assert_eq!(removed.is_ok(), model.remove(&key).is_some());
            }
        }
        let filter = CredentialFilter {
            realm: wanted_realm.map(|at| realm(realms[at])),
            device: wanted_device.map(|at| device(devices[at])),
            username_prefix: Some(prefix.clone()),
        };
        let expected: Vec<_> = model
            .iter()
            .filter(|((name, username), of)| {
                wanted_realm.is_none_or(|at| realms[at] == *name)
                    && wanted_device.is_none_or(|at| **of == Some(at))
                    && username.starts_with(&prefix)
            })
            .map(|((name, username), _)| format!("{name}/{username}"))
            .collect();
        prop_assert_eq!(&list(&registry, &filter, limit), &expected);
        let again = self::registry(&store);
        prop_assert_eq!(again.load().unwrap().credentials, model.len());
        prop_assert_eq!(&list(&again, &filter, limit), &expected);
        for ((name, username), of) in &model {
            let found = again.find(name, username).unwrap();
            prop_assert_eq!(&found.device, &of.map(|of| device(devices[of])));
        }
    }
}
