//! SIP in the API: registrations, realms, credentials.

mod credentials;
mod devices;
mod import;
mod profiles;
mod realms;
mod registrations;

use callboard_admin_api::ApiSettings;
use callboard_core::service::Settings;
use callboard_core::service::sip::{Incoming, Reaction, Scratch, SipSettings};
use callboard_core::sip::binding::{Flow, Transport};
use callboard_core::sip::location::Place;
use callboard_core::sip::trust::Trust;
use serde_json::Value;

use crate::harness::{Rig, settings};

/// Everybody may register.
fn rig() -> Rig {
    let trust = Trust::new(vec!["0.0.0.0/0".parse().unwrap()], true).unwrap();
    let mut sip = SipSettings { trust, ..SipSettings::default() };
    sip.location.registrar.spread_percent = 0;
    let api = ApiSettings { page_limit: 20, ..ApiSettings::default() };
    Rig::with(Settings { sip, ..settings() }, api)
}

/// A REGISTER over a transport; `more` are header fields with their line ends.
pub(crate) fn register_over(rig: &Rig, transport: Transport, user: &str, more: &str) -> Place {
    let connection = u64::from(transport.is_reliable());
    let flow = Flow { transport, connection, ..Flow::udp("192.0.2.4:5060".parse().unwrap()) };
    let request = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK{user};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\n\
         Call-ID: call-{user}\r\nCSeq: 7 REGISTER\r\n{more}Content-Length: 0\r\n\r\n"
    );
    let incoming = Incoming { bytes: request.as_bytes(), flow, proof: None };
    let mut answer = Vec::new();
    let now = rig.service.now();
    let reaction = rig.service.sip_received(&incoming, &mut Scratch::default(), now, &mut answer);
    let answer = String::from_utf8_lossy(&answer);
    match reaction {
        Reaction::AnswerAfter(_, Some(place)) if answer.contains(" 200 OK") => place,
        reaction => panic!("{reaction:?} {answer}"),
    }
}

/// The same in a datagram, from the contact's address.
pub(crate) fn register(rig: &Rig, user: &str, more: &str) {
    let contact = format!("Contact: <sip:{user}@192.0.2.4>\r\n{more}");
    register_over(rig, Transport::Udp, user, &contact);
}

fn field<'a>(page: &'a Value, name: &str) -> Vec<&'a str> {
    page["items"].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap()).collect()
}

/// One field of all entries of a list, over all its pages.
pub(crate) async fn all(rig: &Rig, path: &str, name: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = rig.get(&format!("{path}{cursor}")).await.expect(200);
        seen.extend(field(&page, name).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
    }
}

/// Texts of the events about what administrators did, newest first.
pub(crate) async fn deeds(rig: &Rig, filter: &str) -> Vec<String> {
    let events = rig.get(&format!("/events?kind=admin-change{filter}")).await.expect(200);
    field(&events, "text").into_iter().map(str::to_owned).collect()
}
