//! Times on the wire: RFC 3339 in UTC with milliseconds.

use callboard_core::time::Timestamp;

/// A time as text.
pub(crate) fn text(at: Timestamp) -> String {
    at.to_string()
}

/// A time as text; `None` for the epoch, which stands for "never".
pub(crate) fn text_if_set(at: Timestamp) -> Option<String> {
    (at != Timestamp::default()).then(|| text(at))
}
