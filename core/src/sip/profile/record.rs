//! Rules as bytes in the store.

use serde::{Deserialize, Serialize};

use super::{BodyForm, MacPrefix, ProfileType, Rule, RuleWish, UrlPattern, Whose};
use crate::name::ResourceName;

/// Version of the record form of rules that this build writes.
pub(super) const VERSION: u8 = 1;

/// A record that cannot be read as a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProfileRecord {
    /// Written by a newer Callboard.
    #[error("record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed record: {0}")]
    Malformed(postcard::Error),
}

#[derive(Serialize, Deserialize)]
struct Record {
    name: ResourceName,
    revision: u64,
    order: u16,
    vendor: Box<str>,
    model: Box<str>,
    mac_prefixes: Box<[MacPrefix]>,
    profile_type: ProfileType,
    url: UrlPattern,
    form: BodyForm,
    whose: Whose,
}

/// Pack a rule.
pub(super) fn encode(rule: &Rule) -> Result<Vec<u8>, BadProfileRecord> {
    let RuleWish { name, order, vendor, model, mac_prefixes, profile_type, url, form, whose } =
        RuleWish::clone(rule);
    let revision = rule.revision;
    let record =
        Record { name, revision, order, vendor, model, mac_prefixes, profile_type, url, form, whose };
    postcard::to_extend(&record, vec![VERSION]).map_err(BadProfileRecord::Malformed)
}

/// Unpack a rule.
pub fn decode(bytes: &[u8]) -> Result<Rule, BadProfileRecord> {
    let payload = match bytes.split_first() {
        Some((&VERSION, payload)) => payload,
        Some((&version, _)) if version > VERSION => return Err(BadProfileRecord::Newer(version)),
        _ => return Err(BadProfileRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
    };
    let record: Record = postcard::from_bytes(payload).map_err(BadProfileRecord::Malformed)?;
    let Record { name, revision, order, vendor, model, mac_prefixes, profile_type, url, form, whose } =
        record;
    let wish = RuleWish { name, order, vendor, model, mac_prefixes, profile_type, url, form, whose };
    Ok(Rule::new(wish, revision))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rule::tests::wish;
    use super::*;

    #[test]
    fn a_rule_comes_back_as_it_was() {
        let wish = RuleWish {
            vendor: "snom".into(),
            mac_prefixes: ["000413".parse().unwrap()].into(),
            form: BodyForm::ExternalBody,
            whose: Whose::Known,
            ..wish("snom", 9)
        };
        let rule = Rule::new(wish, 3);
        assert_eq!(decode(&encode(&rule).unwrap()), Ok(rule));
        assert_eq!(decode(&[9, 1]), Err(BadProfileRecord::Newer(9)));
    }

    proptest! {
        #[test]
        fn garbage_is_no_rule(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(rule) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&rule).unwrap()), Ok(rule));
            }
        }
    }
}
