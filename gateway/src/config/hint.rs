//! "Did you mean": the nearest known name for an unknown one.

use super::Key;
use super::table::{KEYS, SECTIONS};

/// Longest name a hint is sought for, in bytes; the search is quadratic in it.
const MAX_NAME_BYTES: usize = 128;

/// Reason for a section that does not exist; it may be the name of a key whose section was forgotten.
pub(super) fn unknown_section(section: &str) -> String {
    let nearest = nearest(section, SECTIONS.iter().map(|(name, _)| (*name).to_owned()))
        .map(|name| format!("[{name}]"))
        .or_else(|| in_sections(section, |_| true));
    say("is no section", nearest)
}

/// Reason for a key that does not exist: the same name in another section is the best hint, then section and name that
/// were confused, then a name nearby in the same section, then one in another.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    let elsewhere = || KEYS.iter().find(|key| key.name == name);
    let confused = || KEYS.iter().find(|key| key.name == section && key.section == name);
    let hint = elsewhere()
        .or_else(confused)
        .map(Key::path)
        .or_else(|| in_sections(name, |key| key.section == section))
        .or_else(|| in_sections(name, |_| true));
    say("is no key", hint)
}

/// The path of the key with the nearest name among those wanted; best is a name that lacks its unit only.
fn in_sections(name: &str, wanted: impl Fn(&Key) -> bool) -> Option<String> {
    let keys = || KEYS.iter().filter(|key| wanted(key));
    let lacks_unit = |key: &&Key| {
        let rest = key.name.strip_prefix(name).unwrap_or_default();
        ["_ms", "_s", "_min", "_days", "_bytes"].contains(&rest)
    };
    keys()
        .find(lacks_unit)
        .or_else(|| {
            let near = nearest(name, keys().map(|key| key.name.to_owned()))?;
            keys().find(|key| key.name == near)
        })
        .map(Key::path)
}

/// Reason for a variable that sets nothing.
pub(super) fn unknown_variable(name: &str) -> String {
    say("sets no key", nearest(name, KEYS.iter().map(Key::variable)))
}

fn say(what: &str, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{what}; did you mean {hint}?"),
        None => what.to_owned(),
    }
}

/// The candidate with the fewest edits, if at most a third of the name has to change.
fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    candidates
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(name.len()))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn edits(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right) {
            let cost = diagonal + usize::from(a != b);
            diagonal = *cell;
            last = cost.min(*cell + 1).min(last + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::{edits, unknown_key, unknown_section};

    #[test]
    fn hints_name_the_key_that_was_meant() {
        for (section, name, hint) in [
            ("listen", "admn", "listen.admin"),
            ("admin", "listen", "listen.admin"),
            ("limits", "admin", "listen.admin"),
            ("tls", "lifetime", "tls.lifetime_days"),
            ("flow", "header_timeout", "limits.header_timeout_ms"),
            ("log", "conections", "limits.connections"),
        ] {
            assert_eq!(unknown_key(section, name), format!("is no key; did you mean {hint}?"));
        }
        assert_eq!(unknown_key("log", "colour"), "is no key");
        assert_eq!(unknown_section("connections"), "is no section; did you mean limits.connections?");
        assert_eq!(unknown_section("lisen"), "is no section; did you mean [listen]?");
        assert_eq!(unknown_section("metrics"), "is no section; did you mean listen.metrics?");
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(edits(b"kitten", b"sitting"), 3);
        assert_eq!(edits(b"", b"abc"), 3);
        assert_eq!(edits(b"abc", b""), 3);
        assert_eq!(edits(b"flaw", b"lawn"), 2);
        assert_eq!(edits(b"same", b"same"), 0);
    }
}
