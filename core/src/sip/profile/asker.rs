//! What a phone that asks for its profile says of itself.

use callboard_codecs::sip::{Essentials, Event, HeaderName, Request, Uri};

use super::ProfileType;
use crate::device::DeviceId;
use crate::sip::identify::{device_in, device_of_instance};
use crate::sip::vendor::Vendor;

/// Longest vendor, model or version that is looked at, in bytes; the rest is cut off.
pub const MAX_WORD_BYTES: usize = 64;

/// Longest user of an address that is looked at, in bytes.
const MAX_USER_BYTES: usize = 128;

/// A phone that asks for its profile. All of it is its own word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Its MAC address, if it says one.
    pub mac: Option<[u8; 6]>,
    /// Who made it, from the event or the `User-Agent`; empty if it does not say.
    pub vendor: Box<str>,
    /// Its model, from the event; empty if it does not say.
    pub model: Box<str>,
    /// Its firmware, from the event; empty if it does not say.
    pub version: Box<str>,
    /// What it asks for.
    pub profile_type: ProfileType,
}

impl Asker {
    /// Who asks with this SUBSCRIBE. `None` if it asks for a kind of profile that there is not.
    ///
    /// The MAC address stands in the user of one of the addresses: behind `MAC:` or `MAC=` (escapes resolved), as the node of a
    /// UUID, or by itself; else in the `User-Agent`.
    pub fn of(request: &Request<'_>, essentials: &Essentials<'_>, event: &Event<'_>) -> Option<Self> {
        let word = |name| event.params.text(name).map(shortened).unwrap_or_default();
        let profile_type = match event.params.text("profile-type") {
            None => ProfileType::Device,
            Some(text) => ProfileType::of(str::from_utf8(text).ok()?)?,
        };
        let agent = request.headers.first(HeaderName::UserAgent).and_then(|text| str::from_utf8(text).ok());
        let agent = agent.unwrap_or_default();
        let mut vendor: Box<str> = word("vendor");
        if vendor.is_empty() && Vendor::of(agent) != Vendor::Other {
            vendor = Vendor::of(agent).as_str().into();
        }
        let (from, to) = (essentials.from.uri().ok(), essentials.to.uri().ok());
        let addresses = [Some(essentials.uri), from, to];
        let mac = addresses.iter().flatten().find_map(mac_of).or_else(|| device_in(agent)?.mac());
        Some(Self { mac, vendor, model: word("model"), version: word("version"), profile_type })
    }

    /// The device that it is, if it says its MAC address.
    pub fn device(&self) -> Option<DeviceId> {
        let pairs = self.mac?.map(|byte| format!("{byte:02x}"));
        pairs.join(":").parse().ok()
    }
}

/// Printable ASCII up to the bound.
fn shortened(text: &[u8]) -> Box<str> {
    let is_good = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(byte);
    let good = text.iter().take_while(|byte| is_good(byte)).take(MAX_WORD_BYTES);
    good.map(|byte| char::from(*byte)).collect::<String>().trim().into()
}

fn mac_of(uri: &Uri<'_>) -> Option<[u8; 6]> {
    let uri = uri.sip()?;
    let is_short = uri.user.is_some_and(|user| user.len() <= MAX_USER_BYTES);
    let user: Vec<u8> = if is_short { uri.unescaped_user().collect() } else { Vec::new() };
    mac_in_user(str::from_utf8(&user).ok()?)
}

fn mac_in_user(user: &str) -> Option<[u8; 6]> {
    let mac = |text: &str| text.parse::<DeviceId>().ok()?.mac();
    if let Some((word, rest)) = user.split_at_checked(4)
        && ["mac:", "mac=", "mac-"].iter().any(|known| word.eq_ignore_ascii_case(known))
    {
        return mac(rest);
    }
    // Some fill up a UUID with zeros in place of one that is made of time and node.
    if let Some((zeros, node)) = user.split_at_checked("urn:uuid:00000000-0000-0000-0000-".len())
        && zeros.eq_ignore_ascii_case("urn:uuid:00000000-0000-0000-0000-")
    {
        return mac(node).filter(|mac| mac[0] & 1 == 0);
    }
    let is_urn = user.split_at_checked(4).is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("urn:"));
    // Other UUIDs say nothing about the device.
    if is_urn { device_of_instance(user) } else { device_in(user) }?.mac()
}

#[cfg(test)]
mod tests {
    use callboard_codecs::sip::{Index, Limits, Message, Strictness, parse};
    use proptest::prelude::*;

    use super::*;

    const MAC: Option<[u8; 6]> = Some([0x00, 0x15, 0x65, 0xaa, 0xbb, 0xcc]);

    fn asker(uri: &str, from: &str, more: &str) -> Option<Asker> {
        let text = format!(
            "SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <{from}>\r\nTo: <sip:224.0.1.75>\r\n\
             Call-ID: 1\r\nCSeq: 1 SUBSCRIBE\r\n{more}\r\n"
        );
        let mut index = Index::new();
        let Ok(Message::Request(request)) = parse(text.as_bytes(), &mut index, &Limits::default()) else {
            panic!("{text}")
        };
        let essentials = request.check(Strictness::Multicast).unwrap();
        Asker::of(&request, &essentials, &request.headers.event().unwrap().unwrap())
    }

    #[test]
    fn phones_say_their_address_in_many_ways() {
        let plain = "sip:224.0.1.75";
        let event = "Event: ua-profile\r\n";
        for (uri, from, more) in [
            ("sip:MAC%3a001565AABBCC@224.0.1.75", plain, event),
            ("sip:MAC=001565aabbcc@224.0.1.75", plain, event),
            (plain, "sip:MAC%3A00-15-65-AA-BB-CC@lan", event),
            ("sip:urn%3auuid%3a00000000-0000-1000-8000-001565AABBCC@h", plain, event),
            ("sip:urn%3auuid%3a00000000-0000-0000-0000-001565aabbcc@h", plain, event),
            ("sip:001565aabbcc@h", plain, event),
            (plain, plain, "Event: ua-profile\r\nUser-Agent: Yealink SIP-T46S 66.85 00:15:65:aa:bb:cc\r\n"),
        ] {
            assert_eq!(asker(uri, from, more).unwrap().mac, MAC, "{uri} {from}");
        }
        let digits = asker("sip:MAC%3a001565112233@h", plain, event).unwrap();
        assert_eq!(digits.device().map(|id| id.to_string()).as_deref(), Some("00:15:65:11:22:33"));
        for uri in [
            plain,
            "sip:498970011234@h",
            "sip:MAC%3axyz@h",
            "sip:urn%3auuid%3af81d4fae-7dec-41d0-a765-001ae8000001@h",
        ] {
            let asker = asker(uri, plain, event).unwrap();
            assert_eq!((asker.mac, asker.device()), (None, None), "{uri}");
        }
    }

    #[test]
    fn the_event_says_what_it_is() {
        let event = "Event: ua-profile;profile-type=\"device\";vendor=\"snom\";model=\"snom370\";version=\"8.7.5\"\r\n";
        let snom = asker("sip:h", "sip:h", event).unwrap();
        assert_eq!((&*snom.vendor, &*snom.model, &*snom.version), ("snom", "snom370", "8.7.5"));
        let old =
            "Event: ua-profile;profile-type=\"application\";model=\"420HD\"\r\nUser-Agent: Mitel 6869i\r\n";
        let old = asker("sip:h", "sip:h", old).unwrap();
        assert_eq!((&*old.vendor, old.profile_type), ("mitel", ProfileType::Application));
        assert_eq!(asker("sip:h", "sip:h", "Event: ua-profile;profile-type=other\r\n"), None);
        let long = format!("Event: ua-profile;model=\"{}\"\r\n", "x".repeat(200));
        assert_eq!(asker("sip:h", "sip:h", &long).unwrap().model.len(), MAX_WORD_BYTES);
    }

    proptest! {
        #[test]
        fn any_user_is_looked_at(user in "\\PC{0,60}") {
            let _ = mac_in_user(&user);
        }
    }
}
