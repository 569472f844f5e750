//! Records of who asked the administration for what, and the promise that they are durable.

use std::fmt::Write as _;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use super::{EventDraft, EventKind};
use crate::store::{CommitError, SubmitError};

/// Characters of a path in a record; what is longer is cut. A whole record fits into the text of an event.
const PATH_CHARACTERS: usize = 400;

/// What somebody asked the administration for.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a> {
    /// Who asked.
    pub by: &'a str,
    /// From where, if that is known.
    pub from: Option<IpAddr>,
    /// The method of the request.
    pub method: &'a str,
    /// Its path as it was asked for. Not the query, which may hold anything.
    pub path: &'a str,
    /// The status that it was answered with; `None` if nobody waited for an answer any more, or it took too long.
    pub status: Option<u16>,
}

impl Audit<'_> {
    /// The event that tells of it: `administrator from 192.0.2.1: DELETE /api/v1/sites/0000000000ab, answered 204`.
    pub fn draft(&self) -> EventDraft {
        let mut text = format!("{} from {}: {} ", self.by, place(self.from), self.method);
        escape(self.path, &mut text);
        // Writing to a String cannot fail.
        let _ = match self.status {
            Some(status) => write!(text, ", answered {status}"),
            None => write!(text, ", not answered"),
        };
        EventDraft::node(EventKind::Audit, text)
    }
}

/// The event that tells of a request that came without the right token. Of the token it says nothing.
pub fn login_failed(from: Option<IpAddr>, has_token: bool) -> EventDraft {
    let what = if has_token { "wrong" } else { "no" };
    EventDraft::node(EventKind::LoginFailed, format!("{what} token from {}", place(from)))
}

fn place(from: Option<IpAddr>) -> String {
    from.map_or_else(|| "an unknown address".into(), |from| from.to_string())
}

/// Append a path, with all that is not visible ASCII percent-encoded.
fn escape(path: &str, out: &mut String) {
    let mut left = PATH_CHARACTERS;
    for byte in path.bytes() {
        let width = if byte.is_ascii_graphic() { 1 } else { 3 };
        let Some(rest) = left.checked_sub(width) else {
            out.push('…');
            return;
        };
        left = rest;
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Why a record is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// It was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// It was taken, and not made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Resolves when events are durable, or will not be.
pub type Settling = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send>>;

/// Makes events durable; a [`Tap`](super::Tap) brings them there.
pub trait AuditBarrier: Send + Sync + 'static {
    /// Resolves when all that was recorded before the call is durable, as far as it is to be; `None` if nothing is under way.
    ///
    /// An error is for whoever asks: each that was not durable when it was recorded must be told so, even if later ones are.
    fn settled(&self) -> Option<Settling>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, status: Option<u16>) -> String {
        let from = Some("2001:db8::1".parse().unwrap());
        Audit { by: "administrator", from, method: "DELETE", path, status }.draft().text
    }

    #[test]
    fn a_record_says_who_asked_from_where_for_what() {
        let wanted = "administrator from 2001:db8::1: DELETE /api/v1/sites/1, answered 204";
        assert_eq!(text("/api/v1/sites/1", Some(204)), wanted);
        assert!(text("/", None).ends_with("DELETE /, not answered"));
        let nowhere = Audit { by: "a", from: None, method: "PUT", path: "/x", status: Some(200) };
        assert_eq!(nowhere.draft().text, "a from an unknown address: PUT /x, answered 200");
    }

    #[test]
    fn paths_hold_nothing_but_visible_ascii_and_end() {
        assert!(text("/My%20Company/ä b\n", None).contains(" /My%20Company/%C3%A4%20b%0A,"));
        let long = text(&"/ä".repeat(1_000), Some(200));
        assert!(long.contains("%A4/…, answered 200") && long.chars().count() < 512, "{long}");
        let exact = "x".repeat(PATH_CHARACTERS);
        assert!(text(&exact, Some(200)).contains(&format!(" {exact},")));
    }

    #[test]
    fn a_failed_login_says_nothing_of_the_token() {
        let from = Some("192.0.2.1".parse().unwrap());
        assert_eq!(login_failed(from, true).text, "wrong token from 192.0.2.1");
        assert_eq!(login_failed(from, false).text, "no token from 192.0.2.1");
    }
}
