//! A poll is read and answered without any allocation.

use callboard_codecs::dcmp::{Answer, CanonicalId, parse_poll};

#[test]
fn a_poll_allocates_nothing() {
    let polls = [
        "GET /dcmp/contact-me?device-id=00%3A1A%3AE8%3A0A%3A0B%3A0C HTTP/1.1\r\nHost: dcmp.example.net:8080\r\n\r\n",
        "HEAD /contact-me?device-id=softphone-17 HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        "GET /contact-me?device-id=%zz HTTP/1.1\r\n\r\n",
        "POST /contact-me HTTP/1.1\r\n\r\n",
        "GET /contact-me?dev",
    ];
    let counted = allocation_counter::measure(|| {
        for poll in polls {
            let answer = match parse_poll(poll.as_bytes(), 4_096) {
                Ok(Some((poll, _))) => match CanonicalId::read(poll.device) {
                    Ok(_) => Answer::Idle.bytes(poll.keep_alive),
                    Err(_) => Answer::BadRequest.bytes(false),
                },
                Ok(None) => b"",
                Err(fault) => fault.answer().bytes(false),
            };
            assert_eq!(answer.is_empty(), poll.ends_with("?dev"));
        }
    });
    assert_eq!(counted.count_total, 0);
}
