//! Rules: for which phones, and what they are told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Asker, Profile, UrlPattern};
use crate::name::ResourceName;

/// Prefixes of MAC addresses of one rule.
pub const MAX_MAC_PREFIXES: usize = 16;

/// Longest vendor or model of a rule, in bytes.
pub const MAX_MATCH_BYTES: usize = super::MAX_WORD_BYTES;

/// Kinds of profiles (RFC 6080, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProfileType {
    /// That of the device itself: what phones ask for.
    #[default]
    Device,
    /// That of its user.
    User,
    /// That of the network it is in.
    LocalNetwork,
    /// A word of drafts before RFC 6080 that some phones still use.
    Application,
}

impl ProfileType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Device, Self::User, Self::LocalNetwork, Self::Application];

    /// The word of the event's parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::User => "user",
            Self::LocalNetwork => "local-network",
            Self::Application => "application",
        }
    }

    /// The type of that word, in any letter case.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(word))
    }
}

/// How a URL is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyForm {
    /// `application/url`: the URL is the body. What phones of plug and play take.
    #[default]
    Url,
    /// `message/external-body`: the URL is a parameter of the type (RFC 4483), as RFC 6080 has it.
    ExternalBody,
}

impl BodyForm {
    /// The media type without parameters.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Url => "application/url",
            Self::ExternalBody => "message/external-body",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Url => Self::ExternalBody,
            Self::ExternalBody => Self::Url,
        }
    }
}

/// Whose phones a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Whose {
    /// All.
    #[default]
    Any,
    /// Devices that are known here.
    Known,
}

/// The beginning of MAC addresses: 1 to 12 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacPrefix(Box<str>);

/// A text that is no beginning of a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the beginning of a MAC address is 1 to 12 hexadecimal digits, with colons or hyphens if you like")]
pub struct BadMacPrefix;

impl FromStr for MacPrefix {
    type Err = BadMacPrefix;

    fn from_str(text: &str) -> Result<Self, BadMacPrefix> {
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
        let fits = (1..=12).contains(&digits.len()) && text.len() <= 17;
        if fits && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(digits.to_ascii_lowercase().into()))
        } else {
            Err(BadMacPrefix)
        }
    }
}

impl TryFrom<String> for MacPrefix {
    type Error = BadMacPrefix;

    fn try_from(text: String) -> Result<Self, BadMacPrefix> {
        text.parse()
    }
}

impl From<MacPrefix> for String {
    fn from(prefix: MacPrefix) -> Self {
        prefix.0.into()
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl MacPrefix {
    fn begins(&self, mac: [u8; 6]) -> bool {
        let digit =
            |at: usize| mac.get(at / 2).map(|byte| if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 });
        self.0.chars().enumerate().all(|(at, c)| c.to_digit(16) == digit(at).map(u32::from))
    }
}

/// What an administrator wants a rule to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleWish {
    /// Its name.
    pub name: ResourceName,
    /// Its place among the others: the lowest that fits decides, of several with one number the first by name.
    pub order: u16,
    /// The vendor as phones say it, without regard to letter case; empty for all. At most [`MAX_MATCH_BYTES`].
    pub vendor: Box<str>,
    /// How the model begins, without regard to letter case; empty for all. At most [`MAX_MATCH_BYTES`].
    pub model: Box<str>,
    /// How the MAC address begins; empty for all. At most [`MAX_MAC_PREFIXES`].
    pub mac_prefixes: Box<[MacPrefix]>,
    /// The kind of profile.
    pub profile_type: ProfileType,
    /// What phones are told.
    pub url: UrlPattern,
    /// How they are told, if they take both.
    pub form: BodyForm,
    /// Whose phones.
    pub whose: Whose,
}

/// A rule: for which phones, and what they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Counts changes, from 1.
    pub revision: u64,
    wish: RuleWish,
}

impl std::ops::Deref for Rule {
    type Target = RuleWish;

    fn deref(&self) -> &RuleWish {
        &self.wish
    }
}

impl Rule {
    /// A rule in this revision.
    pub(super) const fn new(wish: RuleWish, revision: u64) -> Self {
        Self { revision, wish }
    }

    /// What this rule tells a phone; nothing if it is not for it.
    ///
    /// A phone that does not say its MAC address fits only a rule that names its vendor or model and needs no address: what
    /// anybody at all may be told needs no plug and play.
    pub(super) fn profile(&self, asker: &Asker, is_known: bool) -> Option<Profile> {
        let begins = |text: &str, prefix: &str| {
            text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let fits = self.profile_type == asker.profile_type
            && (self.vendor.is_empty() || self.vendor.eq_ignore_ascii_case(&asker.vendor))
            && begins(&asker.model, &self.model)
            && (self.whose == Whose::Any || is_known)
            && match asker.mac {
                Some(mac) => {
                    self.mac_prefixes.is_empty() || self.mac_prefixes.iter().any(|prefix| prefix.begins(mac))
                }
                None => self.mac_prefixes.is_empty() && !(self.vendor.is_empty() && self.model.is_empty()),
            };
        let url = fits.then(|| self.url.fill(asker)).flatten()?;
        Some(Profile { rule: self.name.clone(), url, form: self.form })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::sip::profile) fn wish(name: &str, order: u16) -> RuleWish {
        RuleWish {
            name: name.parse().unwrap(),
            order,
            vendor: "".into(),
            model: "".into(),
            mac_prefixes: Box::default(),
            profile_type: ProfileType::Device,
            url: "http://h/{mac}".parse().unwrap(),
            form: BodyForm::Url,
            whose: Whose::Any,
        }
    }

    fn fits(wish: RuleWish, asker: &Asker, is_known: bool) -> bool {
        Rule::new(wish, 1).profile(asker, is_known).is_some()
    }

    fn asker() -> Asker {
        let mac = Some([0x00, 0x15, 0x65, 0xaa, 0xbb, 0xcc]);
        Asker { mac, vendor: "Yealink".into(), model: "SIP-T46S".into(), ..Asker::default() }
    }

    #[test]
    fn a_rule_is_for_some_phones() {
        let asker = asker();
        let any = || wish("a", 1);
        assert!(fits(any(), &asker, false));
        assert!(fits(RuleWish { vendor: "yealink".into(), model: "sip-t4".into(), ..any() }, &asker, false));
        for prefix in ["0", "001", "00:15:65", "00-15-65-AA-BB-CC"] {
            let prefixes = ["ffffff", prefix].map(|prefix| prefix.parse().unwrap());
            assert!(fits(RuleWish { mac_prefixes: prefixes.into(), ..any() }, &asker, false), "{prefix}");
        }
        for other in [
            RuleWish { vendor: "yea".into(), ..any() },
            RuleWish { model: "SIP-T46SS".into(), ..any() },
            RuleWish { model: "t46".into(), ..any() },
            RuleWish { mac_prefixes: ["1".parse().unwrap(), "001566".parse().unwrap()].into(), ..any() },
            RuleWish { profile_type: ProfileType::User, ..any() },
            RuleWish { whose: Whose::Known, ..any() },
        ] {
            assert!(!fits(other.clone(), &asker, false), "{other:?}");
        }
        assert!(fits(RuleWish { whose: Whose::Known, ..any() }, &asker, true));
    }

    #[test]
    fn a_phone_without_address_fits_few_rules() {
        let asker = Asker { mac: None, ..asker() };
        let url = || "http://h/all.cfg".parse().unwrap();
        assert!(fits(RuleWish { model: "SIP-T46S".into(), url: url(), ..wish("a", 1) }, &asker, false));
        assert!(!fits(RuleWish { url: url(), ..wish("a", 1) }, &asker, false), "nobody is named");
        assert!(!fits(RuleWish { vendor: "yealink".into(), ..wish("a", 1) }, &asker, false), "{{mac}}");
        let prefixes = ["0".parse().unwrap()].into();
        let named = RuleWish { vendor: "yealink".into(), url: url(), mac_prefixes: prefixes, ..wish("a", 1) };
        assert!(!fits(named, &asker, false));
    }

    #[test]
    fn a_prefix_has_one_form() {
        for (text, shown) in [("00:1A:e8", "001ae8"), ("F", "f"), ("00-1a-e8-0a-0b-0c", "001ae80a0b0c")] {
            assert_eq!(text.parse::<MacPrefix>().unwrap().to_string(), shown);
        }
        for bad in ["", ":", "g", "0011223344556", "00 11", &":".repeat(40)] {
            assert_eq!(bad.parse::<MacPrefix>(), Err(BadMacPrefix), "{bad}");
        }
    }
}
