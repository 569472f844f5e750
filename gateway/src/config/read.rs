//! Reading of the file and of the environment into values with an origin.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use toml_edit::{Document, Item, TableLike, Value as Toml};

use super::hint;
use super::key::Key;
use super::origin::{Fault, Origin};
use super::table::{KEYS, SECTIONS};
use super::value::{Form, Value};

/// Largest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What every variable of ours begins with. A key's has one underscore more; who forgets it is told.
pub(super) const PREFIX: &str = "CALLBOARD_";

/// Values that were given and are right in themselves, by key position, and the faults of the others.
#[derive(Default)]
pub(super) struct Given {
    pub(super) values: HashMap<usize, (Value, Origin)>,
    pub(super) faults: Vec<Fault>,
    /// Keys that have a fault: no rule across keys is applied to them.
    pub(super) spoilt: Vec<usize>,
}

impl Given {
    fn take(&mut self, index: usize, key: &Key, origin: Origin, value: Result<Value, String>) {
        match value.and_then(|value| key.form.check(&value).map(|()| value)) {
            Ok(value) => {
                self.values.insert(index, (value, origin));
            }
            Err(reason) => self.spoil(index, origin, reason),
        }
    }

    pub(super) fn spoil(&mut self, index: usize, origin: Origin, reason: String) {
        self.spoilt.push(index);
        if let Some(key) = KEYS.get(index) {
            let allowed = Some(key.form.allowed());
            self.faults.push(Fault { origin, key: key.path(), reason, allowed });
        }
    }

    fn refuse(&mut self, origin: Origin, key: String, reason: String) {
        self.faults.push(Fault { origin, key, reason, allowed: None });
    }

    /// Reads a file from disk.
    pub(super) fn read_file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let whole = Origin::File { file: name.clone(), line: 0, column: 0 };
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return self.refuse(whole, String::new(), format!("cannot be read: {error}"));
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return self.refuse(whole, String::new(), format!("is larger than {MAX_FILE_BYTES} bytes"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.read_text(&name, &text),
            Err(_) => self.refuse(whole, String::new(), "is not UTF-8 text".to_owned()),
        }
    }

    /// Reads the text of a file; `name` stands in the faults.
    pub(super) fn read_text(&mut self, name: &str, text: &str) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let place = |offset: Option<usize>| position(name, text, offset);
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let reason = format!("is not TOML: {}", error.message().trim().replace('\n', ", "));
                return self.refuse(place(error.span().map(|span| span.start)), String::new(), reason);
            }
        };
        let root: &dyn TableLike = document.as_table();
        for (section, item) in root.iter() {
            let at = place(key_offset(root, section));
            match (SECTIONS.iter().any(|(name, _)| *name == section), item.as_table_like()) {
                (true, Some(table)) => self.read_section(section, table, &place),
                (true, None) => {
                    self.refuse(at, section.to_owned(), format!("is a section: write [{section}]"));
                }
                (false, _) => self.refuse(at, section.to_owned(), hint::unknown_section(section)),
            }
        }
    }

    fn read_section(
        &mut self,
        section: &str,
        table: &dyn TableLike,
        place: &dyn Fn(Option<usize>) -> Origin,
    ) {
        for (name, item) in table.iter() {
            let key_at = key_offset(table, name);
            match find(section, name) {
                Some((index, key)) => {
                    let at = place(item.span().map(|span| span.start).or(key_at));
                    self.take(index, key, at, from_toml(key, item));
                }
                None => {
                    self.refuse(place(key_at), format!("{section}.{name}"), hint::unknown_key(section, name));
                }
            }
        }
    }

    /// Takes the variables that begin with [`PREFIX`]; each overrides the file. Those that are not meant for us are left.
    pub(super) fn read_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let mut ours: Vec<_> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        for (name, text) in ours {
            let origin = Origin::Environment(name.clone());
            match Variable::of(&name, &text) {
                Variable::Key(index, key) => self.take(index, key, origin, from_text(key, &text)),
                Variable::Mistake => self.refuse(origin, String::new(), hint::unknown_variable(&name)),
                Variable::Link | Variable::Foreign => {}
            }
        }
    }
}

/// What a variable that begins with [`PREFIX`] is.
pub(super) enum Variable {
    /// Sets a key.
    Key(usize, &'static Key),
    /// Made by Kubernetes or Docker for a service that is called as the program is.
    Link,
    /// Looks like a key's, and sets none.
    Mistake,
    /// Somebody else's: the version of a compose file, for example.
    Foreign,
}

impl Variable {
    pub(super) fn of(name: &str, value: &str) -> Self {
        if let Some((index, key)) = KEYS.iter().enumerate().find(|(_, key)| key.variable() == name) {
            return Self::Key(index, key);
        }
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        let (word, is_double) = rest.strip_prefix('_').map_or((rest, false), |word| (word, true));
        // What follows the name of a section of ours, if it begins with one.
        let behind: Vec<_> = SECTIONS
            .iter()
            .filter_map(|(section, _)| word.strip_prefix(section.to_uppercase().as_str()))
            .filter(|behind| behind.is_empty() || behind.starts_with('_'))
            .collect();
        // A service may be called callboard--x, too.
        let is_key_like = is_double && behind.iter().any(|behind| behind.starts_with("__"));
        if !is_key_like && is_service_link(name, value) {
            Self::Link
        } else if is_double || !behind.is_empty() {
            Self::Mistake
        } else {
            Self::Foreign
        }
    }
}

/// Whether Kubernetes made the variable: for each service it sets `NAME_SERVICE_HOST`, `NAME_PORT_443_TCP` and the like in
/// all containers of the name space, and a service may well be called as the program is.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    // The name of the service may hold the same words; it ends with a letter or a digit.
    let is_service = |service: &str| !service.ends_with('_');
    let numbered = name.rsplit_once("_PORT_").is_some_and(|(service, port)| {
        let rest = port.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_port = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.starts_with(protocol));
        is_service(service) && rest.len() < port.len() && is_port
    });
    let host = name.strip_suffix("_SERVICE_HOST").is_some_and(is_service);
    let port = name.rsplit_once("_SERVICE_PORT").is_some_and(|(service, _)| is_service(service));
    host || port || numbered || (is_url && name.strip_suffix("_PORT").is_some_and(is_service))
}

/// The key of this name and its position.
pub(super) fn find(section: &str, name: &str) -> Option<(usize, &'static Key)> {
    KEYS.iter().enumerate().find(|(_, key)| key.section == section && key.name == name)
}

fn key_offset(table: &dyn TableLike, name: &str) -> Option<usize> {
    let (key, item) = table.get_key_value(name)?;
    key.span().or_else(|| item.span()).map(|span| span.start)
}

/// Line and column, both from 1, of a byte offset.
fn position(file: &str, text: &str, offset: Option<usize>) -> Origin {
    let before = offset.and_then(|offset| text.get(..offset)).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Origin::File { file: file.to_owned(), line, column }
}

fn from_toml(key: &Key, item: &Item) -> Result<Value, String> {
    match item.as_value() {
        Some(Toml::Integer(number)) => {
            let number = *number.value();
            u64::try_from(number).map(Value::Whole).map_err(|_| format!("{number} is out of range"))
        }
        Some(Toml::String(text)) => Ok(Value::Text(text.value().clone())),
        Some(Toml::Array(array)) => array
            .iter()
            .map(|entry| entry.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Value::List)
            .ok_or_else(|| "holds something that is not a text".to_owned()),
        _ => Err(format!("is of the wrong type ({}), must be {}", item.type_name(), key.form.type_name())),
    }
}

/// A variable is read by the form of its key: numbers in decimal, lists with commas between.
fn from_text(key: &Key, text: &str) -> Result<Value, String> {
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err("is not UTF-8 text".to_owned());
    }
    match key.form {
        Form::Whole { .. } => {
            text.trim().parse().map(Value::Whole).map_err(|_| format!("{text:?} is not a whole number"))
        }
        Form::Networks if text.trim().is_empty() => Ok(Value::List(Vec::new())),
        Form::List(_) | Form::Networks => {
            Ok(Value::List(text.split(',').map(|entry| entry.trim().to_owned()).collect()))
        }
        _ => Ok(Value::Text(text.to_owned())),
    }
}
