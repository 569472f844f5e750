//! The phone's messages as ready-made bytes (WPI reference, sections 1.2 and 4.1).

use std::fmt::Write as _;

use super::profile::{self, BASIC_ITEMS, Flag, Profile};
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
}

/// All messages of one model's phones.
pub(crate) struct Messages {
    start_up: [Stencil; 2],
    fragments: [Vec<Stencil>; 2],
    written: Stencil,
}

impl Messages {
    pub(crate) fn new(model: usize, profile: &Profile) -> Self {
        let start_up = [false, true].map(|changed| start_up(model, changed));
        let fragments = [false, true].map(|configured| read_all(model, profile, configured));
        let written = document(
            " maxItems=\"-1\" fragment=\"final\"",
            " action=\"WriteItems\" status=\"accepted\"",
            "reply-to",
            "    <ItemList/>\n",
        );
        Self { start_up, fragments, written: Stencil::compile(&written) }
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

fn start_up(model: usize, changed: bool) -> Stencil {
    let mut list = String::from("    <ItemList>");
    for item in profile::items().iter().take(BASIC_ITEMS) {
        push_item(&mut list, item, &profile::for_model(item.value, model, changed));
    }
    list.push_str("\n    </ItemList>\n");
    Stencil::compile(&document(" maxItems=\"-1\"", "", "start-up", &list))
}

/// The read-all reply, cut so that no body is longer than [`FRAGMENT_BYTES`].
fn read_all(model: usize, profile: &Profile, configured: bool) -> Vec<Stencil> {
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
        push_item(&mut longer, &reported.spec, &profile::for_model(value, model, false));
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
