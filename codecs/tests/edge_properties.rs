//! The frames between edge and core: what is written reads the same, however it is cut; any bytes are survived.

// Helpers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};

use callboard_codecs::edge::{
    CallOutcome, Frame, FrameError, IdList, MAX_FRAME_BYTES, MAX_TEXT_BYTES, RefusalCause, RelayDoor,
    RelayHeader, Report, Target, read_frame, read_relay_header, write_frame,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(frame, &mut out).unwrap();
    out
}

fn list(ids: &[String]) -> IdList {
    let mut list = IdList::default();
    for id in ids {
        assert!(list.push(id), "{id}");
    }
    list
}

fn ids() -> impl Strategy<Value = Vec<String>> {
    vec("[!-~]{1,64}", 0..20)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// The frame comes back from its bytes, with whatever follows, and no part of them is a frame.
fn comes_back(frame: &Frame<'_>) -> Result<(), TestCaseError> {
    let bytes = written(frame);
    for cut in 0..bytes.len() {
        prop_assert_eq!(read_frame(&bytes[..cut]), Ok(None));
    }
    let mut more = bytes.clone();
    more.extend_from_slice(b"more");
    prop_assert_eq!(read_frame(&more), Ok(Some((frame.clone(), bytes.len()))));
    Ok(())
}

proptest! {
    #[test]
    fn sets_come_back(
        (epoch, version, to) in any::<(u64, u64, u64)>(),
        (first, last) in any::<(bool, bool)>(),
        one in ids(),
        two in ids(),
    ) {
        let (one, two) = (list(&one), list(&two));
        comes_back(&Frame::Full { epoch, version, first, last, ids: one.ids() })?;
        comes_back(&Frame::Delta { from: version, to, added: one.ids(), removed: two.ids() })?;
        comes_back(&Frame::Holds { epoch, version })?;
    }

    #[test]
    fn ids_come_back(ids in ids()) {
        let list = list(&ids);
        prop_assert_eq!(list.ids().iter().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn enrolment_comes_back(token in "\\PC{0,64}", request in vec(any::<u8>(), 0..600), at in 0_usize..3) {
        comes_back(&Frame::Enrol { token: &token, request: &request })?;
        comes_back(&Frame::Renew { request: &request })?;
        comes_back(&Frame::Certificate { certificate: &request })?;
        let cause = [RefusalCause::Token, RefusalCause::Request, RefusalCause::Later][at];
        comes_back(&Frame::Refused { cause, text: &token })?;
    }

    #[test]
    fn calls_and_figures_come_back(
        (call, status, figures) in any::<(u64, u16, [u64; 8])>(),
        address in address(),
        path in "/[ -~]{0,80}",
        dls in proptest::option::of(("[a-z.]{1,40}", any::<u16>())),
        outcome in 0..CallOutcome::ALL.len(),
    ) {
        let dls = dls.as_ref().map(|(host, port)| (host.as_str(), *port));
        comes_back(&Frame::Call { call, target: Target { address, path: &path, dls } })?;
        comes_back(&Frame::Called { call, outcome: CallOutcome::ALL[outcome], status })?;
        comes_back(&Frame::Hello { epoch: call, version: figures[0], software: &path })?;
        let [relays, relayed, refused, bytes_up, bytes_down, polls, polls_waiting, calls] = figures;
        let report = Report { relays, relayed, refused, bytes_up, bytes_down, polls, polls_waiting, calls };
        comes_back(&Frame::Report(report))?;
    }

    #[test]
    fn headers_come_back(client in address(), secure in any::<bool>()) {
        let door = if secure { RelayDoor::WpiSecure } else { RelayDoor::Wpi };
        let header = RelayHeader { door, client };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        for cut in 0..bytes.len() {
            prop_assert_eq!(read_relay_header(&bytes[..cut]), Ok(None));
        }
        let length = bytes.len();
        bytes.extend_from_slice(b"\x16\x03\x01");
        prop_assert_eq!(read_relay_header(&bytes), Ok(Some((header, length))));
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in vec(any::<u8>(), 0..200), kind in 0_u8..14) {
        let _ = read_relay_header(&bytes);
        let _ = read_frame(&bytes);
        // With a length that fits, so that the contents are looked at.
        bytes.insert(0, kind);
        let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(&bytes);
        if let Ok(Some((read, length))) = read_frame(&frame) {
            prop_assert_eq!(length, frame.len());
            prop_assert_eq!(written(&read), frame);
        }
    }
}

#[test]
fn lengths_are_bounded() {
    assert_eq!(read_frame(&[0, 0, 0, 0]), Err(FrameError::Length(0)));
    // Told from the length alone: nobody waits for four gigabytes.
    assert_eq!(read_frame(&[0xff; 4]), Err(FrameError::Length(u32::MAX)));
    let over = u32::try_from(MAX_FRAME_BYTES + 1).unwrap();
    assert_eq!(read_frame(&over.to_be_bytes()), Err(FrameError::Length(over)));
    let mut out = b"before".to_vec();
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert!(write_frame(&Frame::Hello { epoch: 0, version: 0, software: &long }, &mut out).is_err());
    assert!(write_frame(&Frame::Renew { request: &vec![0; MAX_FRAME_BYTES] }, &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn two_full_lists_fit_into_a_frame() {
    let (mut one, mut two) = (IdList::default(), IdList::default());
    let id = "i".repeat(64);
    while one.push(&id) && two.push(&id) {}
    assert!(one.ids().len() > 400);
    let frame = Frame::Delta { from: 1, to: 2, added: one.ids(), removed: two.ids() };
    assert!(written(&frame).len() <= MAX_FRAME_BYTES + 4);
    let mut none = IdList::default();
    for bad in ["", "a b", "\u{e9}", &"x".repeat(65)] {
        assert!(!none.push(bad), "{bad:?}");
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    let frame = |content: &[u8]| {
        let mut bytes = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(content);
        read_frame(&bytes).map(|read| read.is_some())
    };
    assert_eq!(frame(&[99]), Err(FrameError::Kind(99)));
    // Holds: one byte too few, one too many.
    assert_eq!(frame(&[8; 16]), Err(FrameError::Malformed(8)));
    assert_eq!(frame(&[8; 18]), Err(FrameError::Malformed(8)));
    // A list that counts one id and holds two.
    let mut full = [&[6][..], &[0; 16], &[3], &[0, 1], &[0, 0, 0, 4], &[1, b'a', 1, b'b']].concat();
    assert_eq!(frame(&full), Err(FrameError::Malformed(6)));
    full[19] = 2;
    assert_eq!(frame(&full), Ok(true));
    for header in [&[2][..], &[1, 9, 4], &[1, 1, 5], &[0, 1, 4]] {
        assert_eq!(read_relay_header(header), Err(FrameError::Header), "{header:?}");
    }
}
