//! SIP, the Session Initiation Protocol, as a registrar needs it: RFC 3261 with RFC 3327 (Path), RFC 3581 (`rport`), RFC 5626 (keep-alives,
//! instances), RFC 6665 (events), RFC 7616 and RFC 8760 (Digest).
//!
//! [`parse`] notes in an [`Index`] where the header fields of a message are; nothing is copied, and nothing is looked into before somebody
//! asks. [`Request::check`] applies the rules that hold for every request and gives what every request has, or the [`Refusal`] to
//! answer with. [`Headers`] gives typed views of the rest. [`MessageWriter`] writes responses, which take over what they have to from their
//! request's bytes, and requests. In streams, [`Framer`] finds where messages end; datagrams are told apart by
//! [`Datagram::classify`].
//!
//! ```
//! use callboard_codecs::sip::{HeaderName, Index, Limits, Message, MessageWriter, Reply, Strictness, parse};
//!
//! let datagram = b"OPTIONS sip:example.com SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP phone.example.com;rport;branch=z9hG4bK1\r\n\
//!     From: <sip:alice@example.com>;tag=1\r\n\
//!     To: <sip:example.com>\r\n\
//!     Call-ID: 1@phone\r\n\
//!     CSeq: 1 OPTIONS\r\n\r\n";
//! let mut index = Index::new();
//! let mut answer = Vec::new();
//! if let Ok(Message::Request(request)) = parse(datagram, &mut index, &Limits::default()) {
//!     let (status, reason) = match request.check(Strictness::OldClients) {
//!         Ok(_) => (200, "OK"),
//!         Err(refusal) => (refusal.status, refusal.reason),
//!     };
//!     let source = "192.0.2.1:5062".parse().ok();
//!     let reply = Reply { status, reason, to_tag: b"2", source };
//!     let writer = MessageWriter::response(&mut answer, &request, &reply);
//!     writer.list(HeaderName::Allow, ["OPTIONS", "REGISTER"]).finish()?;
//! }
//! let via = "Via: SIP/2.0/UDP phone.example.com;rport=5062;branch=z9hG4bK1;received=192.0.2.1\r\n";
//! assert!(String::from_utf8_lossy(&answer).contains(via));
//! # Ok::<(), callboard_codecs::sip::BadText>(())
//! ```

mod address;
mod auth;
mod check;
mod fault;
mod frame;
mod host;
mod index;
mod lex;
mod message;
mod method;
mod name;
mod params;
pub mod stun;
mod uri;
mod values;
mod via;
mod write;

pub use address::{Contact, ContactAddress, MALFORMED_EXPIRES, NameAddr};
pub use auth::{Challenge, Credentials, DigestChallenge, DigestCredentials};
pub use check::{Essentials, Refusal, ResponseEssentials, Strictness};
pub use fault::{BadMessage, Fault, Malformed, Part};
pub use frame::{BadStream, Datagram, Frame, Framer, Side};
pub use host::Host;
pub use index::{Index, Limits, parse};
pub use message::{Header, Headers, Message, Request, Response};
pub use method::Method;
pub use name::HeaderName;
pub use params::{Param, Params};
pub use uri::{MAX_URI_PARTS, OtherUri, SipUri, TelUri, Uri, UriHeaders, UriParam, UriParams};
pub use values::{CSeq, Event, MediaType, SubscriptionState};
pub use via::{BRANCH_COOKIE, Rport, Transport, Via};
pub use write::{
    BadText, ChallengeValue, ContactValue, MessageWriter, Reply, RequestHead, ViaHead, write_unfolded,
};
