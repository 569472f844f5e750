//! What the phones know of their registrations, beside what the server shows.

use std::collections::HashMap;

use super::{DOMAIN, user};

/// Differences that are shown in full.
const SAMPLES: usize = 10;
/// How far the end of a binding may be from what its phone was told, in milliseconds: seconds are rounded, and the answer was on
/// its way.
const SLACK_MS: u64 = 3_000;

/// A phone's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) number: u32,
    pub(crate) contact: String,
    pub(crate) call_id: String,
    /// `CSeq` of its latest request; 0 if there was none.
    pub(crate) asked: u32,
    /// `CSeq` of the latest one that was answered with 200; 0 if none was.
    pub(crate) acked: u32,
    /// Seconds that this answer granted.
    pub(crate) granted: u32,
    /// When it came, in milliseconds since 1970.
    pub(crate) acked_at: u64,
}

/// A binding as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// `user@domain`, without scheme.
    pub(crate) aor: String,
    pub(crate) contact: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    /// When it ends, in milliseconds since 1970.
    pub(crate) expires_at: u64,
}

/// How the two compare.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Phones with exactly the one binding that they know of.
    pub(crate) right: u64,
    /// Phones that were answered with 200 and have no binding.
    pub(crate) lost: u64,
    /// Phones with more than one binding.
    pub(crate) doubled: u64,
    /// Phones whose binding has another contact, Call-ID, `CSeq` or end, and bindings of nobody.
    pub(crate) wrong: u64,
    pub(crate) samples: Vec<String>,
}

impl Compared {
    fn note(&mut self, count: fn(&mut Self) -> &mut u64, what: String) {
        *count(self) += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(what);
        }
    }
}

/// Compare all phones with all bindings.
pub(crate) fn compare(known: impl Iterator<Item = Known>, listed: Vec<Listed>) -> Compared {
    let mut by_aor: HashMap<String, Vec<Listed>> = HashMap::with_capacity(listed.len());
    for binding in listed {
        by_aor.entry(binding.aor.clone()).or_default().push(binding);
    }
    let mut compared = Compared::default();
    for known in known {
        let aor = format!("{}@{DOMAIN}", user(known.number));
        let bindings = by_aor.remove(&aor).unwrap_or_default();
        judge(&known, &aor, &bindings, &mut compared);
    }
    for (aor, bindings) in by_aor {
        compared.note(|compared| &mut compared.wrong, format!("{aor} is nobody: {bindings:?}"));
    }
    compared
}

fn judge(known: &Known, aor: &str, bindings: &[Listed], compared: &mut Compared) {
    match bindings {
        [] if known.acked > 0 => {
            compared.note(|compared| &mut compared.lost, format!("{aor} is lost: {known:?}"));
        }
        [] => {}
        [only] => match difference(known, only) {
            None => compared.right += 1,
            Some(what) => {
                let why = format!("{aor}: {what}: {only:?} in place of {known:?}");
                compared.note(|compared| &mut compared.wrong, why);
            }
        },
        several => {
            compared.note(|compared| &mut compared.doubled, format!("{aor} has several: {several:?}"));
        }
    }
}

/// What is wrong with the binding of a phone.
fn difference(known: &Known, listed: &Listed) -> Option<&'static str> {
    if listed.contact != known.contact {
        return Some("contact");
    }
    if listed.call_id != known.call_id {
        return Some("Call-ID");
    }
    // What the phone asked for last may have been done although no answer came.
    if listed.cseq < known.acked || listed.cseq > known.asked {
        return Some("CSeq");
    }
    let told = known.acked_at + u64::from(known.granted) * 1_000;
    let is_the_answered_one = listed.cseq == known.acked;
    (is_the_answered_one && told.abs_diff(listed.expires_at) > SLACK_MS).then_some("end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u32, acked: u32, asked: u32) -> Known {
        let (contact, call_id) = (format!("sip:{number}@h"), "c".to_owned());
        Known { number, contact, call_id, asked, acked, granted: 60, acked_at: 1_000_000 }
    }

    fn listed(number: u32, cseq: u32) -> Listed {
        let (contact, call_id) = (format!("sip:{number}@h"), "c".to_owned());
        let aor = format!("{}@{DOMAIN}", user(number));
        Listed { aor, contact, call_id, cseq, expires_at: 1_059_000 }
    }

    fn counts(known: Vec<Known>, listed: Vec<Listed>) -> [u64; 4] {
        let compared = compare(known.into_iter(), listed);
        [compared.right, compared.lost, compared.doubled, compared.wrong]
    }

    #[test]
    fn an_answered_phone_must_have_one_binding() {
        assert_eq!(counts(vec![known(1, 3, 3)], vec![listed(1, 3)]), [1, 0, 0, 0]);
        assert_eq!(counts(vec![known(1, 3, 3)], vec![]), [0, 1, 0, 0]);
        assert_eq!(counts(vec![known(1, 3, 3)], vec![listed(1, 3), listed(1, 3)]), [0, 0, 1, 0]);
        assert_eq!(counts(vec![known(1, 3, 3)], vec![listed(1, 3), listed(2, 3)]), [1, 0, 0, 1]);
    }

    #[test]
    fn what_was_not_answered_may_be_there_or_not() {
        assert_eq!(counts(vec![known(1, 0, 1), known(2, 0, 1)], vec![listed(1, 1)]), [1, 0, 0, 0]);
        assert_eq!(counts(vec![known(1, 2, 3)], vec![listed(1, 3)]), [1, 0, 0, 0]);
        assert_eq!(counts(vec![known(1, 2, 3)], vec![listed(1, 2)]), [1, 0, 0, 0]);
        assert_eq!(counts(vec![known(1, 2, 3)], vec![listed(1, 1)]), [0, 0, 0, 1], "an older state");
        assert_eq!(counts(vec![known(1, 2, 3)], vec![listed(1, 4)]), [0, 0, 0, 1], "never asked for");
    }

    #[test]
    fn contact_call_id_and_end_are_compared() {
        let wrong = |change: fn(&mut Listed)| {
            let mut binding = listed(1, 3);
            change(&mut binding);
            counts(vec![known(1, 3, 3)], vec![binding]) == [0, 0, 0, 1]
        };
        assert!(wrong(|binding| binding.contact.push('x')));
        assert!(wrong(|binding| binding.call_id.push('x')));
        assert!(wrong(|binding| binding.expires_at += 5_000));
        assert!(!wrong(|binding| binding.expires_at += 1_000));
    }
}
