//! DCMP, by which a phone asks whether work waits for it (WPI reference, section 9): HTTP/1 requests without a body, answers
//! of which only the status counts.
//!
//! [`parse_poll`] reads a request from the bytes that are there, [`CanonicalId::read`] brings the id in it into the form in
//! which devices are known, [`Answer::bytes`] are the answers. None of them allocates. [`write_poll`] and [`parse_answer`]
//! are the phone's side.
//!
//! What is taken: `GET` and `HEAD` in HTTP/1.0 and 1.1 for any path that ends in `/contact-me`, with `device-id` among the
//! parameters. Headers are checked for their form; of what they say only `Connection` and the lengths count. A request with
//! a body is refused: nobody has anything to say here.

mod answer;
mod client;
mod head;
mod id;
mod request;

pub use answer::Answer;
pub use client::{BadAnswer, Told, parse_answer, write_poll};
pub use id::{BadId, CanonicalId, MAX_ID_BYTES};
pub use request::{BadPoll, Poll, parse_poll};
