//! The short way for plain items and the general scanner must tell the same of every body.

use proptest::prelude::*;

use super::*;

/// Pieces of which item lists are made, good ones and bad ones.
const PIECES: &[&str] = &[
    "<Item name=\"a\">1</Item>",
    "<Item name=\"key-label-unicode\" index=\"1\">S\u{f6}ren</Item>",
    "\n      <Item name=\"b\"></Item>",
    "<Item name=\"",
    "<Item name='",
    "<Item  name=\"",
    "<Item index=\"",
    "<w:Item name=\"",
    "<Item",
    "<New>",
    "</New>",
    "<ItemList>",
    "<ItemList/>",
    "</ItemList>",
    "</Item>",
    "</Item >",
    "</w:Item>",
    "\"",
    "'",
    "\">",
    "\"/>",
    "\" index=\"",
    "\" index=\"2\"",
    "\" index=\"99999999999\"",
    "\" status=\"failed\"",
    ">",
    "/>",
    "<",
    "&amp;",
    "&",
    "&#32;",
    "a",
    "name",
    "7",
    " ",
    "\t\n",
    "\r\n",
    "\u{f6}",
    "value of some length",
    "<!-- -->",
    "<![CDATA[",
    "]]>",
    "<?pi?>",
];

fn agree(body: &str, limits: &Limits) -> Result<(), TestCaseError> {
    let short = Reader::<true>::new(body, limits).phone_document().map_err(|fault| fault.within(body));
    let general = Reader::<false>::new(body, limits).phone_document().map_err(|fault| fault.within(body));
    prop_assert_eq!(short, general, "{}", body);
    Ok(())
}

fn listing(items: &str) -> String {
    format!(
        "<WorkpointMessage><Message nonce=\"A1\"><ReasonForContact>status</ReasonForContact>\
         <ItemList>{items}</ItemList></Message></WorkpointMessage>"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn on_lists_of_pieces(
        picks in prop::collection::vec(prop::sample::select(PIECES), 0..16),
        max_items in 0_usize..4,
        max_name_bytes in 0_usize..20,
        max_value_bytes in 0_usize..20,
    ) {
        let limits = Limits { max_items, max_name_bytes, max_value_bytes, max_status_bytes: 4 };
        agree(&listing(&picks.concat()), &limits)?;
    }

    #[test]
    fn on_good_lists_with_one_odd_piece(
        before in prop::collection::vec(prop::sample::select(&PIECES[..3]), 0..4),
        odd in prop::collection::vec(prop::sample::select(PIECES), 0..4),
        after in prop::collection::vec(prop::sample::select(&PIECES[..3]), 0..4),
    ) {
        let items = [before.concat(), odd.concat(), after.concat()].concat();
        agree(&listing(&items), &Limits::default())?;
    }

    #[test]
    fn on_any_text_in_a_list(items in "[ -~\\n\\r\u{f6}<>&\"]{0,60}") {
        agree(&listing(&items), &Limits::default())?;
        agree(&listing(&format!("<Item name=\"{items}\">{items}</Item>")), &Limits::default())?;
    }
}
