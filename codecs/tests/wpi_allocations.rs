//! Reading allocates for the list of items and for nothing else, as long as no text needs a change.

use callboard_codecs::wpi::{Limits, catalogue, parse_phone_message};

/// A phone's message with so many items; each has `value` as its value.
fn body(items: usize, value: &str) -> String {
    let names: Vec<_> = catalogue::all().map(|(_, entry)| entry.name).collect();
    let list: Vec<_> = (0..items)
        .map(|place| {
            format!("\n<Item name=\"{}\" index=\"{place}\">{value}</Item>", names[place % names.len()])
        })
        .collect();
    format!(
        "<WorkpointMessage><Message nonce=\"A1\" fragment=\"final\"><ReasonForContact action=\"ReadAllItems\" \
         status=\"accepted\">reply-to</ReasonForContact><ItemList>{}</ItemList></Message></WorkpointMessage>",
        list.concat()
    )
}

fn allocations(body: &str, items: usize) -> u64 {
    let counted = allocation_counter::measure(|| {
        let message = parse_phone_message(body.as_bytes(), &Limits::default())
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(message.items.len(), items);
    });
    counted.count_total
}

#[test]
fn items_without_references_are_not_allocated_for() {
    for items in [1, 18, 320, 2_000] {
        assert_eq!(allocations(&body(items, "198.51.100.20"), items), 1, "{items} items");
    }
}

#[test]
fn neither_are_items_in_unusual_forms() {
    let odd = body(320, " <?pi?>4989700112").replace("<Item name", "<w:Item  status = 'failed' name");
    let odd = odd.replace("</Item>", "</w:Item >");
    assert_eq!(allocations(&odd, 320), 1);
}

#[test]
fn a_reference_costs_its_item_one_copy() {
    assert_eq!(allocations(&body(320, "S&#246;ren"), 320), 321);
}

#[test]
fn the_list_is_small_against_the_body() {
    for body in [
        body(320, "198.51.100.20"),
        body(1, ""),
        body(0, "").replace("<ItemList>", &"<ItemList/>".repeat(9_999)),
    ] {
        let counted = allocation_counter::measure(|| {
            let _ = parse_phone_message(body.as_bytes(), &Limits::default());
        });
        assert!(counted.bytes_max <= 4 * body.len() as u64, "{} bytes for {}", counted.bytes_max, body.len());
    }
}
