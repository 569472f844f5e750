//! Tests of the configuration as a whole.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn load(text: &str) -> Result<Config, Faults> {
    Config::from_text("callboard.toml", text, std::iter::empty())
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Faults> {
    let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_text("callboard.toml", text, env)
}

/// The faults as printed, one per line.
fn faults(result: Result<Config, Faults>) -> Vec<String> {
    result.unwrap_err().to_string().lines().map(str::to_owned).collect()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compares a generated file with the one in the repository; `CALLBOARD_BLESS=1` writes it instead.
fn same_as_file(path: &str, generated: &str) {
    if std::env::var_os("CALLBOARD_BLESS").is_some() {
        std::fs::write(repository(path), generated).unwrap();
    }
    let written = std::fs::read_to_string(repository(path)).unwrap();
    assert!(written == generated, "{path} is not what the table says: run this test with CALLBOARD_BLESS=1");
}

#[test]
fn an_empty_configuration_is_the_default() {
    assert_eq!(load("").unwrap(), Config::default());
    let config = Config::load(None, std::iter::empty()).unwrap();
    assert_eq!(config.listen.wpi.unwrap().to_string(), "0.0.0.0:18443");
    assert_eq!(config.tls.lifetime, Duration::from_hours(825 * 24));
    assert_eq!(config.wpi.paths, ["/DeploymentService/LoginService"]);
}

#[test]
fn every_default_is_allowed_and_every_key_documented_and_unique() {
    let (defaults, mut paths) = (Config::default(), HashSet::new());
    for key in KEYS {
        let value = key.value(&defaults);
        assert_eq!(key.form.check(&value), Ok(()), "{}", key.path());
        assert!(key.doc.trim().ends_with('.'), "{} needs a sentence", key.path());
        assert!(paths.insert(key.path()), "{} stands twice", key.path());
        assert!(SECTIONS.iter().any(|(section, _)| *section == key.section));
    }
    assert_eq!(rules::check(&defaults, &[]), []);
}

#[test]
fn every_key_can_be_set_in_the_file_and_by_its_variable() {
    let defaults = Config::default();
    for key in KEYS {
        let value = other_value(key, &key.value(&defaults));
        let shown = if key.form.is_secret() { "\"********\"".to_owned() } else { value.to_string() };

        let mut given = Given::default();
        given.read_text("callboard.toml", &format!("[{}]\n{} = {value}\n", key.section, key.name));
        assert_eq!(given.faults, [], "{}", key.path());
        let mut config = Config::default();
        let (index, _) = read::find(key.section, key.name).unwrap();
        (key.set)(&mut config, &given.values[&index].0).unwrap();
        assert_eq!(key.value(&config).to_string(), shown, "{}", key.path());

        let text = match &value {
            Value::Whole(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(entries) => entries.join(", "),
        };
        let mut given = Given::default();
        given.read_environment([(key.variable(), text)].into_iter());
        assert_eq!(given.faults, [], "{}", key.variable());
        assert_eq!(given.values[&index].0, value, "{}", key.variable());
    }
}

#[test]
fn rules_across_keys_name_keys_that_exist_and_have_one_unit() {
    for (small, _, large) in rules::ORDERS {
        let unit = |path: &str| match rules::by_path(path).unwrap().1.form {
            Form::Whole { unit, .. } => unit,
            _ => panic!("{path} is no number"),
        };
        assert_eq!(unit(small), unit(large), "{small}, {large}");
    }
}

/// A value of the key's form that is not the default.
fn other_value(key: &Key, default: &Value) -> Value {
    match key.form {
        Form::Whole { min, max, .. } => Value::Whole(if *default == Value::Whole(max) { min } else { max }),
        Form::Door if key.name == "sip_multicast" => Value::Text("239.1.2.3:5062".to_owned()),
        Form::Door => Value::Text("[::1]:0".to_owned()),
        Form::Path => Value::Text("/etc/callboard/some.pem".to_owned()),
        Form::Choice(words) => {
            let other = words.iter().find(|word| Value::Text((**word).to_owned()) != *default);
            Value::Text((*other.unwrap()).to_owned())
        }
        Form::List(_) if key.name == "names" => {
            Value::List(vec!["*.phones.example".to_owned(), "2001:db8::1".to_owned()])
        }
        Form::List(_) => Value::List(vec!["/a".to_owned(), "/b/c".to_owned()]),
        Form::Networks => Value::List(vec!["192.0.2.0/24".to_owned(), "2001:db8::1/128".to_owned()]),
        Form::Text(_) if key.name == "service_address" => Value::Text("2001:db8::1".to_owned()),
        Form::Text(_) if key.name == "multicast_interfaces" => Value::Text("192.0.2.1, 192.0.2.2".to_owned()),
        Form::Text(_) if key.name == "engine_id" => Value::Text("80007ed90501020304".to_owned()),
        Form::Text(_) if key.name == "ignored_notifications" => {
            Value::Text("1.3.6.1.6.3.1.1.5.4, 1.3.6.1.4.1".to_owned())
        }
        Form::Text(_) | Form::Secret => Value::Text("debug".to_owned()),
    }
}

#[test]
fn a_group_is_one_and_is_answered() {
    let good = load("[listen]\nsip_multicast = \"224.0.1.75:5060\"\n").unwrap();
    assert_eq!(good.listen.sip_multicast, "224.0.1.75:5060".parse().ok());
    for (text, wanted) in [
        ("sip_multicast = \"192.0.2.1:5060\"", "must be an address of 224.0.0.0/4 with a port"),
        ("sip_multicast = \"[ff02::1]:5060\"", "must be an address of 224.0.0.0/4 with a port"),
        ("sip_multicast = \"224.0.1.75:0\"", "must be an address of 224.0.0.0/4 with a port"),
        ("sip_multicast = \"224.0.1.75:5060\"\nsip_udp = \"\"", "needs listen.sip_udp"),
    ] {
        let faults = load(&format!("[listen]\n{text}\n")).unwrap_err().to_string();
        assert!(faults.contains(wanted), "{faults}");
    }
    for (value, good) in
        [("", true), ("192.0.2.1, 192.0.2.2", true), ("192.0.2.1,", false), ("eth0", false), ("::1", false)]
    {
        assert_eq!(load(&format!("[sip]\nmulticast_interfaces = \"{value}\"\n")).is_ok(), good, "{value}");
    }
}

#[test]
fn all_faults_come_at_once_with_line_column_reason_and_range() {
    let text = "\
[limits]
connections = 0
conections = 5
body_bytes = \"2 MiB\"

[listen]
wpi = \"localhost\"

[lisen]
admin = \"\"

[flow]
connections = 1
";
    let found = faults(load_with(
        text,
        &[
            ("CALLBOARD__LOG__FORMAT", "xml"),
            ("CALLBOARD__LIMITS__BACKLOGS", "1"),
            ("CALLBOARD__STORE__FLUSH_BYTES", "-1"),
            ("PATH", "/bin"),
        ],
    ));
    assert_eq!(
        found,
        [
            "callboard.toml:2:15: limits.connections: 0 is out of range; allowed: 1 to 1000000",
            "callboard.toml:3:1: limits.conections: is no key; did you mean limits.connections?",
            "callboard.toml:4:14: limits.body_bytes: is a text, must be number (bytes); allowed: 51200 to 16777216",
            "callboard.toml:7:7: listen.wpi: \"localhost\" is not an address with a port; \
             allowed: address:port, [address]:port or empty (closed)",
            "callboard.toml:9:2: lisen: is no section; did you mean [listen]?",
            "callboard.toml:13:1: flow.connections: is no key; did you mean limits.connections?",
            "environment CALLBOARD__LIMITS__BACKLOGS: sets no key; did you mean CALLBOARD__LIMITS__BACKLOG?",
            "environment CALLBOARD__LOG__FORMAT: log.format: \"xml\" is not one of the words; \
             allowed: \"text\" or \"json\"",
            "environment CALLBOARD__STORE__FLUSH_BYTES: store.flush_bytes: \"-1\" is not a whole number; \
             allowed: 65536 to 655360",
        ]
    );
}

#[test]
fn wrong_toml_is_one_fault_and_variables_are_still_read() {
    let found = faults(load_with("[limits]\nconnections = \n", &[("CALLBOARD__X__Y", "")]));
    assert!(found[0].starts_with("callboard.toml:2:"), "{found:?}");
    assert!(found[0].contains("is not TOML"), "{found:?}");
    assert_eq!(found[1], "environment CALLBOARD__X__Y: sets no key");
    assert_eq!(found.len(), 2);
}

#[test]
fn a_key_given_twice_or_in_the_wrong_place_is_a_fault() {
    assert!(
        faults(load("[log]\nfilter = \"info\"\nfilter = \"debug\"\n"))[0].starts_with("callboard.toml:3:1: ")
    );
    assert_eq!(faults(load("limits = 5\n")), ["callboard.toml:1:1: limits: is a section: write [limits]"]);
    assert!(faults(load("[[limits]]\nbacklog = 5\n"))[0].contains("is a section"));
    let table = faults(load("[limits.backlog]\nx = 1\n"));
    assert!(table[0].contains("wrong type (table), must be number (count)"), "{table:?}");
    assert!(faults(load("[wpi]\npaths = [1]\n"))[0].contains("not a text"));
    assert!(faults(load("[wpi]\npaths = []\n"))[0].contains("0 entries"));
}

#[test]
fn variables_override_the_file_and_show_tells_the_source() {
    let config = load_with(
        "[limits]\nbacklog = 100\nheader_timeout_ms = 5000\n",
        &[("CALLBOARD__LIMITS__BACKLOG", "200"), ("CALLBOARD__LISTEN__WPI", "127.0.0.1:0")],
    )
    .unwrap();
    assert_eq!(config.limits.backlog, 200);
    assert_eq!(config.limits.header_timeout, Duration::from_secs(5));
    assert_eq!(config.listen.wpi.unwrap().to_string(), "127.0.0.1:0");
    let shown = show(&config);
    for line in [
        "backlog = 200 # environment CALLBOARD__LIMITS__BACKLOG",
        "header_timeout_ms = 5000 # file callboard.toml:3:21",
        "wpi = \"127.0.0.1:0\" # environment CALLBOARD__LISTEN__WPI",
        "write_timeout_ms = 30000 # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} not in\n{shown}");
    }
    assert_eq!(show(&load(&shown).unwrap()).matches("# file").count(), KEYS.len(), "show is a valid file");
}

#[test]
fn secrets_are_shown_nowhere() {
    let secret = "hunter2-hunter2";
    let config = load(&format!("[tls]\nclient_pkcs12_password = \"{secret}\"\n")).unwrap();
    assert_eq!(config.tls.client_pkcs12_password.expose(), secret);
    assert!(!show(&config).contains(secret));
    assert!(!format!("{config:?}").contains(secret));
    let long = secret.repeat(100);
    for wrong in [
        format!("[tls]\nclient_pkcs12_password = [\"{secret}\"]"),
        format!("[tls]\nclient_pkcs12_password = \"{long}\""),
    ] {
        let text = faults(load(&wrong)).join("\n");
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn keys_that_do_not_go_together_are_refused_where_they_were_written() {
    let cases = [
        (
            "[store]\nflush_bytes = 65536\n",
            "2:15: store.flush_bytes: 2 times fleet.device_bytes must not be larger than store.flush_bytes",
        ),
        ("[store]\nmin_free_bytes = 1\n", "2:18: store.min_free_bytes: must be 0 or at least 16777216"),
        ("[store]\nflush_interval_ms = 4\n", "2:21: store.flush_interval_ms: store.flush_spacing_ms"),
        (
            "[tls]\nrsa_key_file = \"k.pem\"\n",
            "2:16: tls.rsa_key_file: tls.rsa_certificate_file and tls.rsa_key_file are given together or not at all",
        ),
        ("[tls]\necdsa_certificate_file = \"c.pem\"\n", "2:26: tls.ecdsa_certificate_file: "),
        (
            "[limits]\nconnections = 100\n",
            "2:15: limits.connections: limits.connections_per_source must not be larger than limits.connections",
        ),
        ("[limits]\nbody_bytes = 51200\n", "2:14: limits.body_bytes: wpi.value_bytes must not be larger"),
        ("[flow]\nidle_timeout_s = 601\n", "2:18: flow.idle_timeout_s: "),
        (
            "[tls]\nauthority_lifetime_days = 1\nlifetime_days = 1\n",
            "2:27: tls.authority_lifetime_days: tls.client_lifetime_days",
        ),
        (
            "[secure_mode]\ncredentials_wait_ms = 120000\n[limits]\nhandler_timeout_ms = 120000\n",
            "2:23: secure_mode.credentials_wait_ms: secure_mode.credentials_wait_ms must be shorter than flow.idle_timeout_s",
        ),
        ("[limits]\nhandler_timeout_ms = 9000\n[secure_mode]\ncredentials_wait_ms = 9001\n", "4:23: "),
        ("[tls]\nclient_lifetime_days = 59\n[secure_mode]\nrenew_before_days = 30\n", "4:21: "),
        (
            "[tls]\nclient_lifetime_days = 1\n",
            "2:24: tls.client_lifetime_days: 2 times secure_mode.renew_before_days must not be larger than \
             tls.client_lifetime_days (secure_mode.renew_before_days = 30, the default; ",
        ),
        (
            "[listen]\nmetrics = \"127.0.0.1:18443\"\n",
            "2:11: listen.metrics: listen.metrics and listen.wpi ask for the same port",
        ),
        ("[listen]\nmetrics = \"[::]:8443\"\n", "2:11: listen.metrics: listen.metrics and listen.admin ask"),
    ];
    for (text, expected) in cases {
        let found = faults(load(text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("callboard.toml:{expected}")), "{found:?}");
    }
}

#[test]
fn a_fault_of_two_keys_says_what_both_hold_and_which_is_a_default() {
    assert_eq!(
        faults(load("[limits]\nconnections = 100\n")),
        ["callboard.toml:2:15: limits.connections: limits.connections_per_source must not be larger than \
          limits.connections (limits.connections_per_source = 2000, the default; \
          limits.connections = 100, callboard.toml:2:15)"]
    );
    let found = faults(load_with("[listen]\nadmin = \"[::]:1\"\n", &[("CALLBOARD__LISTEN__WPI", "[::1]:1")]));
    assert!(
        found[0].ends_with(
            "(listen.admin = \"[::]:1\", callboard.toml:2:9; \
             listen.wpi = \"[::1]:1\", environment CALLBOARD__LISTEN__WPI)"
        ),
        "{found:?}"
    );
}

#[test]
fn what_was_not_given_is_lowered_to_what_was() {
    let config = load("[tls]\nclient_lifetime_days = 31\n[limits]\nhandler_timeout_ms = 9000\n").unwrap();
    assert_eq!(config.secure_mode.renew_before, Duration::from_hours(15 * 24));
    assert_eq!(config.secure_mode.credentials_wait, Duration::from_secs(9));
    assert!(show(&config).lines().any(|line| line == "credentials_wait_ms = 9000 # default"));
    let renew = |text: &str| load(text).unwrap().secure_mode.renew_before;
    assert_eq!(renew("[tls]\nclient_lifetime_days = 2\n"), Duration::from_hours(24));
    let never = "[tls]\nclient_lifetime_days = 1\n[secure_mode]\nrenew_before_days = 0\n";
    assert_eq!(renew(never), Duration::ZERO, "never only for who says so");
    let wait = |text: &str| load(text).unwrap().secure_mode.credentials_wait;
    assert_eq!(wait("[flow]\nidle_timeout_s = 1\n"), Duration::from_millis(500));
    assert_eq!(wait("[flow]\nidle_timeout_s = 600\n"), Duration::from_secs(15), "nothing is raised");
    let relays = |text: &str| load(text).unwrap().edge.relays_per_site;
    assert_eq!(relays(""), 12_000, "a site does not take the whole door");
    assert_eq!(relays("[limits]\nconnections = 4000\n"), 3_000);
    assert_eq!(relays("[limits]\nconnections = 1\nconnections_per_source = 1\n"), 1);
    assert_eq!(relays("[edge]\nrelays_per_site = 16000\n"), 16_000, "unless somebody says so");
}

#[test]
fn a_door_for_polls_is_open_unless_nobody_polls() {
    let door = |text: &str| load(text).unwrap().listen.dcmp.map(|address| address.to_string());
    assert_eq!(door("").as_deref(), Some("0.0.0.0:8080"));
    assert_eq!(door("[dcmp]\nmode = \"disabled\"\n"), None);
    let wanted = "[dcmp]\nmode = \"disabled\"\n[listen]\ndcmp = \"127.0.0.1:1\"\n";
    assert_eq!(door(wanted).as_deref(), Some("127.0.0.1:1"));
}

#[test]
fn who_tells_phones_to_poll_says_where() {
    let found = faults(load("[dcmp]\nmode = \"enabled\"\n"));
    assert!(found[0].starts_with("callboard.toml:2:8: dcmp.mode: dcmp.mode \"enabled\" needs"), "{found:?}");
    let config = load("[dcmp]\nmode = \"enabled\"\ninterval_min = 30\nexternal_address = \"h\"\n").unwrap();
    let polling = config.polling();
    assert_eq!((polling.url.as_deref(), polling.interval_minutes), (Some("http://h:8080/dcmp/"), 30));
    let faults =
        faults(load("[dcmp]\ninterval_min = 0\nexternal_address = \"ftp://h\"\nurl_item = \"a b\"\n"));
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn doors_on_different_addresses_or_closed_or_free_ports_do_not_collide() {
    for text in [
        "[listen]\nwpi = \"127.0.0.1:1\"\nadmin = \"127.0.0.2:1\"\n",
        "[listen]\nwpi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n",
        "[listen]\nwpi = \"\"\nadmin = \"0.0.0.0:18443\"\n",
    ] {
        assert!(load(text).is_ok(), "{text}");
    }
    assert_eq!(load("[listen]\nwpi = \"\"\n").unwrap().listen.doors()[0], ("wpi", None));
}

#[test]
fn a_rule_across_keys_is_not_applied_to_a_key_that_is_wrong_itself() {
    assert_eq!(faults(load("[limits]\nconnections = 0\nconnections_per_source = 5000\n")).len(), 1);
}

#[test]
fn names_filters_and_paths_keep_their_rules() {
    for wrong in [
        "[tls]\nnames = [\"-x\"]",
        "[tls]\nnames = [\"a..b\"]",
        "[tls]\nnames = [\"a.*.b\"]",
        "[tls]\nnames = [\"\"]",
        "[wpi]\npaths = [\"x\"]",
        "[wpi]\npaths = [\"/a?b\"]",
        "[wpi]\npaths = [\"/a b\"]",
        "[log]\nfilter = \"\"",
        "[log]\nfilter = \"callboard=loud\"",
        "[log]\nfilter = \" ῆ=\"",
        "[node]\nname = \"a b\"",
        "[tls]\norganisation = \"\"",
        "[tls]\nrsa_key_file = \"a\\u0000b\"",
    ] {
        assert_eq!(faults(load(wrong)).len(), 1, "{wrong}");
    }
    assert!(load("[log]\nfilter = \"warn,callboard::wpi=trace\"").is_ok());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.toml");
    let found = faults(Config::load(Some(&missing), std::iter::empty()));
    assert!(found[0].contains("none.toml: cannot be read"), "{found:?}");

    let binary = directory.path().join("binary.toml");
    std::fs::write(&binary, b"\xff\xfe").unwrap();
    assert!(check(&binary).unwrap_err().to_string().ends_with("is not UTF-8 text"));

    let large = directory.path().join("large.toml");
    std::fs::write(&large, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(check(&large).unwrap_err().to_string().contains("larger than 1048576 bytes"));

    let good = directory.path().join("good.toml");
    std::fs::write(&good, "\u{feff}[log]\r\nformat = \"json\"\r\n").unwrap();
    assert!(check(&good).unwrap().ends_with("good.toml: ok"));
    assert_eq!(Config::load(Some(&good), std::iter::empty()).unwrap().log.format, LogFormat::Json);
}

#[test]
fn columns_count_characters() {
    let found = faults(load("log = { filter = \"info\", \"größe\" = 1 }\n"));
    assert_eq!(found, ["callboard.toml:1:26: log.größe: is no key"]);
}

#[test]
fn a_value_that_is_not_utf8_is_refused_with_its_variable() {
    let found = faults(load_with("", &[("CALLBOARD__LOG__FILTER", "in\u{fffd}o")]));
    assert!(
        found[0].starts_with("environment CALLBOARD__LOG__FILTER: log.filter: is not UTF-8"),
        "{found:?}"
    );
}

#[test]
fn variables_that_nearly_are_keys_are_refused() {
    let wrong = [
        ("CALLBOARD_LIMITS_CONNECTIONS", "5"),
        ("CALLBOARD__LISTEN__WPI_PORT", "tcp://x"),
        ("CALLBOARD__PORT", "tcp://x"),
    ];
    assert_eq!(
        faults(load_with("", &wrong)),
        [
            "environment CALLBOARD_LIMITS_CONNECTIONS: sets no key; did you mean CALLBOARD__LIMITS__CONNECTIONS?",
            "environment CALLBOARD__LISTEN__WPI_PORT: sets no key; did you mean CALLBOARD__LISTEN__WPI?",
            "environment CALLBOARD__PORT: sets no key",
        ]
    );
    for name in ["CALLBOARD_LOG", "CALLBOARD_SECURE_MODE_PORT", "CALLBOARD_TLS__NAMES", "CALLBOARD__X"] {
        assert_eq!(faults(load_with("", &[(name, "x")])).len(), 1, "{name}");
    }
}

#[test]
fn variables_of_others_keep_nobody_from_starting() {
    let links = [
        ("CALLBOARD_SERVICE_HOST", "10.0.0.11"),
        ("CALLBOARD_SERVICE_PORT_WPI", "18443"),
        ("CALLBOARD_PORT", "tcp://10.0.0.11:18443"),
        ("CALLBOARD_PORT_18443_TCP_PORT", "18443"),
        ("CALLBOARD_ADMIN_PORT_8443_TCP", "tcp://10.0.0.12:8443"),
        ("CALLBOARD_PORT_X_PORT_80_TCP_ADDR", "10.0.0.13"),
        ("CALLBOARD__X_SERVICE_HOST", "10.0.0.14"),
        ("CALLBOARD__LIMITS_PORT_80_UDP_PROTO", "udp"),
    ];
    let others = [
        ("CALLBOARD_VERSION", "0.1.0"),
        ("CALLBOARD_IMAGE", "callboard:0.1.0"),
        ("CALLBOARD_NAME", "/web/callboard"),
        ("CALLBOARD_ENV_LANG", "C"),
        ("CALLBOARD_LOGO", "x"),
        ("CALLBOARD_PORT", "18443"),
    ];
    for variables in [&links[..], &others] {
        assert_eq!(load_with("", variables).unwrap(), Config::default());
    }
    let told = |variables: &[(&str, &str)]| {
        let others = [("PATH", "/bin"), ("CALLBOARD__LOG__FORMAT", "json"), ("CALLBOARD_LOG", "x")];
        let all = variables.iter().chain(&others);
        foreign_variables(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    assert_eq!(told(&links), [""; 0]);
    assert_eq!(told(&others), others.map(|(name, _)| name));
}

#[test]
fn the_documentation_and_the_example_are_up_to_date() {
    same_as_file("docs/configuration.md", &docs());
    same_as_file("packaging/callboard.toml", &example());
}

#[test]
fn the_example_says_the_defaults() {
    let uncommented: Vec<_> = example()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned())
        .collect();
    let config = load(&uncommented.join("\n")).unwrap();
    for key in KEYS {
        assert_eq!(key.value(&config), key.value(&Config::default()), "{}", key.path());
        assert!(matches!(config.origin(key), Origin::File { .. }), "{} is missing", key.path());
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", value in "\\PC{0,40}") {
        let _ = load(&text);
        let _ = load(&format!("[limits]\nconnections = {value}\n[tls]\nnames = [{value}]\n"));
        for key in KEYS {
            let _ = load_with("", &[(&key.variable(), &value)]);
        }
    }

    #[test]
    fn numbers_are_taken_exactly_within_their_range(number in any::<i64>(), which in any::<prop::sample::Index>()) {
        let ranged: Vec<_> = KEYS.iter().filter(|key| matches!(key.form, Form::Whole { .. })).collect();
        let key = which.get(&ranged);
        let Form::Whole { min, max, .. } = key.form else { unreachable!() };
        let inside = u64::try_from(number).is_ok_and(|number| (min..=max).contains(&number));
        let mut given = Given::default();
        given.read_text("x", &format!("[{}]\n{} = {number}\n", key.section, key.name));
        prop_assert_eq!(given.faults.is_empty(), inside);
    }
}
