//! Who may use SNMP, from the making of resources to their end.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::event::EventKind;
use crate::secret::{KEY_LEN, Secret, Vault};
use crate::snmp::protocol::{AuthProtocol, PrivProtocol, SecurityLevel};
use crate::store::{LoadError, MemoryStore, Store as _, Table, Write};

fn vault(byte: u8) -> Arc<Vault> {
    Arc::new(Vault::new(&[byte; KEY_LEN]).unwrap())
}

fn access(store: &Arc<MemoryStore>) -> Access {
    Access::new(store.clone(), vault(1))
}

fn empty() -> Access {
    access(&Arc::default())
}

fn name(text: &str) -> ResourceName {
    text.parse().unwrap()
}

pub(super) fn view(include: &[&str], exclude: &[&str]) -> View {
    let subtrees = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Subtree>>();
    View::new(subtrees(include), subtrees(exclude))
}

fn group(views: [Option<&str>; 3]) -> Group {
    Group { views: views.map(|view| view.map(name)) }
}

/// A user with passwords, of no group.
fn user(auth: &str, privacy: &str) -> UserWish {
    UserWish {
        auth_protocol: Some(AuthProtocol::Sha256),
        auth_password: Some(Secret::new(auth)),
        priv_protocol: Some(PrivProtocol::Aes128),
        priv_password: Some(Secret::new(privacy)),
        ..UserWish::default()
    }
}

fn community(text: &str) -> CommunityWish {
    CommunityWish {
        community: Some(Secret::new(text)),
        versions: Versions { v1: true, v2c: true },
        group: None,
        notifications: false,
        networks: Vec::new(),
    }
}

fn receiver(version: Version) -> ReceiverWish {
    let is_v3 = version == Version::V3;
    ReceiverWish {
        enabled: true,
        address: "192.0.2.7:162".parse().unwrap(),
        version,
        community: (!is_v3).then(|| Secret::new("told")),
        user: is_v3.then(|| name("noc")),
        level: is_v3.then_some(SecurityLevel::AuthPriv),
        mode: Mode::Trap,
        timeout: Duration::from_millis(USUAL_TIMEOUT_MILLIS.into()),
        filter: Filter::default(),
    }
}

/// Make one that is new.
fn add<R: Resource>(access: &Access, text: &str, wish: R::Wish) {
    let (made, ticket) = access.put::<R>(name(text), wish, true, Some(0)).unwrap();
    ticket.wait().unwrap();
    assert_eq!(made.revision, 1);
}

/// The fields for which a wish is refused.
fn faults<R: Resource>(access: &Access, text: &str, wish: R::Wish) -> Vec<String> {
    match access.put::<R>(name(text), wish, true, None) {
        Err(AccessError::Fields(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
        other => panic!("{other:?}"),
    }
}

/// Group `g` may read the view `v` with a password, and `all` with encryption.
fn with_group(access: &Access) {
    add::<View>(access, "v", view(&["1.3.6.1.2"], &[]));
    add::<Group>(access, "g", group([None, Some("v"), Some("all")]));
}

#[test]
fn what_is_stored_is_looked_up_also_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let first = access(&store);
    with_group(&first);
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let wish = UserWish {
        user_name: Some("the noc".parse().unwrap()),
        group: Some(name("g")),
        notifications: Some(SecurityLevel::AuthNoPriv),
        networks: networks.clone(),
        ..user("auth-word", "priv-word")
    };
    add::<User>(&first, "noc", wish);
    let wish =
        CommunityWish { group: Some(name("g")), notifications: true, networks, ..community("secret 1") };
    add::<Community>(&first, "c", wish);
    add::<Receiver>(&first, "one", receiver(Version::V3));
    let filter =
        Filter { kinds: [EventKind::TaskFailed, EventKind::AdminChange].into(), ..Filter::default() };
    let wish = ReceiverWish { filter, mode: Mode::Inform, enabled: false, ..receiver(Version::V2c) };
    add::<Receiver>(&first, "two", wish);

    let again = access(&Arc::new(store.reopen()));
    let loaded = again.load().unwrap();
    let wanted = LoadedAccess { users: 1, communities: 1, receivers: 2, ..LoadedAccess::default() };
    assert_eq!(loaded, wanted);
    for access in [&first, &again] {
        let now = access.snapshot();
        let known = now.user(b"the noc").unwrap();
        let auth = known.user.auth.as_ref().unwrap();
        assert_eq!((auth.protocol, auth.secret.expose()), (AuthProtocol::Sha256, "auth-word"));
        assert_eq!(known.user.privacy.as_ref().unwrap().secret.expose(), "priv-word");
        assert!(known.view(SecurityLevel::NoAuthNoPriv).is_none());
        let internet = [1, 3, 6, 1, 4];
        assert!(!known.view(SecurityLevel::AuthNoPriv).unwrap().contains(&internet));
        assert!(known.view(SecurityLevel::AuthPriv).unwrap().contains(&internet));
        let levels = SecurityLevel::ALL.map(|level| known.user.may_notify(level));
        assert_eq!(levels, [false, true, true]);
        let sources = ["192.0.2.9", "::ffff:192.0.2.9", "192.0.3.9"].map(|text| text.parse().unwrap());
        assert_eq!(sources.map(|source| known.user.is_from(source)), [true, true, false]);
        assert!(now.user(b"noc").is_none() && now.user(b"The noc").is_none());

        let known = now.community(b"secret 1").unwrap();
        assert_eq!(sources.map(|source| known.is_good(Version::V1, source)), [true, true, false]);
        assert!(!known.is_good(Version::V3, sources[0]) && known.community.notifications);
        assert!(known.view().is_none(), "the group wants more than a community gives");
        assert!(now.community(b"secret 2").is_none() && now.community(b"").is_none());

        let [one, two] = now.receivers() else { panic!("{now:?}") };
        assert!(one.is_complete() && Arc::ptr_eq(one.user.as_ref().unwrap(), now.user(b"the noc").unwrap()));
        assert!(two.is_complete() && two.user.is_none() && !two.receiver.enabled);
        assert_eq!(two.receiver.community().unwrap().expose(), "told");
        assert_eq!(two.receiver.filter.kinds, [EventKind::TaskFailed, EventKind::AdminChange].into());
    }
}

#[test]
fn each_change_is_a_new_snapshot_that_holds_at_once() {
    let access = empty();
    let before = access.snapshot();
    add::<Community>(&access, "c", community("one"));
    let (_, ticket) = access.put::<Community>(name("c"), community("two"), false, Some(1)).unwrap();
    let now = access.snapshot();
    assert!(now.community(b"one").is_none() && now.community(b"two").is_some());
    assert!(before.community(b"one").is_none() && now.generation() > before.generation() + 1);
    ticket.wait().unwrap();
    access.remove::<Community>(&name("c"), Some(2)).unwrap().wait().unwrap();
    assert!(access.snapshot().community(b"two").is_none() && now.community(b"two").is_some());
}

#[test]
fn changes_are_based_on_what_there_is() {
    let access = empty();
    let put = |create, expected| {
        access.put::<Community>(name("c"), community("x"), create, expected).map(|put| put.0)
    };
    assert!(matches!(put(false, None), Err(AccessError::Unknown { kind: "community", .. })));
    assert_eq!(put(true, Some(0)).unwrap().revision, 1);
    assert!(matches!(put(true, Some(0)), Err(AccessError::Revision { expected: 0, current: 1 })));
    assert_eq!(put(false, None).unwrap().revision, 2);
    let refused = access.remove::<Community>(&name("c"), Some(1));
    assert!(matches!(refused, Err(AccessError::Revision { expected: 1, current: 2 })));
    drop(access.remove::<Community>(&name("c"), Some(2)).unwrap());
    let refused = access.remove::<Community>(&name("c"), None);
    assert!(matches!(refused, Err(AccessError::Unknown { .. })));
}

#[test]
fn there_are_only_so_many() {
    let access = empty();
    for number in 0..Receiver::LIMIT {
        add::<Receiver>(&access, &format!("r{number}"), receiver(Version::V2c));
    }
    let refused = access.put::<Receiver>(name("more"), receiver(Version::V1), true, None);
    assert_eq!(refused.unwrap_err().to_string(), "there are 32 receivers already");
    drop(access.put::<Receiver>(name("r0"), receiver(Version::V1), false, None).unwrap());
    // Those that are built in do not count.
    for number in 0..View::LIMIT {
        add::<View>(&access, &format!("v{number}"), view(&["1"], &[]));
    }
    let refused = access.put::<View>(name("more"), view(&["1"], &[]), true, None);
    assert!(matches!(refused, Err(AccessError::Full { limit: 256, .. })));
}

#[test]
fn the_view_all_is_there_and_stays() {
    let access = empty();
    let all = access.get::<View>("all").unwrap();
    assert!(all.is_built_in() && access.all::<View>().len() == 1);
    let refused = access.put::<View>(name("all"), view(&["1.3"], &[]), true, None);
    assert_eq!(refused.unwrap_err().to_string(), "view all is built in and cannot be changed");
    let refused = access.remove::<View>(&name("all"), Some(0));
    assert!(matches!(refused, Err(AccessError::BuiltIn { .. })));
}

#[test]
fn a_password_stays_until_another_is_given() {
    let access = empty();
    add::<User>(&access, "u", user("auth-word", "priv-word"));
    let words = || {
        let user = access.get::<User>("u").unwrap();
        let word = |secret: &Secret| secret.expose().to_owned();
        (user.auth.as_ref().map(|one| word(&one.secret)), user.privacy.as_ref().map(|one| word(&one.secret)))
    };
    let keys = || access.snapshot().user(b"u").unwrap().key_generation;
    let first = keys();
    let kept = || UserWish { auth_password: None, priv_password: None, ..user("", "") };
    drop(access.put::<User>(name("u"), kept(), false, None).unwrap());
    assert_eq!((words(), keys()), ((Some("auth-word".into()), Some("priv-word".into())), first));
    let other = UserWish { priv_password: Some(Secret::new("other-word")), ..kept() };
    drop(access.put::<User>(name("u"), other, false, None).unwrap());
    assert_eq!(words(), (Some("auth-word".into()), Some("other-word".into())));
    let second = keys();
    assert!(second > first);
    // Another protocol needs its password, whether the old one would do or not.
    let other = UserWish { auth_protocol: Some(AuthProtocol::Md5), ..kept() };
    assert_eq!(faults::<User>(&access, "u", other), ["auth_password"]);
    let other = UserWish { priv_protocol: Some(PrivProtocol::Des), ..kept() };
    assert_eq!(faults::<User>(&access, "u", other), ["priv_password"]);
    // What is left out goes.
    drop(access.put::<User>(name("u"), UserWish::default(), false, None).unwrap());
    assert_eq!(words(), (None, None));
    assert!(keys() > second);
    assert_eq!(faults::<User>(&access, "u", kept()), ["auth_password", "priv_password"]);
}

#[test]
fn keys_of_a_user_that_came_again_are_others() {
    let access = empty();
    add::<User>(&access, "u", user("auth-word", "priv-word"));
    add::<User>(&access, "v", user("auth-word", "priv-word"));
    let keys = |user: &[u8]| access.snapshot().user(user).unwrap().key_generation;
    let (first, other) = (keys(b"u"), keys(b"v"));
    assert_ne!(first, other);
    drop(access.remove::<User>(&name("u"), None).unwrap());
    add::<User>(&access, "u", user("another-word", "priv-word"));
    assert!(keys(b"u") > first.max(other));
    assert_eq!(keys(b"v"), other, "it did not change");
}

#[test]
fn users_that_cannot_be_are_refused() {
    let access = empty();
    let long = "x".repeat(64);
    for (wish, fields) in [
        (UserWish { auth_password: None, ..user("", "priv-word") }, vec!["auth_password"]),
        (user("7 bytes", "priv-word"), vec!["auth_password"]),
        (user(&"x".repeat(257), "7 bytes"), vec!["auth_password", "priv_password"]),
        (UserWish { auth_protocol: None, ..user("auth-word", "priv-word") }, vec!["auth_protocol"]),
        (UserWish { priv_protocol: None, ..user("auth-word", "priv-word") }, vec!["priv_protocol"]),
        (
            UserWish { auth_protocol: None, auth_password: None, ..user("", "priv-word") },
            vec!["priv_protocol"],
        ),
        (
            UserWish { notifications: Some(SecurityLevel::AuthNoPriv), ..UserWish::default() },
            vec!["notifications"],
        ),
        (UserWish { group: Some(name("g")), ..UserWish::default() }, vec!["group"]),
        (UserWish { networks: vec!["::/0".parse().unwrap(); 65], ..UserWish::default() }, vec!["networks"]),
    ] {
        assert_eq!(faults::<User>(&access, "u", wish.clone()), fields, "{wish:?}");
    }
    assert_eq!(faults::<User>(&access, &long, UserWish::default()), ["user_name"]);
    let named = UserWish { user_name: Some("short".parse().unwrap()), ..UserWish::default() };
    add::<User>(&access, &long, named.clone());
    let refused = access.put::<User>(name("other"), named, true, None).unwrap_err();
    assert_eq!(refused.to_string(), format!("user {long} has this user_name already"));
    add::<User>(&access, "widest", user(&"x".repeat(256), "8 bytes!"));
}

#[test]
fn communities_that_cannot_be_are_refused() {
    let access = empty();
    for (wish, field) in [
        (CommunityWish { community: None, ..community("") }, "community"),
        (community(""), "community"),
        (community("größe"), "community"),
        (community("a\n"), "community"),
        (community(&"x".repeat(256)), "community"),
        (CommunityWish { versions: Versions { v1: false, v2c: false }, ..community("x") }, "versions"),
        (CommunityWish { group: Some(name("g")), ..community("x") }, "group"),
        (CommunityWish { networks: vec!["::/0".parse().unwrap(); 65], ..community("x") }, "networks"),
    ] {
        assert_eq!(faults::<Community>(&access, "c", wish.clone()), [field], "{wish:?}");
    }
    add::<Community>(&access, "c", community(&"x".repeat(255)));
    let refused = access.put::<Community>(name("d"), community(&"x".repeat(255)), true, None).unwrap_err();
    assert_eq!(refused.to_string(), "community c has this text already");
    // Its own text is no other's.
    drop(
        access
            .put::<Community>(name("c"), CommunityWish { community: None, ..community("") }, false, None)
            .unwrap(),
    );
    assert!(access.snapshot().community("x".repeat(255).as_bytes()).is_some());
}

#[test]
fn receivers_that_cannot_be_are_refused() {
    let access = empty();
    add::<User>(&access, "weak", UserWish::default());
    let at = |text: &str| ReceiverWish { address: text.parse().unwrap(), ..receiver(Version::V2c) };
    let waits = |millis| ReceiverWish { timeout: Duration::from_millis(millis), ..receiver(Version::V2c) };
    for (wish, fields) in [
        (at("0.0.0.0:162"), vec!["address"]),
        (at("[::]:162"), vec!["address"]),
        (at("239.1.2.3:162"), vec!["address"]),
        (at("255.255.255.255:0"), vec!["address", "port"]),
        (waits(99), vec!["timeout_ms"]),
        (waits(60_001), vec!["timeout_ms"]),
        (waits(u64::MAX), vec!["timeout_ms"]),
        (ReceiverWish { mode: Mode::Inform, ..receiver(Version::V1) }, vec!["mode"]),
        (ReceiverWish { community: None, ..receiver(Version::V1) }, vec!["community"]),
        (ReceiverWish { community: Some(Secret::new("ä")), ..receiver(Version::V2c) }, vec!["community"]),
        (ReceiverWish { user: Some(name("weak")), ..receiver(Version::V1) }, vec!["user"]),
        (ReceiverWish { level: Some(SecurityLevel::AuthPriv), ..receiver(Version::V1) }, vec!["level"]),
        (ReceiverWish { user: None, level: None, ..receiver(Version::V3) }, vec!["user", "level"]),
        (
            ReceiverWish { community: Some(Secret::new("x")), ..receiver(Version::V3) },
            vec!["community", "user"],
        ),
        (receiver(Version::V3), vec!["user"]),
        (ReceiverWish { user: Some(name("weak")), ..receiver(Version::V3) }, vec!["level"]),
    ] {
        assert_eq!(faults::<Receiver>(&access, "r", wish.clone()), fields, "{wish:?}");
    }
}

#[test]
fn a_receiver_keeps_its_community_until_it_speaks_version_3() {
    let access = empty();
    add::<User>(&access, "noc", user("auth-word", "priv-word"));
    add::<Receiver>(&access, "r", receiver(Version::V1));
    let kept = |version| ReceiverWish { community: None, ..receiver(version) };
    let put = |version| access.put::<Receiver>(name("r"), kept(version), false, None).map(|put| put.0);
    assert_eq!(put(Version::V2c).unwrap().community().unwrap().expose(), "told");
    assert_eq!(put(Version::V3).unwrap().user(), Some(&name("noc")));
    assert!(matches!(put(Version::V2c), Err(AccessError::Fields(_))));
}

#[test]
fn views_and_groups_that_cannot_be_are_refused() {
    let access = empty();
    assert_eq!(faults::<View>(&access, "v", view(&[], &["1.3"])), ["include"]);
    let many: Vec<_> = (0..65).map(|number| format!("1.3.{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(faults::<View>(&access, "v", view(&many[..32], &many[32..])), ["include"]);
    add::<View>(&access, "v", view(&many[..32], &many[32..64]));
    assert_eq!(faults::<Group>(&access, "g", group([None; 3])), ["access"]);
    let wish = group([Some("v"), Some("x"), Some("y")]);
    assert_eq!(faults::<Group>(&access, "g", wish), ["access.authNoPriv", "access.authPriv"]);
}

#[test]
fn what_is_in_use_stays() {
    let access = empty();
    with_group(&access);
    add::<Group>(&access, "h", group([Some("v"), None, None]));
    add::<User>(&access, "noc", UserWish { group: Some(name("g")), ..user("auth-word", "priv-word") });
    add::<Community>(&access, "c", CommunityWish { group: Some(name("g")), ..community("x") });
    for number in 0..5 {
        add::<Receiver>(&access, &format!("r{number}"), receiver(Version::V3));
    }
    let refused = |error: AccessError| error.to_string();
    let removed = access.remove::<View>(&name("v"), None);
    assert_eq!(refused(removed.unwrap_err()), "view v is used by group g, group h");
    let removed = access.remove::<Group>(&name("g"), None);
    assert_eq!(refused(removed.unwrap_err()), "group g is used by user noc, community c");
    let removed = access.remove::<User>(&name("noc"), None);
    let words = "user noc is used by receiver r0, receiver r1, receiver r2 and 2 more";
    assert_eq!(refused(removed.unwrap_err()), words);
    // Nor can a user lose the password that a receiver is told with.
    let weaker = UserWish { priv_protocol: None, priv_password: None, ..user("auth-word", "") };
    let put = access.put::<User>(name("noc"), weaker, false, None);
    assert!(matches!(put, Err(AccessError::Needed { by }) if by == "receiver r0"));
    for number in 0..5 {
        drop(access.remove::<Receiver>(&name(&format!("r{number}")), None).unwrap());
    }
    drop(access.remove::<User>(&name("noc"), None).unwrap());
    drop(access.remove::<Community>(&name("c"), None).unwrap());
    for group in ["g", "h"] {
        drop(access.remove::<Group>(&name(group), None).unwrap());
    }
    drop(access.remove::<View>(&name("v"), None).unwrap());
}

#[test]
fn a_reference_that_leads_nowhere_gives_no_access() {
    let store = Arc::new(MemoryStore::default());
    let first = access(&store);
    with_group(&first);
    add::<Group>(&first, "h", group([Some("all"), Some("v"), None]));
    add::<User>(&first, "noc", UserWish { group: Some(name("g")), ..user("auth-word", "priv-word") });
    add::<User>(&first, "other", UserWish { group: Some(name("h")), ..UserWish::default() });
    add::<Community>(&first, "c", CommunityWish { group: Some(name("h")), ..community("x") });
    add::<Receiver>(&first, "r", receiver(Version::V3));
    let lose = |table, key: &str| drop(store.submit(vec![Write::delete(table, key)]).unwrap());
    lose(Table::SnmpView, "v");
    lose(Table::SnmpGroup, "g");
    let again = access(&store);
    assert_eq!(again.load().unwrap().unreadable, 0);
    let now = again.snapshot();
    let views = |user: &[u8]| SecurityLevel::ALL.map(|level| now.user(user).unwrap().view(level).is_some());
    assert_eq!(views(b"noc"), [false; 3]);
    assert_eq!(views(b"other"), [true, false, false], "an entry without view is no way to a lower one");
    assert!(now.community(b"x").unwrap().view().is_some());
    assert!(now.receivers()[0].is_complete());
    lose(Table::SnmpUser, "noc");
    let again = access(&store);
    again.load().unwrap();
    assert!(!again.snapshot().receivers()[0].is_complete());
    // What refers to nothing can be changed to refer to something.
    drop(again.put::<User>(name("other"), UserWish::default(), false, None).unwrap());
}

#[test]
fn of_two_with_one_name_in_messages_the_first_counts() {
    let store = Arc::new(MemoryStore::default());
    // As an import might leave them: each was made where the other was not.
    for text in ["b", "a"] {
        let alone = access(&store);
        add::<Community>(&alone, text, community("same"));
        let named = UserWish { user_name: Some("same".parse().unwrap()), ..UserWish::default() };
        add::<User>(&alone, text, named);
    }
    let access = access(&store);
    assert_eq!(access.load().unwrap().users, 2);
    let now = access.snapshot();
    assert_eq!(now.user(b"same").unwrap().user.name.as_str(), "a");
    assert_eq!(now.community(b"same").unwrap().community.name.as_str(), "a");
    assert_eq!(now.users().count(), 1);
}

#[test]
fn what_cannot_be_read_stays_and_is_named() {
    let store = Arc::new(MemoryStore::default());
    let first = access(&store);
    with_group(&first);
    add::<User>(&first, "noc", user("auth-word", "priv-word"));
    add::<Community>(&first, "c", community("x"));
    let put = |table, key: &str, value| drop(store.submit(vec![Write::put(table, key, value)]).unwrap());
    let foreign = store.get(Table::SnmpUser, "noc").unwrap();
    put(Table::SnmpUser, "copy", foreign.clone());
    put(Table::SnmpView, "all", store.get(Table::SnmpView, "v").unwrap());
    put(Table::SnmpReceiver, "r", vec![1, 2]);
    put(Table::SnmpCommunity, "d", vec![]);
    store.damage(Table::SnmpGroup, "g");
    let loaded = access(&store).load().unwrap();
    assert_eq!((loaded.users, loaded.communities, loaded.receivers, loaded.unreadable), (1, 1, 0, 5));
    assert_eq!(loaded.reasons.len(), 5);
    for start in [
        "snmp-view all: holds v",
        "snmp-group g: ",
        "snmp-user copy: holds noc",
        "snmp-receiver r: malformed",
    ] {
        assert!(loaded.reasons.iter().any(|reason| reason.starts_with(start)), "{start} in {loaded:?}");
    }
    assert_eq!(store.get(Table::SnmpUser, "copy"), Some(foreign));
    // What is sealed opens with its own key file only.
    let other = Access::new(store.clone(), vault(2));
    let loaded = other.load().unwrap();
    assert_eq!((loaded.users, loaded.communities), (0, 0));
    assert!(other.snapshot().user(b"noc").is_none());
}

#[test]
fn a_newer_record_ends_the_start() {
    for table in
        [Table::SnmpView, Table::SnmpGroup, Table::SnmpUser, Table::SnmpCommunity, Table::SnmpReceiver]
    {
        let store = Arc::new(MemoryStore::default());
        drop(store.submit(vec![Write::put(table, "a", vec![9, 1, 2])]).unwrap());
        let error = access(&store).load().unwrap_err();
        assert!(matches!(error, LoadError::Newer { found: 9, supported: 1, .. }), "{error}");
        assert_eq!(store.get(table, "a"), Some(vec![9, 1, 2]));
    }
}

#[test]
fn a_refused_write_changes_nothing() {
    let store = Arc::new(MemoryStore::default());
    let access = access(&store);
    add::<Community>(&access, "c", community("x"));
    store.fail("broken");
    let generation = access.snapshot().generation();
    let put = access.put::<Community>(name("c"), community("y"), false, None);
    assert!(matches!(put, Err(AccessError::Submit(_))));
    assert!(matches!(access.remove::<Community>(&name("c"), None), Err(AccessError::Submit(_))));
    assert_eq!(access.get::<Community>("c").unwrap().revision, 1);
    let now = access.snapshot();
    assert!(now.community(b"x").is_some() && now.generation() == generation);
}

#[test]
fn nothing_prints_a_secret_and_no_record_holds_one() {
    let store = Arc::new(MemoryStore::default());
    let access = access(&store);
    add::<User>(&access, "noc", user("auth-word", "priv-word"));
    add::<Community>(&access, "c", community("community-word"));
    add::<Receiver>(&access, "r", receiver(Version::V2c));
    let now = access.snapshot();
    let shown = format!(
        "{access:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        access.get::<User>("noc"),
        access.get::<Community>("c"),
        access.get::<Receiver>("r"),
        now.user(b"noc"),
        now.community(b"community-word"),
        user("auth-word", "priv-word"),
    );
    for word in ["auth-word", "priv-word", "community-word", "told"] {
        assert!(!shown.contains(word), "{shown}");
        for (table, key) in
            [(Table::SnmpUser, "noc"), (Table::SnmpCommunity, "c"), (Table::SnmpReceiver, "r")]
        {
            let record = store.get(table, key).unwrap();
            assert!(!record.windows(word.len()).any(|part| part == word.as_bytes()), "{word} in {key}");
        }
    }
}
