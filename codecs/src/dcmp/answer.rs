//! What a phone is answered: a status, and an empty body.

/// An answer to a poll (WPI reference, section 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: nothing waits.
    Idle,
    /// 202: work waits, the phone is to open a dialogue.
    Waiting,
    /// 400: no HTTP/1, a body, or no id that a device can have.
    BadRequest,
    /// 404: another path.
    NotFound,
    /// 405: another method.
    NotAllowed,
    /// 431: the head is too long (RFC 6585, section 5).
    HeadTooLong,
    /// 503: there are too many connections.
    Later,
}

/// The two forms of an answer: the connection stays, or closes. An old proxy must not keep what is true for now only.
macro_rules! forms {
    ($status:literal $(, $field:literal)*) => {
        [
            concat!("HTTP/1.1 ", $status, "\r\nContent-Length: 0\r\nCache-Control: no-store\r\n",
                $($field, "\r\n",)* "Connection: keep-alive\r\n\r\n"),
            concat!("HTTP/1.1 ", $status, "\r\nContent-Length: 0\r\nCache-Control: no-store\r\n",
                $($field, "\r\n",)* "Connection: close\r\n\r\n"),
        ]
    };
}

impl Answer {
    /// All answers.
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Waiting,
        Self::BadRequest,
        Self::NotFound,
        Self::NotAllowed,
        Self::HeadTooLong,
        Self::Later,
    ];

    /// The status code.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Idle => 200,
            Self::Waiting => 202,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::NotAllowed => 405,
            Self::HeadTooLong => 431,
            Self::Later => 503,
        }
    }

    /// The whole answer as it goes over the wire.
    #[must_use]
    pub const fn bytes(self, keep_alive: bool) -> &'static [u8] {
        let [keeps, closes] = match self {
            Self::Idle => forms!("200 OK"),
            Self::Waiting => forms!("202 Accepted"),
            Self::BadRequest => forms!("400 Bad Request"),
            Self::NotFound => forms!("404 Not Found"),
            Self::NotAllowed => forms!("405 Method Not Allowed", "Allow: GET, HEAD"),
            Self::HeadTooLong => forms!("431 Request Header Fields Too Large"),
            Self::Later => forms!("503 Service Unavailable", "Retry-After: 60"),
        };
        if keep_alive { keeps.as_bytes() } else { closes.as_bytes() }
    }
}
