//! "Did you mean": the nearest known name for an unknown one.

use super::table::{KEYS, SECTIONS};

/// Longest name a hint is sought for, in bytes; the search is quadratic in it.
const MAX_NAME_BYTES: usize = 128;

/// Reason for a section that does not exist.
pub(super) fn unknown_section(section: &str) -> String {
    let nearest = nearest(section, SECTIONS.iter().map(|(name, _)| (*name).to_owned()));
    say("is no section", nearest.map(|name| format!("[{name}]")))
}

/// Reason for a key that does not exist: the same name in another section is the best hint.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    let elsewhere = KEYS.iter().find(|key| key.name == name).map(super::Key::path);
    let hint = nearest(name, KEYS.iter().filter(|key| key.section == section).map(|key| key.name.to_owned()))
        .map(|near| format!("{section}.{near}"));
    say("is no key", elsewhere.or(hint))
}

/// Reason for a variable that sets nothing.
pub(super) fn unknown_variable(name: &str) -> String {
    say("sets no key", nearest(name, KEYS.iter().map(super::Key::variable)))
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
    use super::edits;

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(edits(b"kitten", b"sitting"), 3);
        assert_eq!(edits(b"", b"abc"), 3);
        assert_eq!(edits(b"abc", b""), 3);
        assert_eq!(edits(b"flaw", b"lawn"), 2);
        assert_eq!(edits(b"same", b"same"), 0);
    }
}
