//! The phone's messages as ready-made bytes (WPI reference, sections 1.2 and 4.1).

use std::fmt::Write as _;

use super::profile::{self, BASIC_ITEMS, Flag, Profile};
use super::reply::Action;
use super::stencil::{Fill, Stencil};

/// Longest message body, in bytes; what is more goes into a further fragment.
pub(crate) const FRAGMENT_BYTES: usize = 9_492;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<WorkpointMessage \
     xmlns=\"http://www.siemens.com/DLS\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
     xsi:schemaLocation=\"http://www.siemens.com/DLS\">\n";

/// Which message a phone sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// `start-up` with the basic items.
    StartUp {
        /// Settings were changed at the phone since it last called.
        changed: bool,
    },
    /// A part of the read-all reply.
    Fragment {
        /// From 0.
        number: usize,
        /// Whether the phone has taken the written items.
        configured: bool,
    },
    /// Items were written without a fault.
    Written,
    /// `solicited` with the basic items: the phone was called, or told that work waits.
    Solicited,
    /// The phone does not do what it was told.
    Unwilling {
        /// What it was told.
        action: Action,
        /// Not now, because it is in a call; else not at all.
        busy: bool,
    },
    /// An item was not taken: the one that a campaign writes.
    NotWritten,
}

/// The item that a campaign writes. No template names it.
pub(crate) const CAMPAIGN_ITEM: &str = "hostname";

/// What a phone may be unwilling to do.
const TOLD: [Action; 3] = [Action::WriteItems, Action::SoftwareDeployment, Action::Restart];

/// All messages of one model's phones.
pub(crate) struct Messages {
    start_up: [Stencil; 2],
    fragments: [Vec<Stencil>; 2],
    written: Stencil,
    not_written: Stencil,
    solicited: Stencil,
    /// For each of [`TOLD`]: failed, busy.
    unwilling: Vec<[Stencil; 2]>,
}

/// What phones with the same messages have in common.
#[derive(Clone, Copy)]
struct Kind<'a> {
    model: usize,
    /// Firmware in place of the model's.
    version: Option<&'a str>,
}

impl Kind<'_> {
    /// A value of an item with the fields of this kind filled in.
    fn value(self, value: &str, changed: bool) -> String {
        let value = self
            .version
            .map_or_else(|| value.to_owned(), |version| value.replace("{software-version}", version));
        profile::for_model(&value, self.model, changed)
    }
}

impl Messages {
    pub(crate) fn new(model: usize, profile: &Profile) -> Self {
        Self::of(Kind { model, version: None }, profile)
    }

    /// Those of phones with other firmware.
    pub(crate) fn with_version(model: usize, profile: &Profile, version: &str) -> Self {
        Self::of(Kind { model, version: Some(version) }, profile)
    }

    fn of(kind: Kind<'_>, profile: &Profile) -> Self {
        let unwilling = |action| {
            ["failed", "busy"].map(|status| Stencil::compile(&reply_to(action, status, "    <ItemList/>\n")))
        };
        let refused = format!(
            "    <ItemList>\n      <Item name=\"{CAMPAIGN_ITEM}\" status=\"invalid data\"/>\n    </ItemList>\n"
        );
        let written = |items| Stencil::compile(&reply_to(Action::WriteItems, "accepted", items));
        Self {
            start_up: [false, true].map(|changed| opening(kind, "start-up", changed)),
            fragments: [false, true].map(|configured| read_all(kind, profile, configured)),
            written: written("    <ItemList/>\n"),
            not_written: written(&refused),
            solicited: opening(kind, "solicited", false),
            unwilling: TOLD.map(unwilling).into(),
        }
    }

    /// Into how many fragments the read-all reply is cut.
    pub(crate) fn fragment_count(&self, configured: bool) -> usize {
        self.fragments[usize::from(configured)].len()
    }

    fn stencil(&self, say: Say) -> &Stencil {
        match say {
            Say::StartUp { changed } => &self.start_up[usize::from(changed)],
            Say::Fragment { number, configured } => &self.fragments[usize::from(configured)][number],
            Say::Written => &self.written,
            Say::NotWritten => &self.not_written,
            Say::Solicited => &self.solicited,
            Say::Unwilling { action, busy } => {
                let at = TOLD.iter().position(|told| *told == action).unwrap_or_default();
                &self.unwilling[at][usize::from(busy)]
            }
        }
    }

    /// Replace the content of `out` by a whole HTTP request.
    pub(crate) fn request(
        &self,
        say: Say,
        fill: Fill<'_>,
        (path, host): (&str, &str),
        cookie: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let body = self.stencil(say);
        out.clear();
        for part in ["POST ", path, " HTTP/1.1\r\nHost: ", host, "\r\nContent-Type: text/xml\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(cookie) = cookie {
            for part in ["Cookie: ", cookie, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        body.render(fill, out);
    }

    /// Length of a message body in bytes.
    #[cfg(test)]
    fn body_len(&self, say: Say) -> usize {
        self.stencil(say).len()
    }
}

fn document(message_attributes: &str, reason_attributes: &str, reason: &str, items: &str) -> String {
    format!(
        "{HEAD}  <Message nonce=\"{{nonce}}\"{message_attributes}>\n    \
         <ReasonForContact{reason_attributes}>{reason}</ReasonForContact>\n{items}  </Message>\n</WorkpointMessage>\n"
    )
}

/// A reply of one part to an action other than a read.
fn reply_to(action: Action, status: &str, items: &str) -> String {
    document(
        " maxItems=\"-1\" fragment=\"final\"",
        &format!(" action=\"{}\" status=\"{status}\"", action.as_str()),
        "reply-to",
        items,
    )
}

/// A message that opens a flow.
fn opening(kind: Kind<'_>, reason: &str, changed: bool) -> Stencil {
    let mut list = String::from("    <ItemList>");
    for item in profile::items().iter().take(BASIC_ITEMS) {
        push_item(&mut list, item, &kind.value(item.value, changed));
    }
    list.push_str("\n    </ItemList>\n");
    Stencil::compile(&document(" maxItems=\"-1\"", "", reason, &list))
}

/// The read-all reply, cut so that no body is longer than [`FRAGMENT_BYTES`].
fn read_all(kind: Kind<'_>, profile: &Profile, configured: bool) -> Vec<Stencil> {
    let part = |list: &str, last: bool| {
        let fragment = if last { "final" } else { "next" };
        let text = document(
            &format!(" maxItems=\"-1\" fragment=\"{fragment}\""),
            " action=\"ReadAllItems\" status=\"accepted\"",
            "reply-to",
            &format!("    <ItemList>{list}\n    </ItemList>\n"),
        );
        Stencil::compile(&text)
    };
    let expected = super::template::expected_writes(&profile::items());
    let mut fragments = Vec::new();
    let mut list = String::new();
    for (at, reported) in profile.items.iter().enumerate() {
        let written = expected.iter().find(|(position, _)| configured && *position == at);
        let value = written.map_or(reported.spec.value, |(_, value)| value);
        let mut longer = list.clone();
        push_item(&mut longer, &reported.spec, &kind.value(value, false));
        if part(&longer, false).len() > FRAGMENT_BYTES {
            fragments.push(part(&list, false));
            longer.replace_range(..list.len(), "");
        }
        list = longer;
    }
    fragments.push(part(&list, true));
    fragments
}

/// One item as phones write it: on a line of its own, indented.
fn push_item(list: &mut String, item: &profile::ItemSpec, value: &str) {
    list.push_str("\n      <Item name=\"");
    list.push_str(item.name);
    if let Some(index) = item.index {
        // Writing to a String cannot fail.
        let _ = write!(list, "\" index=\"{index}");
    }
    if item.flag == Flag::Failed {
        list.push_str("\" status=\"failed\"/>");
        return;
    }
    list.push_str("\">");
    for c in value.chars() {
        match c {
            '&' => list.push_str("&amp;"),
            '<' => list.push_str("&lt;"),
            '>' => list.push_str("&gt;"),
            other => list.push(other),
        }
    }
    list.push_str("</Item>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::identity::Fleet;
    use crate::phone::profile::{MODELS, REPORTED_ITEMS};
    use crate::phone::stencil::NONCE_LEN;

    fn all_models() -> impl Iterator<Item = Messages> {
        (0..MODELS.len()).map(|model| Messages::new(model, &Profile::new(model)))
    }

    #[test]
    fn the_read_all_reply_is_24_kb_in_three_fragments() {
        for messages in all_models() {
            for configured in [false, true] {
                assert_eq!(messages.fragment_count(configured), 3);
                let lengths: Vec<_> =
                    (0..3).map(|number| messages.body_len(Say::Fragment { number, configured })).collect();
                assert!(lengths.iter().all(|len| *len <= FRAGMENT_BYTES), "{lengths:?}");
                assert!(lengths[..2].iter().all(|len| *len > FRAGMENT_BYTES - 600), "{lengths:?}");
                let total: usize = lengths.iter().sum();
                assert!((22_500..25_000).contains(&total), "{total}");
            }
        }
    }

    #[test]
    fn the_start_up_is_about_2_kb() {
        for messages in all_models() {
            let len = messages.body_len(Say::StartUp { changed: false });
            assert!((1_300..2_200).contains(&len), "{len}");
        }
    }

    #[test]
    fn phones_with_other_firmware_say_so_in_every_message() {
        let messages = Messages::with_version(1, &Profile::new(1), "V9 R1.0.0");
        let identity = Fleet::new(5).identity(9);
        let fill = Fill { identity: &identity, generation: 0, nonce: &[b'7'; NONCE_LEN] };
        for say in
            [Say::StartUp { changed: false }, Say::Solicited, Say::Fragment { number: 0, configured: true }]
        {
            let mut out = Vec::new();
            messages.request(say, fill, ("/", "h"), None, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("\"software-version\">V9 R1.0.0<"), "{text}");
            assert!(!text.contains("V3 R5.12.0"), "{text}");
        }
    }

    #[test]
    fn an_unwilling_phone_says_what_it_does_not_do() {
        let messages = Messages::new(0, &Profile::new(0));
        let identity = Fleet::new(5).identity(9);
        let fill = Fill { identity: &identity, generation: 0, nonce: &[b'7'; NONCE_LEN] };
        for (action, busy, said) in [
            (Action::SoftwareDeployment, false, "action=\"SoftwareDeployment\" status=\"failed\">reply-to<"),
            (Action::WriteItems, true, "action=\"WriteItems\" status=\"busy\">reply-to<"),
            (Action::Restart, true, "action=\"Restart\" status=\"busy\">reply-to<"),
        ] {
            let mut out = Vec::new();
            messages.request(Say::Unwilling { action, busy }, fill, ("/", "h"), None, &mut out);
            assert!(String::from_utf8(out).unwrap().contains(said), "{said}");
        }
    }

    #[test]
    fn requests_are_well_formed_and_complete() {
        let fleet = Fleet::new(5);
        let identity = fleet.identity(9);
        let messages = Messages::new(identity.model, &Profile::new(identity.model));
        let fill = Fill { identity: &identity, generation: 0, nonce: &[b'7'; NONCE_LEN] };
        let mut out = Vec::new();
        let mut items = 0;
        for number in 0..3 {
            let say = Say::Fragment { number, configured: false };
            messages.request(
                say,
                fill,
                ("/DeploymentService/LoginService", "h:1"),
                Some("a=b; Secure"),
                &mut out,
            );
            let text = String::from_utf8(out.clone()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /DeploymentService/LoginService HTTP/1.1\r\nHost: h:1\r\n"));
            assert!(head.contains("\r\nCookie: a=b; Secure\r\n"));
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
            assert!(body.contains(&format!("nonce=\"{}\"", "7".repeat(32))));
            assert!(body.contains(if number == 2 { "fragment=\"final\"" } else { "fragment=\"next\"" }));
            items += count_items(body);
        }
        assert_eq!(items, REPORTED_ITEMS);
    }

    /// Reads the document with an XML reader, so that a fault in the form shows.
    fn count_items(body: &str) -> usize {
        let mut reader = quick_xml::Reader::from_str(body);
        let mut count = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => return count,
                quick_xml::events::Event::Start(e) if e.name().as_ref() == "Item" => count += 1,
                quick_xml::events::Event::Empty(e) if e.name().as_ref() == "Item" => count += 1,
                _ => {}
            }
        }
    }
}
