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
