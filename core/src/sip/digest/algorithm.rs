//! Algorithms of digests.

/// A hash function that answers are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5 (RFC 1321): what most phones still have.
    Md5,
    /// SHA-256 (RFC 7616, section 3.3).
    Sha256,
}

impl Algorithm {
    /// Its token in header fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Bytes of a hash.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
        }
    }
}

/// An algorithm as a header field names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// The hash function.
    pub algorithm: Algorithm,
    /// The `-sess` form, which mixes the nonces into the key (RFC 7616, section 3.4.2).
    pub session: bool,
}

impl Scheme {
    /// Read an `algorithm` parameter, in any letter case; without one it is MD5 (RFC 7616, section 3.3). `None` for those that
    /// this server does not compute.
    pub fn parse(token: Option<&str>) -> Option<Self> {
        let Some(token) = token else { return Some(Self { algorithm: Algorithm::Md5, session: false }) };
        [Algorithm::Md5, Algorithm::Sha256].into_iter().find_map(|algorithm| {
            let (name, rest) = token.split_at_checked(algorithm.name().len())?;
            let session = match rest {
                "" => false,
                rest if rest.eq_ignore_ascii_case("-sess") => true,
                _ => return None,
            };
            name.eq_ignore_ascii_case(algorithm.name()).then_some(Self { algorithm, session })
        })
    }

    /// Its token in header fields.
    pub const fn name(self) -> &'static str {
        match (self.algorithm, self.session) {
            (algorithm, false) => algorithm.name(),
            (Algorithm::Md5, true) => "MD5-sess",
            (Algorithm::Sha256, true) => "SHA-256-sess",
        }
    }
}

/// Which algorithms are offered, and in which order: a client takes the first that it knows (RFC 8760, section 2.4). Answers
/// with others are not looked at, so that nobody can ask for a weaker one than is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// The better one first. Phones that know only MD5 take the second challenge.
    #[default]
    Sha256ThenMd5,
    /// For phones that look at the first challenge alone.
    Md5ThenSha256,
    /// Nothing weaker: phones that know only MD5 stay outside.
    Sha256,
    /// For phones that give up when they see something else.
    Md5,
}

impl Offer {
    /// The algorithms in their order.
    pub const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Sha256ThenMd5 => &[Algorithm::Sha256, Algorithm::Md5],
            Self::Md5ThenSha256 => &[Algorithm::Md5, Algorithm::Sha256],
            Self::Sha256 => &[Algorithm::Sha256],
            Self::Md5 => &[Algorithm::Md5],
        }
    }

    /// Whether answers with this algorithm are looked at.
    pub fn has(self, algorithm: Algorithm) -> bool {
        self.algorithms().contains(&algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_nothing_else() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            for session in [false, true] {
                let scheme = Scheme { algorithm, session };
                assert_eq!(Scheme::parse(Some(scheme.name())), Some(scheme));
                assert_eq!(Scheme::parse(Some(&scheme.name().to_lowercase())), Some(scheme));
            }
        }
        assert_eq!(Scheme::parse(None), Scheme::parse(Some("MD5")));
        for other in
            ["", "MD", "MD5x", "MD5-", "MD5-session", "SHA-512-256", "SHA-256-", "AKAv1-MD5", "SHÄ-256"]
        {
            assert_eq!(Scheme::parse(Some(other)), None, "{other}");
        }
    }

    #[test]
    fn an_offer_has_what_it_lists() {
        assert_eq!(Offer::default().algorithms(), [Algorithm::Sha256, Algorithm::Md5]);
        assert!(Offer::Md5.has(Algorithm::Md5) && !Offer::Md5.has(Algorithm::Sha256));
        assert!(Offer::Sha256.has(Algorithm::Sha256) && !Offer::Sha256.has(Algorithm::Md5));
    }
}
