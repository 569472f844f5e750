//! Template values with variables: `%%{variable}` and `%%{variable,parameter,…}`.
//!
//! | variable | value |
//! |---|---|
//! | `e164` | number of the user on the phone |
//! | `basic-e164` | number of the device itself |
//! | `mac` | the device id; a MAC address as `00:1a:e8:0a:0b:0c` |
//! | `device-type`, `software-type`, `software-version`, `part-number` | as the phone reported them |
//!
//! Parameters are applied from left to right:
//!
//! | parameter | effect | `%%{e164,…}` of 4989700112 |
//! |---|---|---|
//! | `$N` | the first N characters | `$4` gives `4989` |
//! | `$-N` | the last N characters | `$-4` gives `0112` |
//! | `$S:N` | N characters from position S on, counted from 1 | `$3:4` gives `8970` |
//! | `plain` | only letters and digits (a MAC without separators) | `4989700112` |
//! | `dash` | separators `:` become `-` | |
//! | `upper`, `lower` | letter case | |
//! | `default=TEXT` | TEXT where the value so far is empty | |
//!
//! `%%{}` stands for `%%` itself. A variable that has no value, and no `default`, makes the item inapplicable to
//! that device.

use std::fmt::Write as _;

/// The variables that a pattern may name.
pub const VARIABLES: [&str; 7] =
    ["e164", "basic-e164", "mac", "device-type", "software-type", "software-version", "part-number"];

const PARAMETERS: &str = "$N, $-N, $S:N, plain, dash, upper, lower, default=TEXT";
/// Characters that one expanded value may have; a bound on what a few short patterns can grow to.
const MAX_VARIABLES: usize = 32;

/// A value with its variables found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Variable { variable: usize, parameters: Vec<Parameter> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Parameter {
    First(usize),
    Last(usize),
    Middle { start: usize, len: usize },
    Plain,
    Dash,
    Upper,
    Lower,
    Default(Box<str>),
}

/// A value that is no pattern. Says where and what is allowed, and repeats nothing of the value: that may be a secret.
/// Characters are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `%%{` without `}`.
    #[error("`%%{{` at character {0} has no closing `}}`")]
    Open(usize),
    /// No such variable.
    #[error("unknown variable at character {0}; known are {list}", list = VARIABLES.join(", "))]
    UnknownVariable(usize),
    /// No such parameter.
    #[error("unknown parameter at character {0}; known are {PARAMETERS}")]
    UnknownParameter(usize),
    /// Too many variables in one value.
    #[error("more than {MAX_VARIABLES} variables in one value")]
    TooMany,
}

/// A variable without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has no {variable}")]
pub struct Unresolved {
    /// The variable's name.
    pub variable: &'static str,
}

impl Pattern {
    /// Find the variables in `text`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        let mut variables = 0;
        while let Some(at) = rest.find("%%{") {
            plain.push_str(&rest[..at]);
            let inside = &rest[at + 3..];
            let character = text[..text.len() - rest.len() + at].chars().count() + 1;
            let end = inside.find('}').ok_or(PatternError::Open(character))?;
            if inside[..end].is_empty() {
                plain.push_str("%%");
            } else {
                variables += 1;
                if variables > MAX_VARIABLES {
                    return Err(PatternError::TooMany);
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(variable(&inside[..end], character + 3)?);
            }
            rest = &inside[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self { parts })
    }

    /// The text, if there is no variable in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Put values in. `lookup` gives the value of a variable of [`VARIABLES`], or `None` where there is none.
    pub fn resolve<'v>(
        &self,
        lookup: impl Fn(&'static str) -> Option<&'v str>,
    ) -> Result<String, Unresolved> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable { variable, parameters } => {
                    let name = VARIABLES[*variable];
                    let mut value = lookup(name).unwrap_or_default().to_owned();
                    for parameter in parameters {
                        value = parameter.apply(value);
                    }
                    if value.is_empty() {
                        return Err(Unresolved { variable: name });
                    }
                    out.push_str(&value);
                }
            }
        }
        Ok(out)
    }
}

/// What stands between the braces, of which the first character is number `first` of the value.
fn variable(inside: &str, first: usize) -> Result<Part, PatternError> {
    let mut words = inside.split(',').scan(first, |next, word| {
        let at = *next + word.chars().take_while(|c| c.is_whitespace()).count();
        *next += word.chars().count() + 1;
        Some((at, word.trim()))
    });
    let (at, name) = words.next().unwrap_or((first, ""));
    let variable =
        VARIABLES.iter().position(|known| *known == name).ok_or(PatternError::UnknownVariable(at))?;
    let parameters = words.map(|(at, word)| Parameter::parse(word).ok_or(PatternError::UnknownParameter(at)));
    let parameters = parameters.collect::<Result<_, _>>()?;
    Ok(Part::Variable { variable, parameters })
}

impl Parameter {
    fn parse(word: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n > 0).map(usize::from);
        Some(match word {
            "plain" => Self::Plain,
            "dash" => Self::Dash,
            "upper" => Self::Upper,
            "lower" => Self::Lower,
            _ => {
                if let Some(text) = word.strip_prefix("default=") {
                    Self::Default(text.into())
                } else if let Some(last) = word.strip_prefix("$-") {
                    Self::Last(number(last)?)
                } else if let Some(range) = word.strip_prefix('$') {
                    match range.split_once(':') {
                        Some((start, len)) => Self::Middle { start: number(start)? - 1, len: number(len)? },
                        None => Self::First(number(range)?),
                    }
                } else {
                    return None;
                }
            }
        })
    }

    fn apply(&self, value: String) -> String {
        match self {
            Self::First(n) => value.chars().take(*n).collect(),
            Self::Last(n) => {
                let skip = value.chars().count().saturating_sub(*n);
                value.chars().skip(skip).collect()
            }
            Self::Middle { start, len } => value.chars().skip(*start).take(*len).collect(),
            Self::Plain => value.chars().filter(|c| c.is_alphanumeric()).collect(),
            Self::Dash => value.replace(':', "-"),
            Self::Upper => value.to_uppercase(),
            Self::Lower => value.to_lowercase(),
            Self::Default(text) if value.is_empty() => text.as_ref().to_owned(),
            Self::Default(_) => value,
        }
    }
}

/// Make a text safe to stand in a pattern literally.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, piece) in text.split("%%{").enumerate() {
        if at > 0 {
            let _ = write!(out, "%%{{}}{{");
        }
        out.push_str(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resolve(text: &str) -> Result<String, Unresolved> {
        Pattern::parse(text).unwrap().resolve(|name| match name {
            "e164" => Some("4989700112"),
            "mac" => Some("00:1a:e8:0a:0b:0c"),
            _ => None,
        })
    }

    #[test]
    fn parameters_cut_and_shape() {
        for (text, value) in [
            ("%%{e164}", "4989700112"),
            ("%%{e164,$-4}", "0112"),
            ("%%{e164,$4}", "4989"),
            ("%%{e164,$3:4}", "8970"),
            ("%%{e164,$-99}", "4989700112"),
            ("%%{mac,plain,upper,$-6}", "0A0B0C"),
            ("%%{mac,dash}", "00-1a-e8-0a-0b-0c"),
            ("phone-%%{e164,$-4}.example.net", "phone-0112.example.net"),
            ("%%{basic-e164,default=none}", "none"),
            ("100%% %%{}{e164}", "100%% %%{e164}"),
            ("", ""),
        ] {
            assert_eq!(resolve(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_variable_without_value_is_named() {
        assert_eq!(resolve("x%%{part-number}"), Err(Unresolved { variable: "part-number" }));
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let error = Pattern::parse("ab%%{e164").unwrap_err();
        assert_eq!(error, PatternError::Open(3));
        assert!(Pattern::parse("%%{sip}").unwrap_err().to_string().contains("basic-e164"));
        assert!(Pattern::parse("%%{e164,$0}").unwrap_err().to_string().contains("$-N"));
        assert_eq!(Pattern::parse("ä%%{e164,$-4, wide}"), Err(PatternError::UnknownParameter(15)));
        assert_eq!(Pattern::parse("%%{mac}%%{ sip}"), Err(PatternError::UnknownVariable(12)));
        assert_eq!(Pattern::parse(&"%%{mac}".repeat(33)), Err(PatternError::TooMany));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[%{}$,:e164mac0-9=ä-]{0,40}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = pattern.resolve(|_| Some("ä1"));
            }
        }

        #[test]
        fn escaped_text_is_literal(text in "[%{}ab]{0,30}") {
            let pattern = Pattern::parse(&escape(&text)).unwrap();
            prop_assert_eq!(pattern.literal(), Some(text.as_str()));
        }
    }
}
