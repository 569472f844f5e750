//! Reading requests strictly: whatever is wrong becomes a problem document that names the field.

mod body;
mod if_match;
mod object;
mod params;
mod path;

pub(crate) use body::{Json, SecretText};
pub(crate) use if_match::{IfMatch, basis, etag};
pub(crate) use object::Object;
pub(crate) use params::Params;
pub(crate) use path::{Chosen, Id};

/// The field that an error of serde is about. `path` is where it happened: `.` for the whole, which is called `whole`.
fn field(path: &str, message: &str, whole: &str) -> String {
    let name = ["missing field `", "duplicate field `"].iter().find_map(|start| message.strip_prefix(start));
    let name = name.and_then(|rest| rest.split('`').next());
    match (path, name) {
        (".", None) => whole.into(),
        (".", Some(name)) => name.into(),
        (path, Some(name)) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        (path, _) => path.into(),
    }
}

/// The reason inside a message of serde, without the value that was found: it may be a secret in the wrong place.
fn without_value(message: &str) -> String {
    let unknown = message.strip_prefix("unknown variant `").and_then(|rest| rest.rsplit_once("`, expected "));
    if let Some((_, expected)) = unknown {
        return format!("expected {expected}");
    }
    let found = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = found.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let kind = found.split(['"', '`']).next().unwrap_or_default().trim();
    format!("expected {expected}, not {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named_as_closely_as_known() {
        for (path, message, name) in [
            (".", "EOF", "body"),
            (".", "missing field `name` at line 1", "name"),
            ("items[0]", "missing field `name`", "items[0].name"),
            ("items[0].name", "duplicate field `name`", "items[0].name"),
            ("name", "duplicate field `name`", "name"),
            ("items[0].index", "expected u32", "items[0].index"),
        ] {
            assert_eq!(field(path, message, "body"), name);
        }
    }

    #[test]
    fn values_do_not_come_back() {
        for (message, reason) in [
            ("invalid type: string \"hunter2\", expected u32", "expected u32, not string"),
            (
                "invalid type: integer `4711`, expected a string at line 1 column 9",
                "expected a string at line 1 column 9, not integer",
            ),
            ("invalid value: string \"a\", expected b\", expected a number", "expected a number, not string"),
            ("invalid type: null, expected a map", "expected a map, not null"),
            ("unknown variant `hunter2`, expected one of `a`, `b`", "expected one of `a`, `b`"),
            ("missing field `name`", "missing field `name`"),
        ] {
            assert_eq!(without_value(message), reason);
        }
    }
}
