//! Every message of RFC 4475 (torture tests) and RFC 5118 (the same for IPv6) at the registrar: what it answers, beside what the
//! RFC says that an element which knows REGISTER, OPTIONS and SUBSCRIBE does.

use super::world::{PHONE, World, udp};

/// Section, name, what the RFC allows, what is answered; 0 is nothing.
type Case = (&'static str, &'static str, &'static [u16], u16);

const RFC4475: &[Case] = &[
    ("3.1.1.1", "wsinv", &[200, 405], 405),
    ("3.1.1.2", "intmeth", &[405, 501], 501),
    ("3.1.1.3", "esc01", &[200, 405], 405),
    ("3.1.1.4", "escnull", &[200], 200),
    ("3.1.1.5", "esc02", &[405, 501], 501),
    ("3.1.1.6", "lwsdisp", &[200], 200),
    ("3.1.1.7", "longreq", &[200, 405], 405),
    ("3.1.1.8", "dblreq", &[200], 200),
    ("3.1.1.9", "semiuri", &[200], 200),
    ("3.1.1.10", "transports", &[200], 200),
    ("3.1.1.11", "mpart01", &[200, 405], 405),
    ("3.1.1.12", "unreason", &[0], 0),
    ("3.1.1.13", "noreason", &[0], 0),
    ("3.1.2.1", "badinv01", &[400], 400),
    ("3.1.2.2", "clerr", &[400], 400),
    ("3.1.2.3", "ncl", &[400], 400),
    ("3.1.2.4", "scalar02", &[400], 400),
    ("3.1.2.5", "scalarlg", &[0], 0),
    ("3.1.2.6", "quotbal", &[400], 400),
    ("3.1.2.7", "ltgtruri", &[400, 405], 400),
    ("3.1.2.8", "lwsruri", &[400, 405], 400),
    ("3.1.2.9", "lwsstart", &[400, 405], 400),
    ("3.1.2.10", "trws", &[400, 200], 400),
    ("3.1.2.11", "escruri", &[400, 405], 400),
    ("3.1.2.12", "baddate", &[400, 405], 405),
    ("3.1.2.13", "regbadct", &[400], 400),
    ("3.1.2.14", "badaspec", &[400, 200], 400),
    ("3.1.2.15", "baddn", &[400, 200], 400),
    ("3.1.2.16", "badvers", &[505], 505),
    ("3.1.2.17", "mismatch01", &[400], 400),
    ("3.1.2.18", "mismatch02", &[400, 501], 501),
    ("3.1.2.19", "bigcode", &[0], 0),
    ("3.2.1", "badbranch", &[200], 200),
    ("3.3.1", "insuf", &[400], 400),
    ("3.3.2", "unkscm", &[416], 416),
    ("3.3.3", "novelsc", &[416], 416),
    ("3.3.4", "unksm2", &[400, 404], 404),
    ("3.3.5", "bext01", &[420], 420),
    ("3.3.6", "invut", &[405, 415], 405),
    ("3.3.7", "regaut01", &[401], 401),
    ("3.3.8", "multi01", &[400], 400),
    ("3.3.9", "mcl01", &[400], 400),
    ("3.3.10", "bcast", &[0], 0),
    ("3.3.11", "zeromf", &[200], 200),
    ("3.3.12", "cparam01", &[200], 200),
    ("3.3.13", "cparam02", &[200], 200),
    ("3.3.14", "regescrt", &[200], 200),
    ("3.3.15", "sdp01", &[405, 406], 405),
    ("3.4.1", "inv2543", &[200, 405], 405),
];

const RFC5118: &[Case] = &[
    ("4.1", "ipv6-good", &[200], 200),
    ("4.2", "ipv6-bad", &[400], 400),
    ("4.3", "port-ambiguous", &[200], 200),
    ("4.4", "port-unambiguous", &[200], 200),
    ("4.5", "via-received-param-with-delim", &[405, 481], 405),
    ("4.5", "via-received-param-no-delim", &[200], 200),
    ("4.6", "ipv6-in-sdp", &[200, 405], 405),
    ("4.7", "mult-ip-in-header", &[405, 481], 405),
    ("4.8", "mult-ip-in-sdp", &[200, 405], 405),
    ("4.9", "ipv4-mapped-ipv6", &[200, 405], 405),
    ("4.10", "ipv6-bug-abnf-3-colons", &[200, 400], 200),
    ("4.10", "ipv6-correct-abnf-2-colons", &[200], 200),
];

fn message(rfc: &str, name: &str) -> Vec<u8> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../codecs/tests/data");
    std::fs::read(format!("{data}/{rfc}/{name}.dat")).unwrap()
}

/// What a registrar answers that asks for passwords only where it matters for the message.
fn answered(rfc: &str, name: &str) -> u16 {
    let asks = name == "regaut01";
    let world = if asks {
        World::new(callboard_core::service::sip::SipSettings::default())
    } else {
        World::trusting()
    };
    let answer = world.send(&udp(PHONE), message(rfc, name));
    if name == "escnull" {
        assert_eq!(answer.headers("Contact").count(), 2, "{}", answer.text);
    }
    answer.status()
}

#[test]
fn every_message_gets_the_answer_of_its_rfc() {
    let mut wrong = Vec::new();
    println!("{:9} {:10} {:30} {:12} ours", "RFC", "section", "message", "RFC's answer");
    for (rfc, cases) in [("rfc4475", RFC4475), ("rfc5118", RFC5118)] {
        for (section, name, allowed, ours) in cases {
            let answer = answered(rfc, name);
            let words: Vec<_> = allowed.iter().map(|status| word(*status)).collect();
            println!("{rfc:9} {section:10} {name:30} {:12} {}", words.join(" or "), word(answer));
            if answer != *ours || !allowed.contains(&answer) {
                wrong.push(format!("{name}: {answer}, not {ours}"));
            }
        }
    }
    assert_eq!((RFC4475.len(), RFC5118.len()), (49, 12));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn word(status: u16) -> String {
    if status == 0 { "none".to_owned() } else { status.to_string() }
}
