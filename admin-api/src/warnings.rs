//! What may be wrong with names of items that the catalogue does not hold. They are taken all the same: phones know more.

use callboard_codecs::wpi::catalogue;
use callboard_core::item::ItemKey;

/// A word for each name that is nearly one of the catalogue.
pub(crate) fn warnings<'a>(keys: impl Iterator<Item = &'a ItemKey>) -> Vec<String> {
    let warning = |(at, key): (usize, &ItemKey)| {
        let known = meant(key.name())?;
        Some(format!("items[{at}].name: not in the catalogue; did you mean {known}?"))
    };
    keys.enumerate().filter_map(warning).collect()
}

/// The known name that differs in letter case only, or else in one character.
fn meant(name: &str) -> Option<&'static str> {
    if catalogue::lookup(name).is_some() {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let known = || catalogue::all().map(|(_, entry)| entry.name);
    known()
        .find(|known| known.eq_ignore_ascii_case(name))
        .or_else(|| known().find(|known| one_edit(lower.as_bytes(), known.as_bytes())))
}

/// Whether one character too many, too few, or another makes one text of the other, or two neighbours changed places.
fn one_edit(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short_rest, long_rest) = (&short[same..], &long[same..]);
    match (short_rest, long_rest) {
        (_, [_, rest @ ..]) if short.len() < long.len() => short_rest == rest,
        ([a, x, rest @ ..], [b, y, other @ ..]) if (a, x) == (y, b) => rest == other,
        ([_, rest @ ..], [_, other @ ..]) => rest == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_recognised() {
        for name in ["hostnam", "HOSTNAME", "hostnames", "hostnane", "hotsname", "Hostnam"] {
            assert_eq!(meant(name), Some("hostname"), "{name}");
        }
        for name in ["hostname", "hostna", "hostnaem2", "name-of-tomorrow", ""] {
            assert_eq!(meant(name), None, "{name}");
        }
    }

    #[test]
    fn a_warning_names_the_place() {
        let keys = [ItemKey::new("realm", None), ItemKey::new("hostnam", None)];
        assert_eq!(warnings(keys.iter()), ["items[1].name: not in the catalogue; did you mean hostname?"]);
    }
}
