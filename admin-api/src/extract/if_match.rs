//! Revisions: `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1).

use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::header::{ETAG, HeaderName, IF_MATCH};
use http::request::Parts;

use crate::problem::{Kind, Problem};
use crate::state::State;

/// The revisions that a change may be based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// The header is not there.
    Absent,
    /// Any revision.
    Any,
    /// One of these. Tags that are not ours match nothing and are left out.
    Revisions(Vec<u64>),
}

impl FromRequestParts<State> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        let mut lines = parts.headers.get_all(IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Ok(Self::Absent);
        }
        let texts: Option<Vec<&str>> = lines.map(|line| line.to_str().ok()).collect();
        texts
            .and_then(|texts| parse(&texts.join(",")))
            .ok_or_else(|| Problem::parameter("If-Match", "`*`, or entity tags in double quotes"))
    }
}

fn parse(text: &str) -> Option<IfMatch> {
    if text.trim() == "*" {
        return Some(IfMatch::Any);
    }
    let mut revisions = Vec::new();
    for tag in text.split(',').map(str::trim) {
        // A weak tag is never a strong match.
        let strong = tag.strip_prefix("W/").is_none();
        let inner = tag.trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
        if strong && let Ok(revision) = inner.parse() {
            revisions.push(revision);
        }
    }
    Some(IfMatch::Revisions(revisions))
}

impl IfMatch {
    /// The revision that the resource must still have when the change is made; `None` if any will do. `current` is
    /// what it has now.
    pub(crate) fn expected(&self, current: u64) -> Result<Option<u64>, Problem> {
        match self {
            Self::Absent | Self::Any => Ok(None),
            Self::Revisions(revisions) if revisions.contains(&current) => Ok(Some(current)),
            Self::Revisions(_) => {
                Err(Problem::new(Kind::PreconditionFailed, format!("the resource has revision {current}")))
            }
        }
    }

    /// Refuse a request without the header.
    pub(crate) fn required(&self) -> Result<(), Problem> {
        match self {
            Self::Absent => {
                let detail = "send `If-Match` with the ETag of the revision that the change is based on";
                Err(Problem::new(Kind::PreconditionRequired, detail))
            }
            Self::Any | Self::Revisions(_) => Ok(()),
        }
    }
}

/// What a PUT is based on: whether it makes something new, and the revision that must still be there. `current` is what there is now.
pub(crate) fn basis(
    revision: &IfMatch,
    current: Option<u64>,
    missing: impl FnOnce() -> Problem,
) -> Result<(bool, Option<u64>), Problem> {
    match (current, revision) {
        // Nobody else makes it meanwhile, either.
        (None, IfMatch::Absent) => Ok((true, Some(0))),
        (None, _) => Err(missing()),
        (Some(current), _) => {
            revision.required()?;
            Ok((false, revision.expected(current)?))
        }
    }
}

/// The `ETag` header of a revision.
pub(crate) fn etag(revision: u64) -> [(HeaderName, HeaderValue); 1] {
    let text = format!("\"{revision}\"");
    [(ETAG, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\"")))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read() {
        assert_eq!(parse("*"), Some(IfMatch::Any));
        assert_eq!(parse("\"7\""), Some(IfMatch::Revisions(vec![7])));
        assert_eq!(parse("\"7\", \"x\",W/\"8\" ,\"9\""), Some(IfMatch::Revisions(vec![7, 9])));
        for bad in ["", "7", "\"7", "\"7\",", "*,\"7\""] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_current_revision_passes() {
        let wanted = IfMatch::Revisions(vec![3, 5]);
        assert_eq!(wanted.expected(5).unwrap(), Some(5));
        assert_eq!(wanted.expected(4).unwrap_err().kind(), Kind::PreconditionFailed);
        assert_eq!(IfMatch::Any.expected(4).unwrap(), None);
        assert_eq!(IfMatch::Absent.required().unwrap_err().kind(), Kind::PreconditionRequired);
    }
}
