//! Whole exchanges.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::secret::Secret;
use crate::site::{Origin, SiteId};
use crate::time::{Random, Timestamp};

const REALM: &str = "phones.example";
const URI: &str = "sip:phones.example";

struct Fixed(u128);

impl Random for Fixed {
    fn next_u128(&self) -> u128 {
        self.0
    }
}

fn origin(address: &str) -> Origin {
    Origin { site: None, address: address.parse().unwrap() }
}

fn here() -> Origin {
    origin("192.0.2.1")
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000)
}

fn ha1(username: &str, realm: &str, password: &str) -> Ha1 {
    Ha1::of(username, realm, &Secret::new(password)).unwrap()
}

fn server(settings: &DigestSettings) -> Authenticator {
    Authenticator::new(settings, &Fixed(7), at(0))
}

/// A client that registers as user 100 from [`here`], and what it remembers.
#[derive(Clone)]
struct Phone {
    password: &'static str,
    algorithm: Option<&'static str>,
    qop: Option<&'static str>,
    count: u32,
    origin: Origin,
}

impl Default for Phone {
    fn default() -> Self {
        Self { password: "1234", algorithm: Some("SHA-256"), qop: Some("auth"), count: 1, origin: here() }
    }
}

impl Phone {
    /// Its request with an answer to `nonce`, in a transaction, and what the server says.
    fn ask(&self, server: &Authenticator, nonce: &str, transaction: u64, now: Timestamp) -> Verdict<Ha1> {
        let received =
            Received { realm: REALM, nonce, algorithm: self.algorithm, qop: self.qop, opaque: None };
        let own = ha1("100", REALM, self.password);
        let answer = respond(&own, &received, "REGISTER", URI, "c0ffee", self.count).unwrap();
        let authorization = Authorization {
            username: "100",
            realm: REALM,
            nonce,
            uri: URI,
            response: answer.response.as_str(),
            algorithm: self.algorithm,
            cnonce: Some("c0ffee"),
            qop: self.qop,
            nc: answer.nc.as_ref().map(Count::as_str),
            opaque: None,
        };
        judge(server, authorization, self.origin, transaction, now)
    }
}

fn judge(
    server: &Authenticator,
    authorization: Authorization<'_>,
    origin: Origin,
    transaction: u64,
    now: Timestamp,
) -> Verdict<Ha1> {
    let attempt = Attempt {
        method: "REGISTER",
        realm: REALM,
        authorization: Some(authorization),
        origin,
        transaction,
        now,
    };
    server.check(&attempt, |realm, username| (username == "100").then(|| ha1(username, realm, "1234")))
}

fn is_in(verdict: &Verdict<Ha1>) -> bool {
    matches!(verdict, Verdict::Accepted(_))
}

#[test]
fn a_phone_that_answers_is_let_in_with_either_algorithm_and_form() {
    let server = server(&DigestSettings::default());
    for algorithm in [None, Some("md5"), Some("MD5-sess"), Some("SHA-256"), Some("SHA-256-sess")] {
        for qop in [Some("auth"), None] {
            let challenge = server.challenge(REALM, here(), false, at(1));
            assert_eq!(challenge.algorithms, [Algorithm::Sha256, Algorithm::Md5]);
            let nonce = challenge.nonce.as_str();
            assert!(nonce.len() == NONCE_CHARS && !nonce.contains(['"', '\\', ',', ' ']), "{nonce}");
            let phone = Phone { algorithm, qop, ..Phone::default() };
            assert!(is_in(&phone.ask(&server, nonce, 1, at(2))), "{algorithm:?} {qop:?}");
            assert!(matches!(phone.ask(&server, nonce, 1, at(2)), Verdict::Repeated(_)));
            assert_eq!(phone.ask(&server, nonce, 2, at(2)), Verdict::Stale, "a replay");
            let next = Phone { count: 2, ..phone }.ask(&server, nonce, 3, at(3));
            assert_eq!(is_in(&next), qop.is_some(), "without a counter a nonce is good once");
        }
    }
}

#[test]
fn who_does_not_know_the_password_stays_outside() {
    let server = server(&DigestSettings::default());
    let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
    let wrong = Phone { password: "12345", ..Phone::default() };
    assert_eq!(wrong.ask(&server, nonce.as_str(), 1, at(2)), Verdict::WrongPassword);
    assert!(is_in(&Phone::default().ask(&server, nonce.as_str(), 1, at(2))), "a failure does not use it up");
    let response = "0".repeat(64);
    let stranger = Authorization {
        username: "101",
        realm: REALM,
        nonce: nonce.as_str(),
        uri: URI,
        response: &response,
        algorithm: Some("SHA-256"),
        ..Authorization::default()
    };
    assert_eq!(judge(&server, stranger, here(), 1, at(2)), Verdict::UnknownUser);
}

#[test]
fn nonces_end_with_their_time_their_place_and_the_process() {
    let settings = DigestSettings { nonce_lifetime: Duration::from_mins(1), ..DigestSettings::default() };
    let server = server(&settings);
    let phone = Phone::default();
    let nonce = server.challenge(REALM, here(), false, at(100)).nonce;
    let nonce = nonce.as_str();
    let moved = |address| Phone { origin: origin(address), ..phone.clone() };
    assert_eq!(phone.ask(&server, nonce, 1, at(161)), Verdict::Stale);
    assert_eq!(moved("192.0.2.2").ask(&server, nonce, 1, at(101)), Verdict::Stale);
    let site = Origin { site: Some(SiteId::from_u64(5)), ..here() };
    assert_eq!(Phone { origin: site, ..phone.clone() }.ask(&server, nonce, 1, at(101)), Verdict::Stale);
    assert!(is_in(&moved("::ffff:192.0.2.1").ask(&server, nonce, 1, at(160))));
    assert!(
        is_in(&Phone { count: 2, ..phone.clone() }.ask(&server, nonce, 2, at(50))),
        "a clock that was set back"
    );
    // The same phone after a restart, which is a matter of another key.
    let restarted = Authenticator::new(&settings, &Fixed(8), at(130));
    assert_eq!(phone.ask(&restarted, nonce, 3, at(131)), Verdict::Stale);
    // A nonce that is said to be younger than the process is forged.
    let forger = Authenticator::new(&settings, &Fixed(9), at(0));
    let forged = forger.challenge(REALM, here(), false, at(131)).nonce;
    assert_eq!(phone.ask(&restarted, forged.as_str(), 3, at(131)), Verdict::NoCredentials);
    for other in ["", "dcd98b7102dd2f0e8b11d0f600bfb0c093", &"ä".repeat(28), &"=".repeat(56)] {
        assert_eq!(phone.ask_with(&restarted, other, at(131)), Verdict::NoCredentials, "{other}");
    }
}

impl Phone {
    /// Its request with a nonce that no client would compute with.
    fn ask_with(&self, server: &Authenticator, nonce: &str, now: Timestamp) -> Verdict<Ha1> {
        let response = "0".repeat(32);
        let authorization = Authorization {
            username: "100",
            realm: REALM,
            nonce,
            uri: URI,
            response: &response,
            ..Authorization::default()
        };
        judge(server, authorization, self.origin, 1, now)
    }
}

#[test]
fn a_nonce_is_good_in_its_realm_alone() {
    let server = server(&DigestSettings::default());
    let nonce = server.challenge("other.example", here(), false, at(1)).nonce;
    assert_eq!(Phone::default().ask(&server, nonce.as_str(), 1, at(2)), Verdict::NoCredentials);
}

#[test]
fn every_change_of_a_nonce_is_seen() {
    let server = server(&DigestSettings::default());
    let phone = Phone::default();
    let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
    for change in 0..NONCE_CHARS {
        let mut other = nonce.as_str().as_bytes().to_vec();
        other[change] = if other[change] == b'A' { b'B' } else { b'A' };
        let verdict = phone.ask(&server, std::str::from_utf8(&other).unwrap(), 1, at(2));
        // Of a time before the start it may have been a nonce.
        assert!(matches!(verdict, Verdict::NoCredentials | Verdict::Stale), "{change}: {verdict:?}");
    }
    assert!(is_in(&phone.ask(&server, nonce.as_str(), 1, at(2))));
}

#[test]
fn no_two_nonces_are_the_same() {
    let server = server(&DigestSettings::default());
    let mut nonces: Vec<_> =
        (0..1_000).map(|_| server.challenge(REALM, here(), false, at(1)).nonce.to_string()).collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 1_000);
}

#[test]
fn guessing_ends_and_neighbours_go_on() {
    let server = server(&DigestSettings::default());
    let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
    let wrong = Phone { password: "0000", ..Phone::default() };
    for _ in 0..10 {
        assert_eq!(wrong.ask(&server, nonce.as_str(), 1, at(2)), Verdict::WrongPassword);
    }
    let retry_after = Duration::from_mins(5);
    assert_eq!(Phone::default().ask(&server, nonce.as_str(), 1, at(2)), Verdict::Blocked { retry_after });
    let response = "0".repeat(32);
    let neighbour = Authorization {
        username: "101",
        realm: REALM,
        nonce: nonce.as_str(),
        uri: URI,
        response: &response,
        ..Authorization::default()
    };
    assert_eq!(judge(&server, neighbour, here(), 1, at(2)), Verdict::UnknownUser, "its answer is looked at");
    let elsewhere = Phone { origin: origin("192.0.2.2"), ..Phone::default() };
    let nonce = server.challenge(REALM, elsewhere.origin, false, at(2)).nonce;
    assert!(is_in(&elsewhere.ask(&server, nonce.as_str(), 1, at(2))));
}

#[test]
fn old_nonces_guess_nothing_and_count_nothing() {
    let server = server(&DigestSettings::default());
    let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
    let wrong = Phone { password: "0000", ..Phone::default() };
    for _ in 0..50 {
        assert_eq!(wrong.ask(&server, nonce.as_str(), 1, at(3_600)), Verdict::Stale);
    }
    let fresh = server.challenge(REALM, here(), true, at(3_600)).nonce;
    assert!(is_in(&Phone::default().ask(&server, fresh.as_str(), 1, at(3_600))));
}

#[test]
fn what_is_not_offered_is_not_looked_at() {
    let settings =
        DigestSettings { offer: Offer::Sha256, allow_without_qop: false, ..DigestSettings::default() };
    let server = server(&settings);
    let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
    let md5 = Phone { algorithm: Some("MD5"), ..Phone::default() };
    assert_eq!(md5.ask(&server, nonce.as_str(), 1, at(2)), Verdict::NoCredentials);
    let without = Phone { qop: None, ..Phone::default() };
    let refused = Verdict::BadRequest(BadAuthorization::NoQop);
    assert_eq!(without.ask(&server, nonce.as_str(), 1, at(2)), refused);
    assert!(is_in(&Phone::default().ask(&server, nonce.as_str(), 1, at(2))));
}

#[test]
fn of_many_credentials_those_of_the_realm_are_taken() {
    let server = server(&DigestSettings::default());
    let of =
        |realm, algorithm, username| Authorization { username, realm, algorithm, ..Authorization::default() };
    let all = [
        of("other.example", Some("MD5"), "1"),
        of(REALM, Some("SHA-512-256"), "2"),
        of(REALM, Some("SHA-256"), "3"),
        of(REALM, None, "4"),
    ];
    assert_eq!(server.select(REALM, all).map(|one| one.username), Some("3"));
    assert!(server.select("third.example", all).is_none());
}

#[test]
fn credentials_out_of_form_are_told_so() {
    let server = server(&DigestSettings::default());
    let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
    let response = "0".repeat(32);
    let good = Authorization {
        username: "100",
        realm: REALM,
        nonce: nonce.as_str(),
        uri: URI,
        response: &response,
        cnonce: Some("c"),
        qop: Some("auth"),
        nc: Some("00000001"),
        ..Authorization::default()
    };
    assert_eq!(judge(&server, good, here(), 1, at(2)), Verdict::WrongPassword);
    let long = "x".repeat(2_000);
    for (bad, reason) in [
        (Authorization { username: "", ..good }, BadAuthorization::Missing("username")),
        (Authorization { username: &long, ..good }, BadAuthorization::TooLong("username")),
        (Authorization { uri: "", ..good }, BadAuthorization::Missing("uri")),
        (Authorization { uri: &long, ..good }, BadAuthorization::TooLong("uri")),
        (Authorization { cnonce: Some(&long), ..good }, BadAuthorization::TooLong("cnonce")),
        (Authorization { cnonce: None, ..good }, BadAuthorization::Missing("cnonce")),
        (
            Authorization { algorithm: Some("MD5-sess"), qop: None, cnonce: None, ..good },
            BadAuthorization::Missing("cnonce"),
        ),
        (Authorization { nc: None, ..good }, BadAuthorization::Missing("nc")),
        (Authorization { nc: Some("000000001"), ..good }, BadAuthorization::Malformed("nc")),
        (Authorization { nc: Some("+1"), ..good }, BadAuthorization::Malformed("nc")),
        (Authorization { response: "00", ..good }, BadAuthorization::Malformed("response")),
        (Authorization { algorithm: Some("SHA-256"), ..good }, BadAuthorization::Malformed("response")),
        (Authorization { response: &"g".repeat(32), ..good }, BadAuthorization::Malformed("response")),
        (Authorization { qop: Some("auth-int"), ..good }, BadAuthorization::Qop),
        (Authorization { qop: Some(""), ..good }, BadAuthorization::Qop),
    ] {
        assert_eq!(judge(&server, bad, here(), 1, at(2)), Verdict::BadRequest(reason), "{reason}");
    }
}

#[test]
fn a_request_without_credentials_is_challenged_without_a_lookup() {
    let server = server(&DigestSettings::default());
    let attempt = Attempt {
        method: "REGISTER",
        realm: REALM,
        authorization: None,
        origin: here(),
        transaction: 1,
        now: at(1),
    };
    let asked = Cell::new(false);
    let verdict = server.check(&attempt, |_, _| {
        asked.set(true);
        None::<Ha1>
    });
    assert_eq!((verdict.challenge(), asked.get()), (Some(false), false));
    assert_eq!(Verdict::<Ha1>::Stale.challenge(), Some(true));
    assert_eq!(Verdict::<Ha1>::Blocked { retry_after: Duration::ZERO }.challenge(), None);
}

#[test]
fn challenges_take_no_memory() {
    let settings = DigestSettings { nonces: 16, ..DigestSettings::default() };
    let server = server(&settings);
    let phone = Phone::default();
    let first = server.challenge(REALM, here(), false, at(1)).nonce;
    assert!(is_in(&phone.ask(&server, first.as_str(), 1, at(1))));
    for _ in 0..10_000 {
        server.challenge(REALM, here(), false, at(1));
    }
    assert!(
        is_in(&Phone { count: 2, ..phone }.ask(&server, first.as_str(), 2, at(2))),
        "it was not pushed out"
    );
}

#[test]
fn nothing_prints_a_secret() {
    let own = ha1("100", REALM, "1234");
    let server = server(&DigestSettings::default());
    let shown = format!("{own:?} {server:?}");
    assert!(shown.starts_with("Ha1(…) Authenticator {") && !shown.contains('['), "{shown}");
}

fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,40}"
}

proptest! {
    /// Garbage is judged, and never lets anybody in.
    #[test]
    fn garbage_lets_nobody_in(
        texts in prop::array::uniform5(text()),
        options in prop::array::uniform4(prop::option::of(text())),
        own_nonce in any::<bool>(),
        own_form in any::<bool>(),
    ) {
        let server = server(&DigestSettings::default());
        let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
        let [username, other_nonce, uri, response, realm] = &texts;
        let [algorithm, cnonce, qop, nc] = options.each_ref().map(Option::as_deref);
        let digits = "0".repeat(64);
        let authorization = Authorization {
            username: if own_form { "100" } else { username },
            realm: if own_form { REALM } else { realm },
            nonce: if own_nonce { nonce.as_str() } else { other_nonce },
            uri,
            response: if own_form { &digits } else { response },
            algorithm: if own_form { Some("SHA-256") } else { algorithm },
            cnonce,
            qop: if own_form { Some("auth") } else { qop },
            nc: if own_form { Some("1") } else { nc },
            opaque: None,
        };
        let verdict = judge(&server, authorization, here(), 1, at(2));
        prop_assert!(!matches!(verdict, Verdict::Accepted(_) | Verdict::Repeated(_)));
    }

    /// What a client answers is what the server expects, whatever the texts.
    #[test]
    fn client_and_server_agree(
        username in "[!-~&&[^:]]{1,128}",
        password in "\\PC{0,60}",
        method in "[A-Z]{1,12}",
        uri in "[!-~]{1,200}",
        cnonce in "[!-~]{1,60}",
        count in any::<u32>(),
        algorithm in prop::sample::select(vec!["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"]),
        upper in any::<bool>(),
    ) {
        let server = server(&DigestSettings::default());
        let nonce = server.challenge(REALM, here(), false, at(1)).nonce;
        let known = ha1(&username, REALM, &password);
        let received = Received {
            realm: REALM,
            nonce: nonce.as_str(),
            algorithm: Some(algorithm),
            qop: Some("auth"),
            opaque: None,
        };
        let answer = respond(&known, &received, &method, &uri, &cnonce, count).unwrap();
        let response = answer.response.to_string();
        let authorization = Authorization {
            username: &username,
            realm: REALM,
            nonce: nonce.as_str(),
            uri: &uri,
            response: &if upper { response.to_uppercase() } else { response },
            algorithm: Some(answer.scheme.name()),
            cnonce: Some(&cnonce),
            qop: Some("auth"),
            nc: answer.nc.as_ref().map(Count::as_str),
            opaque: None,
        };
        let attempt = Attempt {
            method: &method,
            realm: REALM,
            authorization: Some(authorization),
            origin: here(),
            transaction: 1,
            now: at(2),
        };
        let look = |asked: &str| (asked == username).then(|| known.clone());
        prop_assert!(is_in(&server.check(&attempt, |_, username| look(username))));
        let other = Attempt { method: "OPTIONS-", transaction: 2, ..attempt };
        prop_assert_eq!(server.check(&other, |_, username| look(username)), Verdict::WrongPassword);
    }
}
