//! Subtrees of the tree of object identifiers, as views name them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use callboard_codecs::snmp::MAX_ARCS;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All identifiers that begin with these arcs, of which each is a number or any number. The latter are the zeros of
/// `vacmViewTreeFamilyMask` (RFC 3415, section 4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree(Box<[Option<u32>]>);

/// A text that is no subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a subtree is 1 to {MAX_ARCS} numbers with dots between them, each at most 4294967295, or * for any; it begins with 0, 1 or 2, \
     and the second number is below 40 behind 0 and 1"
)]
pub struct BadSubtree;

impl Subtree {
    /// Whether an identifier is in it.
    pub fn contains(&self, arcs: &[u32]) -> bool {
        let fits = |(own, arc): (&Option<u32>, &u32)| own.is_none_or(|own| own == *arc);
        arcs.len() >= self.0.len() && self.0.iter().zip(arcs).all(fits)
    }

    /// Whether some identifier that begins with these arcs is in it.
    pub fn meets(&self, arcs: &[u32]) -> bool {
        self.0.iter().zip(arcs).all(|(own, arc)| own.is_none_or(|own| own == *arc))
    }

    /// Arcs that its identifiers begin with: the more, the closer it says which.
    pub const fn arcs(&self) -> usize {
        self.0.len()
    }
}

impl FromStr for Subtree {
    type Err = BadSubtree;

    /// A dot before the first number is let pass.
    fn from_str(text: &str) -> Result<Self, BadSubtree> {
        let arc = |text: &str| match text {
            "*" => Ok(None),
            text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Some).map_err(|_| BadSubtree)
            }
            _ => Err(BadSubtree),
        };
        let text = text.strip_prefix('.').unwrap_or(text);
        let arcs: Box<[_]> = text.split('.').take(MAX_ARCS + 1).map(arc).collect::<Result<_, _>>()?;
        match *arcs {
            [Some(3..), ..] | [Some(0 | 1), Some(40..), ..] => Err(BadSubtree),
            _ if arcs.len() > MAX_ARCS => Err(BadSubtree),
            _ => Ok(Self(arcs)),
        }
    }
}

impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, arc) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            match arc {
                Some(arc) => write!(f, "{arc}")?,
                None => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Subtree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subtree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_holds_what_begins_like_it() {
        for (subtree, inside, outside) in [
            ("1.3.6.1", &[1, 3, 6, 1, 2][..], &[1, 3, 6, 2][..]),
            ("1.3.6.1", &[1, 3, 6, 1], &[1, 3, 6]),
            (
                ".1.3.6.1.2.1.2.2.1.*.7",
                &[1, 3, 6, 1, 2, 1, 2, 2, 1, 20, 7, 1],
                &[1, 3, 6, 1, 2, 1, 2, 2, 1, 20, 8],
            ),
            ("*", &[2, 999], &[]),
            ("1.*", &[1, 3], &[1]),
        ] {
            let subtree: Subtree = subtree.parse().unwrap();
            assert!(subtree.contains(inside) && !subtree.contains(outside), "{subtree}");
        }
    }

    #[test]
    fn a_subtree_has_one_form() {
        for (text, shown) in
            [(".1.3", "1.3"), ("01.003", "1.3"), ("2.4294967295", "2.4294967295"), ("*.*", "*.*")]
        {
            let subtree: Subtree = text.parse().unwrap();
            assert_eq!(subtree.to_string(), shown);
            assert_eq!(shown.parse(), Ok(subtree));
        }
        let (most, long) = (vec!["1"; 128].join("."), vec!["1"; 129].join("."));
        assert_eq!(most.parse::<Subtree>().unwrap().arcs(), 128);
        for bad in [
            "",
            ".",
            "1.",
            "1..3",
            "3",
            "1.40",
            "0.40.1",
            "1.3.4294967296",
            "1.3.+1",
            "1.3.-1",
            "1.**",
            "mib",
            &long,
        ] {
            assert_eq!(bad.parse::<Subtree>(), Err(BadSubtree), "{bad}");
        }
    }
}
