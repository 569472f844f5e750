//! What is written reads the same, however it is cut; and no bytes at all do harm.

use callboard_codecs::dcmp::{Answer, BadPoll, CanonicalId, parse_answer, parse_poll, write_poll};
use proptest::prelude::*;

const HEAD: usize = 512;

/// A poll, or something near one.
fn near_poll() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "(GET|HEAD|POST) /[a-z/]{0,9}contact-me\\?(a=b&)?device-id=[0-9A-Fa-f:%-]{0,70} HTTP/1\\.[01]",
        1 => "[A-Z]{0,4} ?[!-~]{0,40} ?HTTP/[0-9.]{1,3}",
        1 => "\\PC{0,60}",
    ];
    let field = prop_oneof![
        3 => "Host: [a-z.:0-9]{1,20}",
        1 => "[Cc]onnection: ?(close|keep-alive|x, Close)",
        1 => "(Content-Length|Transfer-Encoding): ?(0|7|chunked)",
        1 => "\\PC{0,60}",
    ];
    let end = prop_oneof![5 => Just("\r\n"), 1 => Just("\n")];
    (line, prop::collection::vec(field, 0..6), end, "(\r\n){0,2}").prop_map(|(line, fields, end, before)| {
        let fields = fields.iter().fold(String::new(), |all, field| all + field + end);
        format!("{before}{line}{end}{fields}{end}").into_bytes()
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        base in "/([a-z]{1,8}/){0,3}",
        device in "[ -~]{0,64}",
        keep_alive: bool,
        behind in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = Vec::new();
        write_poll(&mut bytes, &base, "dcmp.example.net:8080", &device, keep_alive);
        let end = bytes.len();
        bytes.extend(behind);
        let (poll, consumed) = parse_poll(&bytes, 1_024).unwrap().unwrap();
        prop_assert_eq!((consumed, poll.keep_alive), (end, keep_alive));
        // Without its escapes it is what the phone has.
        if !device.contains('%') {
            let id = CanonicalId::read(poll.device);
            prop_assert_eq!(id, CanonicalId::read(device.as_bytes()));
            if let Ok(id) = id {
                prop_assert_eq!(CanonicalId::read(id.as_bytes()), Ok(id));
            }
        }
    }

    #[test]
    fn it_does_not_matter_how_bytes_are_cut(bytes in near_poll()) {
        let whole = parse_poll(&bytes, HEAD);
        let mut first = Ok(None);
        for end in 0..=bytes.len() {
            first = parse_poll(&bytes[..end], HEAD);
            if first != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(first, whole);
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        if let Ok(Some((poll, consumed))) = parse_poll(&bytes, HEAD) {
            prop_assert!(consumed <= HEAD && poll.device.len() < consumed);
        }
        if bytes.len() >= HEAD {
            prop_assert_ne!(parse_poll(&bytes, HEAD), Ok(None));
        }
        if let Ok(Some((_, consumed))) = parse_answer(&bytes, HEAD) {
            prop_assert!(consumed <= HEAD);
        }
        if let Ok(id) = CanonicalId::read(&bytes) {
            prop_assert!((1..=64).contains(&id.as_bytes().len()));
        }
    }

    #[test]
    fn a_refusal_is_one_of_the_answers(bytes in near_poll()) {
        match parse_poll(&bytes, HEAD) {
            Err(fault @ (BadPoll::Path | BadPoll::Method | BadPoll::TooLong)) => {
                prop_assert!(matches!(fault.answer(), Answer::NotFound | Answer::NotAllowed | Answer::HeadTooLong));
            }
            Err(fault) => prop_assert_eq!(fault.answer(), Answer::BadRequest),
            Ok(_) => {}
        }
    }
}
