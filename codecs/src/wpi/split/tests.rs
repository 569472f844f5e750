//! Tests of the splitter.

use super::*;

fn names(batches: &[Vec<ItemRef<'_>>]) -> Vec<Vec<String>> {
    let name = |item: &ItemRef<'_>| match item.index {
        Some(index) => format!("{}[{index}]", item.name),
        None => item.name.to_owned(),
    };
    batches.iter().map(|batch| batch.iter().map(name).collect()).collect()
}

#[test]
fn related_items_stay_together() {
    let items = [
        ItemRef::new("sntp-tz-offset", "60"),
        ItemRef::new("reg-addr", "198.51.100.20"),
        ItemRef::indexed("function-key-def", 1, "59"),
        ItemRef::new("reg-port", "5060"),
        ItemRef::indexed("key-label-unicode", 2, "Anna"),
        ItemRef::indexed("key-label-unicode", 1, "Bert"),
        ItemRef::indexed("line-sip-uri", 1, "100"),
    ];
    let batches = split_items(&items, Some(3), 51_200, Dialect::Current).unwrap();
    assert_eq!(
        names(&batches),
        [
            vec!["sntp-tz-offset", "reg-addr", "reg-port"],
            vec!["function-key-def[1]", "key-label-unicode[1]", "line-sip-uri[1]"],
            vec!["key-label-unicode[2]"],
        ]
    );
}

#[test]
fn unrelated_items_keep_their_order() {
    let items = ["time", "dhcp", "hostname", "realm", "qos-layer2"].map(|name| ItemRef::new(name, "1"));
    let batches = split_items(&items, Some(2), 51_200, Dialect::Current).unwrap();
    assert_eq!(names(&batches), [vec!["time", "dhcp"], vec!["hostname", "realm"], vec!["qos-layer2"]]);
    assert_eq!(split_items(&items, None, 51_200, Dialect::Current).unwrap(), [items]);
    assert_eq!(split_items(&items, Some(0), 51_200, Dialect::Current).unwrap(), [items]);
    assert!(split_items(&[], Some(2), 51_200, Dialect::Current).unwrap().is_empty());
}

#[test]
fn the_relations_of_the_reference_are_known() {
    let related = [
        &["reg-addr", "reg-port"][..],
        &["registrar-addr", "registrar-port"],
        &["outbound-proxy", "outbound-proxy-user"],
        &["sgnl-gateway-addr", "sgnl-gateway-port", "sgnl-gateway-addr-user", "sgnl-gateway-port-user"],
        &["dls-addr", "dls-port", "dls-secure-port", "goto-secure-mode", "dls-server-ca", "secure-mode-data"],
        &["file-server", "file-port"],
        &["ldap-server-address", "ldap-server-port"],
        &["snmp-trap-addr", "snmp-trap-port"],
        &["made-up-addr", "made-up-port"],
    ];
    for (place, family) in related.iter().enumerate() {
        let relation = |name: &'static str| Relation::of(&ItemRef::new(name, ""));
        for name in *family {
            assert!(relation(name).is_some() && relation(name) == relation(family[0]), "{name}");
        }
        for other in related[place + 1..].iter().copied().flatten() {
            assert_ne!(relation(other), relation(family[0]), "{other}");
        }
    }
}

#[test]
fn instances_are_related_by_their_index() {
    let related = [
        &[
            "function-key-def",
            "key-label",
            "select-dial",
            "repertory-dial",
            "forwarding-dest",
            "line-sip-uri",
            "FPK-app-name",
            "send-url-port",
            "stimulus-new",
            "blf-new",
        ][..],
        &["codec-type", "codec-rank", "codec-new"],
        &["Canonical-lookup-local-code", "Canonical-lookup-international-code"],
        &["XML-app-name", "XML-app-server-port"],
        &["file-server", "file-pwd"],
    ];
    for (place, family) in related.iter().enumerate() {
        let relation = |name: &'static str, index| Relation::of(&ItemRef::indexed(name, index, ""));
        for name in *family {
            assert_eq!(relation(name, 7), relation(family[0], 7), "{name}");
            assert_ne!(relation(name, 7), relation(name, 8), "{name}");
        }
        for other in related[place + 1..].iter().copied().flatten() {
            assert_ne!(relation(other, 7), relation(family[0], 7), "{other}");
        }
    }
    assert_eq!(Relation::of(&ItemRef::new("hostname", "")), None);
    assert_eq!(Relation::of(&ItemRef::indexed("trace-level", 1, "")), None);
}

#[test]
fn a_group_over_a_limit_is_cut() {
    let items: Vec<_> = ["time", "function-key-def", "key-label", "select-dial"]
        .map(|name| ItemRef::indexed(name, 1, "x"))
        .into();
    let batches = split_items(&items, Some(2), 51_200, Dialect::Current).unwrap();
    assert_eq!(
        names(&batches),
        [vec!["time[1]"], vec!["function-key-def[1]", "key-label[1]"], vec!["select-dial[1]"]]
    );
}

#[test]
fn the_size_limit_is_met_exactly() {
    let room = 51_200 - service_overhead(Action::WriteItems);
    let value = "v".repeat(room - "<Item name=\"x\"></Item>".len());
    let fits = [ItemRef::new("x", &value), ItemRef::new("y", "")];
    let batches = split_items(&fits, None, 51_200, Dialect::Current).unwrap();
    assert_eq!(names(&batches), [["x"], ["y"]]);
    let refused = Err(EmitError::TooLarge { limit: 51_200 });
    assert_eq!(split_items(&[ItemRef::new("xx", &value)], None, 51_200, Dialect::Current), refused);
    assert_eq!(split_items(&fits[1..], None, 10, Dialect::Current), Err(EmitError::TooLarge { limit: 10 }));
}

#[test]
fn an_item_that_cannot_be_written_is_named() {
    let items = [ItemRef::new("x", ""), ItemRef::new("y", "\0")];
    let refused = Err(EmitError::IllegalCharacter { item: 1 });
    assert_eq!(split_items(&items, None, 51_200, Dialect::Current), refused);
}
