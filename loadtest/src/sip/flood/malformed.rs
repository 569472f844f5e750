//! Datagrams that are no SIP, or bad SIP.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::super::DOMAIN;

/// Ways to be bad.
const WAYS: u32 = 12;

/// The header fields that every request has; `what` is what makes this one bad.
fn request(out: &mut Vec<u8>, method: &str, via: &str, cseq: &str, what: &str) {
    let text = format!(
        "{method} sip:{DOMAIN} SIP/2.0\r\n{via}Max-Forwards: 70\r\nFrom: <sip:x@{DOMAIN}>;tag=1\r\n\
         To: <sip:x@{DOMAIN}>\r\nCall-ID: x\r\nCSeq: {cseq}\r\n{what}\r\n"
    );
    out.extend_from_slice(text.as_bytes());
}

/// Append the datagram with this number.
pub(super) fn write(number: u32, random: &mut StdRng, out: &mut Vec<u8>) {
    const VIA: &str = "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx;rport\r\n";
    const CSEQ: &str = "1 REGISTER";
    let start = out.len();
    match number % WAYS {
        0 => out.extend((0..random.random_range(1..400)).map(|_| random.random::<u8>())),
        1 => {
            request(out, "REGISTER", VIA, CSEQ, "Contact: <sip:x@127.0.0.1>\r\n");
            let length = out.len() - start;
            out.truncate(start + random.random_range(1..length));
        }
        2 => {
            request(out, "REGISTER", VIA, CSEQ, "Contact: <sip:x@127.0.0.1>\r\n");
            for _ in 0..random.random_range(1..8) {
                let at = random.random_range(start..out.len());
                out[at] = random.random();
            }
        }
        3 => request(out, "REGISTER", "", CSEQ, ""),
        4 => request(out, "REGISTER", "Via: SIP/2.0/UDP ;;;=branch\r\n", CSEQ, ""),
        5 => request(out, "REGISTER", VIA, "99999999999 OPTIONS", ""),
        6 => request(out, "REGISTER", VIA, CSEQ, "Content-Length: 99999\r\n"),
        7 => request(out, "SHOUT", VIA, "1 SHOUT", ""),
        8 => request(out, "REGISTER", VIA, CSEQ, &"Contact: <sip:x@[::1>;q=\"\r\n".repeat(40)),
        9 => request(out, "REGISTER", VIA, CSEQ, &"X: y\r\n".repeat(200)),
        10 => out.extend_from_slice(
            format!("SIP/2.0 200 OK\r\n{VIA}From: <sip:x@x>\r\nTo: <sip:x@x>\r\nCall-ID: x\r\nCSeq: {CSEQ}\r\n\r\n")
                .as_bytes(),
        ),
        _ => request(out, "INVITE", VIA, "1 INVITE", "Require: a,b,c,d,e,f,g,h,i,j,k,l,m\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use callboard_codecs::sip::{Index, Limits, Message, Strictness, parse};
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn nearly_all_of_them_are_bad() {
        let mut random = StdRng::seed_from_u64(1);
        let good = (0..1_200)
            .filter(|number| {
                let mut datagram = Vec::new();
                write(*number, &mut random, &mut datagram);
                assert!((1..60_000).contains(&datagram.len()));
                let mut index = Index::new();
                let read = parse(&datagram, &mut index, &Limits::default());
                matches!(read, Ok(Message::Request(request)) if request.check(Strictness::Current).is_ok())
            })
            .count();
        // Whole requests of unknown methods, with requirements, and a few whose damage does not matter.
        assert!((200..400).contains(&good), "{good}");
    }
}
