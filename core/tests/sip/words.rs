//! The words that any bytes are turned into.

pub(crate) const USERS: [&str; 4] = ["alice", "bob", "001ae8000001", "%61lice"];
pub(crate) const CALLS: [&str; 3] = ["one", "two", "ONE"];
pub(crate) const URIS: [&str; 8] = [
    "sip:a@192.0.2.4",
    "sip:A@192.0.2.4",
    "sip:%61@192.0.2.4:5060;transport=udp",
    "sip:a@10.0.0.4",
    "sips:a@[2001:db8::4];line=1",
    "tel:+498970007",
    "sip:b@192.0.2.4?Route=%3Csip:x%3E",
    "sip:",
];
pub(crate) const EXPIRES: [&str; 7] = ["0", "1", "59", "60", "600", "4294967295", "99999999999"];
pub(crate) const PARAMS: [&str; 6] = [
    "",
    ";q=0.5",
    ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-001AE8000002>\"",
    ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-001AE8000002>\";reg-id=1",
    ";reg-id=2;+sip.instance=\"<urn:x>\"",
    ";q=7",
];
pub(crate) const MORE: [&str; 10] = [
    "Supported: path, outbound\r\n",
    "Path: <sip:edge.example.com;lr>\r\n",
    "Path: <sip:edge.example.com;ob;lr>\r\nSupported: path, outbound\r\n",
    "Require: outbound\r\n",
    "Require: none-such\r\n",
    "User-Agent: Phone/1 (00:1a:e8:00:00:03)\r\n",
    "Call-ID: another\r\n",
    "Expires: 600\r\n",
    "Contact: *\r\n",
    "Authorization: Digest username=\"alice\", realm=\"phones\"\r\n",
];
pub(crate) const METHODS: [&str; 8] =
    ["OPTIONS", "SUBSCRIBE", "INVITE", "CANCEL", "ACK", "NOTIFY", "PUBLISH", "BREW"];
pub(crate) const STATUSES: [&str; 7] =
    ["100 Trying", "200 OK", "401 Unauthorized", "404 Not Found", "481 None", "503 Later", "699 No"];
pub(crate) const EVENTS: [&str; 5] = [
    "Event: ua-profile;profile-type=\"device\";vendor=\"Yealink\";model=\"T46\";version=\"1\"\r\n",
    "o: ua-profile;id=7;profile-type=device;vendor=Yealink\r\n",
    "Event: ua-profile;profile-type=\"user\"\r\n",
    "Event: presence\r\n",
    "",
];
pub(crate) const ASKS: [&str; 6] = [
    "Expires: 0\r\n",
    "Expires: 600\r\nAccept: application/url\r\n",
    "Expires: 1\r\n",
    "Accept: text/plain\r\n",
    "Expires: 99999999\r\nAccept: message/external-body\r\nRecord-Route: <sip:edge.example.com;lr>\r\n",
    "Require: eventlist\r\n",
];
pub(crate) const RAW: [&[u8]; 5] =
    [b"\r\n\r\n", b"\0\0\0\0", b"SIP/2.0", b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl", b"\xff"];
/// Times to wait, in milliseconds.
pub(crate) const TIMES: [u64; 8] = [50, 500, 4_000, 32_000, 61_000, 600_000, 3_600_000, 90_000_000];

/// The bytes that decide.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// The rare case. Never for a zero, which stands for an endpoint that behaves.
    pub(crate) fn one_in(&mut self, chances: u8) -> bool {
        self.byte() % chances == chances - 1
    }

    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, table: &[T; N]) -> T {
        table[self.below(N)]
    }
}
