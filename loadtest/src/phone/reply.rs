//! Reading and checking what the service says (WPI reference, sections 4.1, 4.5 and 5.2).

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::stencil::NONCE_LEN;
use crate::fault::Fault;

const NAMESPACE: &str = "http://www.siemens.com/DLS";

/// What the phone is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    ReadAllItems,
    ReadItems,
    WriteItems,
    Restart,
    SoftwareDeployment,
    FileDeployment,
    GetNextFragment,
    CleanUp,
}

impl Action {
    const ALL: [Self; 8] = [
        Self::ReadAllItems,
        Self::ReadItems,
        Self::WriteItems,
        Self::Restart,
        Self::SoftwareDeployment,
        Self::FileDeployment,
        Self::GetNextFragment,
        Self::CleanUp,
    ];

    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ReadAllItems => "ReadAllItems",
            Self::ReadItems => "ReadItems",
            Self::WriteItems => "WriteItems",
            Self::Restart => "Restart",
            Self::SoftwareDeployment => "SoftwareDeployment",
            Self::FileDeployment => "FileDeployment",
            Self::GetNextFragment => "GetNextFragment",
            Self::CleanUp => "CleanUp",
        }
    }
}

/// An item of the service's message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) index: Option<u32>,
    pub(crate) value: String,
}

/// A service message whose form and nonce are good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) action: Action,
    pub(crate) items: Vec<Told>,
}

impl Reply {
    /// Whether this is the service's way to say "later".
    pub(crate) fn is_overload(&self) -> bool {
        self.action == Action::CleanUp
            && self.items.iter().any(|i| i.name == "cleanup-reason" && i.value == "overload")
    }
}

/// Where in the document the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    /// In a signed envelope, but not in its message. The number of open elements.
    Envelope(u32),
    Root,
    Message,
    Action,
    ItemList,
    Item,
    After,
}

struct Parse<'n> {
    nonce: &'n [u8; NONCE_LEN],
    place: Place,
    /// Elements of a signed envelope that enclose the root.
    enclosing: u32,
    action: Option<String>,
    nonce_seen: bool,
    items: Vec<Told>,
}

/// Read a service message and check that it answers the message of that nonce.
pub(crate) fn read(body: &[u8], nonce: &[u8; NONCE_LEN]) -> Result<Reply, Fault> {
    let text = str::from_utf8(body).map_err(|_| bad("not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut parse = Parse {
        nonce,
        place: Place::Outside,
        enclosing: 0,
        action: None,
        nonce_seen: false,
        items: Vec::new(),
    };
    loop {
        match reader.read_event().map_err(|error| bad(&error.to_string()))? {
            Event::Start(element) => parse.open(&element)?,
            Event::Empty(element) => {
                parse.open(&element)?;
                parse.close();
            }
            Event::End(_) => parse.close(),
            Event::Text(text) => parse.text(&text.xml10_content())?,
            Event::CData(text) => parse.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let text = resolve(&reference)?;
                parse.text(&text)?;
            }
            Event::DocType(_) => return Err(bad("a DTD")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return parse.finish(),
        }
    }
}

fn bad(why: &str) -> Fault {
    Fault::Xml(why.to_owned())
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, Fault> {
    if let Some(c) = reference.resolve_char_ref().map_err(|error| bad(&error.to_string()))? {
        return Ok(c.to_string());
    }
    let name = reference.xml10_content();
    let text = match &*name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        _ => return Err(bad("unknown entity")),
    };
    Ok(text.to_owned())
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, Fault> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| bad(&error.to_string()))?;
        if attribute.key.into_inner() == name {
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| bad(&error.to_string()))?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

impl Parse<'_> {
    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), Fault> {
        let name = element.name();
        self.place = match (self.place, name.into_inner()) {
            (Place::Outside | Place::Envelope(_), "DLSMessage") => {
                if attribute(element, "xmlns")?.as_deref() != Some(NAMESPACE) {
                    return Err(bad("the root is not in the DLS namespace"));
                }
                self.enclosing = if let Place::Envelope(depth) = self.place { depth } else { 0 };
                Place::Root
            }
            (Place::Outside, "Signature") => Place::Envelope(1),
            (Place::Envelope(depth), _) => Place::Envelope(depth + 1),
            (Place::Root, "Message") if !self.nonce_seen => {
                let nonce = attribute(element, "nonce")?.ok_or_else(|| bad("no nonce"))?;
                if nonce.as_bytes() != self.nonce {
                    return Err(Fault::Nonce(nonce));
                }
                self.nonce_seen = true;
                Place::Message
            }
            (Place::Message, "Action") if self.action.is_none() => {
                self.action = Some(String::new());
                Place::Action
            }
            (Place::Message, "ItemList") if self.action.is_some() => Place::ItemList,
            (Place::ItemList, "Item") => {
                let index = attribute(element, "index")?
                    .map(|index| index.parse().map_err(|_| Fault::Items(format!("index {index:?}"))));
                let name = attribute(element, "name")?.ok_or_else(|| bad("an item without a name"))?;
                self.items.push(Told { name, index: index.transpose()?, value: String::new() });
                Place::Item
            }
            (place, name) => return Err(bad(&format!("element {name} in {place:?}"))),
        };
        Ok(())
    }

    fn close(&mut self) {
        self.place = match self.place {
            Place::Envelope(1) | Place::Outside | Place::After => Place::After,
            Place::Envelope(depth) => Place::Envelope(depth - 1),
            Place::Root if self.enclosing > 0 => Place::Envelope(self.enclosing),
            Place::Root => Place::After,
            Place::Message => Place::Root,
            Place::Action | Place::ItemList => Place::Message,
            Place::Item => Place::ItemList,
        };
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        match self.place {
            Place::Action => self.action.get_or_insert_default().push_str(text),
            Place::Item => {
                if let Some(item) = self.items.last_mut() {
                    item.value.push_str(text);
                }
            }
            Place::Envelope(_) => {}
            _ if text.trim_ascii().is_empty() => {}
            place => return Err(bad(&format!("text in {place:?}"))),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Reply, Fault> {
        if self.place != Place::After {
            return Err(bad("truncated, or no document"));
        }
        let word = self.action.as_deref().ok_or_else(|| bad("no action"))?.trim_ascii();
        let action = Action::ALL.into_iter().find(|action| action.as_str() == word);
        let action = action.ok_or_else(|| bad(&format!("action {word:?}")))?;
        for item in &mut self.items {
            if item.value.trim_ascii().len() != item.value.len() {
                item.value = item.value.trim_ascii().to_owned();
            }
        }
        Ok(Reply { action, items: self.items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_LEN] = *b"4A1F00C27B9E4D5588316677AA90BC01";

    fn document(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DLSMessage xmlns=\"{NAMESPACE}\">\n \
             <Message nonce=\"4A1F00C27B9E4D5588316677AA90BC01\">{inner}</Message>\n</DLSMessage>\n"
        )
    }

    fn label(document: &str) -> &'static str {
        read(document.as_bytes(), &NONCE).map_or_else(|fault| fault.label(), |_| "good")
    }

    #[test]
    fn items_are_read_with_entities_and_indexes() {
        let text = document(
            "<Action> WriteItems\n</Action><ItemList><Item name=\"key-label-unicode\" index=\"3\">A &amp; B&#246;</Item>\
             <Item name=\"park-server\"/></ItemList>",
        );
        let reply = read(text.as_bytes(), &NONCE).unwrap();
        assert_eq!(reply.action, Action::WriteItems);
        assert_eq!(reply.items[0].value, "A & Bö");
        assert_eq!((reply.items[0].name.as_str(), reply.items[0].index), ("key-label-unicode", Some(3)));
        assert_eq!((reply.items[1].value.as_str(), reply.items[1].index), ("", None));
    }

    #[test]
    fn a_signed_envelope_is_read() {
        let message = document("<Action>CleanUp</Action>");
        let message = message.split_once("?>\n").unwrap().1;
        let text = format!(
            "<Signature xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><SignedInfo><Reference URI=\"#DLSMessage\">\
             <DigestValue>aGk=</DigestValue></Reference></SignedInfo><SignatureValue>aGk=</SignatureValue>\
             <Object Id=\"DLSMessage\">{message}</Object></Signature>"
        );
        assert_eq!(read(text.as_bytes(), &NONCE).unwrap().action, Action::CleanUp);
    }

    #[test]
    fn overload_is_recognised() {
        let item = "<ItemList><Item name=\"cleanup-reason\">overload</Item></ItemList>";
        let read = |action: &str| {
            read(document(&format!("<Action>{action}</Action>{item}")).as_bytes(), &NONCE)
                .unwrap()
                .is_overload()
        };
        assert!(read("CleanUp"));
        assert!(!read("WriteItems"));
    }

    #[test]
    fn every_fault_of_form_is_found() {
        let good = document("<Action>CleanUp</Action>");
        assert_eq!(label(&good), "good");
        assert_eq!(label(&good.replace("4A1F", "4a1f")), "nonce");
        assert_eq!(label(&good.replace(" nonce=\"4A1F00C27B9E4D5588316677AA90BC01\"", "")), "xml");
        assert_eq!(label(&good.replace("CleanUp", "TidyUp")), "xml");
        assert_eq!(label(&good.replace("siemens.com/DLS", "example.com")), "xml");
        assert_eq!(label(&good.replace("</DLSMessage>", "")), "xml");
        assert_eq!(label(&good.replace("DLSMessage", "DlsMessage")), "xml");
        assert_eq!(label(&good.replace("<Action>CleanUp</Action>", "")), "xml");
        assert_eq!(label(&format!("{good}more")), "xml");
        assert_eq!(label(""), "xml");
        assert_eq!(label(&good.replace("?>\n", "?><!DOCTYPE a [<!ENTITY b \"c\">]>\n")), "xml");
        let index =
            document("<Action>WriteItems</Action><ItemList><Item name=\"a\" index=\"x\"/></ItemList>");
        assert_eq!(label(&index), "items");
    }
}
