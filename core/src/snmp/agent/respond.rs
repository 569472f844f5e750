//! Answers to requests (RFC 3416, section 4.2; in version 1 RFC 1157, section 4.1, and RFC 3584, section 4.2).

use callboard_codecs::snmp::{
    ErrorStatus, Numbers, Oid, Pdu, PduKind, Value, VarBind, Version, write_varbind, write_varbind_as,
};

use super::{Lookup, Name, Objects, Visible};

/// Instances that are passed over for one variable because they may not be read. A view that hides so many in a row, but not all of
/// an object, is a mistake.
const MAX_PASSED_OVER: usize = 10_000;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is asked.
    pub pdu: &'a Pdu<'a>,
    /// Version 1 has errors where the others have values, and no [`Value::Counter64`].
    pub version: Version,
    /// Bytes that the variables of the answer may take.
    pub room: usize,
}

/// What the numbers of an answer are. Its variables were appended to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What went wrong.
    pub status: ErrorStatus,
    /// With which variable, from 1.
    pub index: u32,
}

const GOOD: Answer = Answer { status: ErrorStatus::NoError, index: 0 };

impl Answer {
    /// As numbers of a PDU.
    pub const fn numbers(self) -> Numbers {
        Numbers::Error { status: self.status, index: self.index }
    }
}

/// Why there is no value for a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It would not fit.
    Full,
    /// An error of the request.
    Error(ErrorStatus),
}

/// Answer a request: variables are appended to `out`, which is empty. `None` if this is no request.
pub fn respond(
    asked: &Asked<'_>,
    objects: &dyn Objects,
    view: &dyn Visible,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    let mut responder = Responder { asked, objects, view, out };
    match asked.pdu.kind {
        PduKind::Get => Some(responder.each(Responder::get)),
        PduKind::GetNext => Some(
            responder
                .each(|own, varbind| own.next(&mut Name::of(varbind.name), Some(varbind.name)).map(|_| ())),
        ),
        PduKind::GetBulk => Some(responder.bulk()),
        PduKind::Set => Some(responder.refuse_set()),
        _ => None,
    }
}

struct Responder<'a> {
    asked: &'a Asked<'a>,
    objects: &'a dyn Objects,
    view: &'a dyn Visible,
    out: &'a mut Vec<u8>,
}

impl Responder<'_> {
    const fn is_first(&self) -> bool {
        matches!(self.asked.version, Version::V1)
    }

    /// All variables, or the error of the first one that has one.
    fn each(&mut self, one: impl Fn(&mut Self, &VarBind<'_>) -> Result<(), Stop>) -> Answer {
        for (at, varbind) in self.asked.pdu.varbinds.iter().enumerate() {
            match one(self, &varbind) {
                Ok(()) => {}
                Err(Stop::Full) => return self.too_big(),
                Err(Stop::Error(status)) => return self.error(status, at),
            }
        }
        GOOD
    }

    /// Version 1 sends back what was asked, the others nothing (RFC 3416, section 4.2.1; RFC 1157, section 4.1.2).
    fn too_big(&mut self) -> Answer {
        self.out.clear();
        if self.is_first() {
            self.out.extend_from_slice(self.asked.pdu.varbinds.as_bytes());
        }
        Answer { status: ErrorStatus::TooBig, index: 0 }
    }

    fn error(&mut self, status: ErrorStatus, at: usize) -> Answer {
        self.out.clear();
        self.out.extend_from_slice(self.asked.pdu.varbinds.as_bytes());
        Answer { status, index: u32::try_from(at + 1).unwrap_or(u32::MAX) }
    }

    /// Nothing can be written here.
    fn refuse_set(&mut self) -> Answer {
        if self.asked.pdu.varbinds.is_empty() {
            return GOOD;
        }
        let status = if self.is_first() { ErrorStatus::NoSuchName } else { ErrorStatus::NoAccess };
        self.error(status, 0)
    }

    fn get(&mut self, varbind: &VarBind<'_>) -> Result<(), Stop> {
        let name = Name::of(varbind.name);
        let begin = self.out.len();
        let mut found = Lookup::NoSuchObject;
        if self.view.contains(&name) {
            let (is_first, mut is_later) = (self.is_first(), false);
            let out = &mut *self.out;
            found = self.objects.get(&name, &mut |value| {
                is_later = is_first && is_of_later_version(&value);
                write_varbind_as(varbind.name, &value, out);
            });
            if is_later {
                return Err(Stop::Error(ErrorStatus::NoSuchName));
            }
        }
        let instead = match found {
            Lookup::Found => None,
            Lookup::NoSuchObject => Some(Value::NoSuchObject),
            Lookup::NoSuchInstance => Some(Value::NoSuchInstance),
        };
        if let Some(value) = instead {
            self.exception(varbind.name, &value)?;
        }
        self.check_room(begin)
    }

    /// A value that stands for none.
    fn exception(&mut self, name: Oid<'_>, value: &Value<'_>) -> Result<(), Stop> {
        if self.is_first() {
            return Err(Stop::Error(ErrorStatus::NoSuchName));
        }
        write_varbind_as(name, value, self.out);
        Ok(())
    }

    fn check_room(&mut self, begin: usize) -> Result<(), Stop> {
        if self.out.len() > self.asked.room {
            self.out.truncate(begin);
            return Err(Stop::Full);
        }
        Ok(())
    }

    /// The first instance behind `name` that may be read; `name` becomes its name. Behind the last one it is the end, told with the name that
    /// was asked for: `asked`, or the last one that was found. Whether there was one.
    fn next(&mut self, name: &mut Name, asked: Option<Oid<'_>>) -> Result<bool, Stop> {
        let begin = self.out.len();
        let mut at = *name;
        for _ in 0..MAX_PASSED_OVER {
            let Some(object) = self.objects.next(&mut at) else {
                self.end(name, asked)?;
                return self.check_room(begin).map(|()| false);
            };
            if self.view.contains(&at) {
                // It may be gone by now; then it is passed over, like what version 1 cannot tell.
                if self.tell(&at) {
                    *name = at;
                    return self.check_room(begin).map(|()| true);
                }
                continue;
            }
            let is_hidden = !self.view.reaches_into(at.get(..object).unwrap_or_default());
            if is_hidden && !at.skip(object) {
                self.end(name, asked)?;
                return self.check_room(begin).map(|()| false);
            }
        }
        Err(Stop::Error(ErrorStatus::GenErr))
    }

    /// Appends an instance. Whether it is there, and this version can tell it.
    fn tell(&mut self, name: &[u32]) -> bool {
        let (is_first, mut is_told) = (self.is_first(), false);
        let out = &mut *self.out;
        self.objects.get(name, &mut |value| {
            if !is_first || !is_of_later_version(&value) {
                write_varbind(name, &value, out);
                is_told = true;
            }
        });
        is_told
    }

    fn end(&mut self, name: &Name, asked: Option<Oid<'_>>) -> Result<(), Stop> {
        if let Some(asked) = asked {
            return self.exception(asked, &Value::EndOfMibView);
        }
        write_varbind(name, &Value::EndOfMibView, self.out);
        Ok(())
    }

    /// RFC 3416, section 4.2.3. What does not fit is left out; not even one variable is `tooBig`.
    fn bulk(&mut self) -> Answer {
        let varbinds = self.asked.pdu.varbinds;
        let Numbers::Bulk { non_repeaters, max_repetitions } = self.asked.pdu.numbers else { return GOOD };
        let once = usize::try_from(non_repeaters).unwrap_or(usize::MAX).min(varbinds.len());
        for (at, varbind) in varbinds.iter().take(once).enumerate() {
            match self.next(&mut Name::of(varbind.name), Some(varbind.name)) {
                Ok(_) => {}
                Err(stop) => return self.stopped(stop, at),
            }
        }
        let mut columns: Vec<(Name, bool)> =
            varbinds.iter().skip(once).map(|varbind| (Name::of(varbind.name), false)).collect();
        for _ in 0..max_repetitions {
            // When all have reached their end nothing more comes.
            if columns.iter().all(|(_, is_over)| *is_over) {
                break;
            }
            if let Some(answer) = self.row(&mut columns, once) {
                return answer;
            }
        }
        GOOD
    }

    /// One repetition. The answer, if it is over with this one.
    fn row(&mut self, columns: &mut [(Name, bool)], once: usize) -> Option<Answer> {
        for (at, (name, is_over)) in columns.iter_mut().enumerate() {
            let stop = if *is_over {
                let begin = self.out.len();
                write_varbind(name, &Value::EndOfMibView, self.out);
                self.check_room(begin).err()
            } else {
                match self.next(name, None) {
                    Ok(is_there) => {
                        *is_over = !is_there;
                        None
                    }
                    Err(stop) => Some(stop),
                }
            };
            if let Some(stop) = stop {
                return Some(self.stopped(stop, once + at));
            }
        }
        None
    }

    fn stopped(&mut self, stop: Stop, at: usize) -> Answer {
        match stop {
            Stop::Full if self.out.is_empty() => self.too_big(),
            Stop::Full => GOOD,
            Stop::Error(status) => self.error(status, at),
        }
    }
}

const fn is_of_later_version(value: &Value<'_>) -> bool {
    matches!(value, Value::Counter64(_))
}

#[cfg(test)]
mod tests {
    use callboard_codecs::snmp::{ObjectId, VarBinds};
    use proptest::prelude::*;

    use super::*;

    /// Instances in order; the first four arcs of each are those of its object.
    struct Tree(Vec<(Vec<u32>, u64)>);

    impl Objects for Tree {
        fn get(&self, name: &[u32], tell: &mut dyn FnMut(Value<'_>)) -> Lookup {
            if let Some((_, value)) = self.0.iter().find(|(own, _)| own == name) {
                tell(value_of(*value));
                return Lookup::Found;
            }
            let is_object = name.len() > 4 && self.0.iter().any(|(own, _)| own.starts_with(&name[..4]));
            if is_object { Lookup::NoSuchInstance } else { Lookup::NoSuchObject }
        }

        fn next(&self, name: &mut Name) -> Option<usize> {
            let (next, _) = self.0.iter().find(|(own, _)| own[..] > **name)?;
            *name = Name::from_arcs(next);
            Some(4)
        }
    }

    /// Odd ones are what version 1 does not have.
    fn value_of(number: u64) -> Value<'static> {
        match u32::try_from(number) {
            Ok(small) if small % 2 == 0 => Value::Gauge32(small),
            _ => Value::Counter64(number),
        }
    }

    /// Hides subtrees.
    struct Hides(Vec<Vec<u32>>);

    impl Visible for Hides {
        fn contains(&self, name: &[u32]) -> bool {
            !self.0.iter().any(|hidden| name.starts_with(hidden))
        }

        fn reaches_into(&self, subtree: &[u32]) -> bool {
            self.contains(subtree)
        }
    }

    fn tree() -> Tree {
        let rows =
            |column: u32| (1..=3).map(move |row| (vec![1, 3, 9, column, row], u64::from(column * 10 + row)));
        let scalars = [(vec![1, 3, 5, 1, 0], 2), (vec![1, 3, 5, 2, 0], 3)];
        Tree(scalars.into_iter().chain(rows(1)).chain(rows(2)).collect())
    }

    fn ask(
        kind: PduKind,
        version: Version,
        names: &[&str],
        numbers: (u32, u32),
        room: usize,
        hidden: &[&[u32]],
    ) -> (ErrorStatus, u32, Vec<(String, Value<'static>)>) {
        let mut list = Vec::new();
        for name in names {
            write_varbind(&name.parse::<ObjectId>().unwrap(), &Value::Null, &mut list);
        }
        let numbers = match kind {
            PduKind::GetBulk => Numbers::Bulk { non_repeaters: numbers.0, max_repetitions: numbers.1 },
            _ => Numbers::NONE,
        };
        let pdu = Pdu { kind, request_id: 1, numbers, varbinds: VarBinds::new(&list).unwrap() };
        let mut out = Vec::new();
        let view = Hides(hidden.iter().map(|hidden| hidden.to_vec()).collect());
        let answer = respond(&Asked { pdu: &pdu, version, room }, &tree(), &view, &mut out).unwrap();
        let told = VarBinds::new(&out).unwrap();
        let told = told.iter().map(|varbind| {
            let value = match varbind.value {
                Value::Gauge32(number) => Value::Gauge32(number),
                Value::Counter64(number) => Value::Counter64(number),
                Value::NoSuchObject => Value::NoSuchObject,
                Value::NoSuchInstance => Value::NoSuchInstance,
                Value::EndOfMibView => Value::EndOfMibView,
                _ => Value::Null,
            };
            (varbind.name.to_string(), value)
        });
        (answer.status, answer.index, told.collect())
    }

    fn told(kind: PduKind, names: &[&str]) -> Vec<(String, Value<'static>)> {
        let (status, index, told) = ask(kind, Version::V2c, names, (0, 0), 9_999, &[]);
        assert_eq!((status, index), (ErrorStatus::NoError, 0));
        told
    }

    fn pair(name: &str, value: Value<'static>) -> (String, Value<'static>) {
        (name.to_owned(), value)
    }

    #[test]
    fn values_are_told_and_what_is_missing_is_said() {
        assert_eq!(
            told(PduKind::Get, &["1.3.5.1.0", "1.3.5.2.0", "1.3.9.1.7", "1.3.7.1.0"]),
            [
                pair("1.3.5.1.0", Value::Gauge32(2)),
                pair("1.3.5.2.0", Value::Counter64(3)),
                pair("1.3.9.1.7", Value::NoSuchInstance),
                pair("1.3.7.1.0", Value::NoSuchObject),
            ]
        );
        assert_eq!(
            told(PduKind::GetNext, &["1.3", "1.3.9.1.3", "1.3.9.2.3"]),
            [
                pair("1.3.5.1.0", Value::Gauge32(2)),
                pair("1.3.9.2.1", Value::Counter64(21)),
                pair("1.3.9.2.3", Value::EndOfMibView),
            ]
        );
    }

    #[test]
    fn version_1_has_errors_and_no_long_counters() {
        let ask = |kind, name| ask(kind, Version::V1, &["1.3.5.1.0", name], (0, 0), 9_999, &[]);
        let (status, index, back) = ask(PduKind::Get, "1.3.7.1.0");
        assert_eq!((status, index), (ErrorStatus::NoSuchName, 2));
        assert_eq!(back, [pair("1.3.5.1.0", Value::Null), pair("1.3.7.1.0", Value::Null)]);
        assert_eq!(ask(PduKind::Get, "1.3.5.2.0").0, ErrorStatus::NoSuchName);
        let (status, _, next) = ask(PduKind::GetNext, "1.3.5.1.0");
        assert_eq!((status, &next[1]), (ErrorStatus::NoError, &pair("1.3.9.1.2", Value::Gauge32(12))));
        assert_eq!(ask(PduKind::GetNext, "1.3.9.2.3").0, ErrorStatus::NoSuchName);
    }

    #[test]
    fn bulk_repeats_until_the_end_or_until_it_is_full() {
        let bulk = |numbers, room| {
            ask(PduKind::GetBulk, Version::V2c, &["1.3.5.1.0", "1.3.9.1", "1.3.9.2"], numbers, room, &[])
        };
        let names = |answer: (ErrorStatus, u32, Vec<(String, Value<'static>)>)| {
            assert_eq!(answer.0, ErrorStatus::NoError);
            answer.2.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(
            names(bulk((1, 2), 9_999)),
            ["1.3.5.2.0", "1.3.9.1.1", "1.3.9.2.1", "1.3.9.1.2", "1.3.9.2.2"]
        );
        assert_eq!(names(bulk((9, 0), 9_999)).len(), 3, "more once than there are");
        let (_, _, all) = bulk((1, 1_000_000), 9_999);
        assert_eq!(
            all.len(),
            1 + 2 * 7,
            "it ends when all have: the first column goes on through the second"
        );
        assert_eq!(all.last(), Some(&pair("1.3.9.2.3", Value::EndOfMibView)));
        assert_eq!(names(bulk((1, 9), 30)).len(), 2);
        assert_eq!((bulk((1, 9), 5).0, bulk((1, 9), 5).2.len()), (ErrorStatus::TooBig, 0));
    }

    #[test]
    fn what_a_view_hides_is_not_there() {
        let hidden: &[&[u32]] = &[&[1, 3, 9, 1], &[1, 3, 5, 1, 0]];
        let ask = |kind, name| ask(kind, Version::V2c, &[name], (0, 0), 9_999, hidden).2;
        assert_eq!(ask(PduKind::Get, "1.3.9.1.1"), [pair("1.3.9.1.1", Value::NoSuchObject)]);
        assert_eq!(ask(PduKind::GetNext, "1.3"), [pair("1.3.5.2.0", Value::Counter64(3))]);
        assert_eq!(ask(PduKind::GetNext, "1.3.5.2.0"), [pair("1.3.9.2.1", Value::Counter64(21))]);
    }

    #[test]
    fn what_is_too_big_is_said_and_nothing_can_be_set() {
        let names = &["1.3.5.1.0", "1.3.5.1.0"];
        let (status, index, back) = ask(PduKind::Get, Version::V2c, names, (0, 0), 20, &[]);
        assert_eq!((status, index, back.len()), (ErrorStatus::TooBig, 0, 0));
        let (status, index, back) = ask(PduKind::Get, Version::V1, names, (0, 0), 20, &[]);
        assert_eq!((status, index, back.len()), (ErrorStatus::TooBig, 0, 2));
        for (version, status) in
            [(Version::V1, ErrorStatus::NoSuchName), (Version::V2c, ErrorStatus::NoAccess)]
        {
            assert_eq!(ask(PduKind::Set, version, names, (0, 0), 999, &[]).0, status);
            assert_eq!(ask(PduKind::Set, version, names, (0, 0), 999, &[]).1, 1);
        }
    }

    proptest! {
        #[test]
        fn a_walk_meets_everything_once_in_order(repetitions in 1_u32..20, room in 40_usize..400, hide in 0_u32..4) {
            let hidden: &[&[u32]] = match hide { 0 => &[], 1 => &[&[1, 3, 9, 1]], 2 => &[&[1, 3, 9, 2, 2]], _ => &[&[1, 3, 5]] };
            let expected: Vec<String> = tree().0.iter().filter(|(name, _)| Hides(hidden.iter().map(|own| own.to_vec()).collect()).contains(name))
                .map(|(name, _)| name.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")).collect();
            let (mut at, mut met) = ("1.3".to_owned(), Vec::new());
            loop {
                let (status, _, told) = ask(PduKind::GetBulk, Version::V2c, &[&at], (0, repetitions), room, hidden);
                prop_assert_eq!(status, ErrorStatus::NoError);
                let is_over = told.iter().any(|(_, value)| *value == Value::EndOfMibView);
                met.extend(told.into_iter().filter(|(_, value)| *value != Value::EndOfMibView).map(|(name, _)| name));
                if is_over { break }
                at = met.last().unwrap().clone();
            }
            prop_assert_eq!(met, expected);
        }
    }
}
