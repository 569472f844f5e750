//! One key of the configuration, and the macro that makes keys, structs and defaults from one table.

use super::Config;
use super::value::{Form, Value};

/// One key: everything that is known about it, once.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Section, as in `[limits]`.
    pub section: &'static str,
    /// Name inside the section, with the unit as its ending (`_ms`, `_s`, `_min`, `_days`, `_bytes`).
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// What it may hold.
    pub form: Form,
    pub(super) set: fn(&mut Config, &Value) -> Result<(), String>,
    pub(super) get: fn(&Config) -> Value,
}

impl Key {
    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that sets it: `CALLBOARD__SECTION__NAME`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CALLBOARD__{}__{}", self.section, self.name).to_ascii_uppercase()
    }

    /// The value in `config`; a secret comes masked.
    #[must_use]
    pub fn value(&self, config: &Config) -> Value {
        (self.get)(config)
    }
}

/// Type of the field of a key, by its kind.
macro_rules! field_type {
    (ms $($rest:tt)*) => { Duration };
    (seconds $($rest:tt)*) => { Duration };
    (minutes $($rest:tt)*) => { Duration };
    (days $($rest:tt)*) => { Duration };
    (count $($rest:tt)*) => { usize };
    (bytes $($rest:tt)*) => { usize };
    (bits $($rest:tt)*) => { usize };
    (port $($rest:tt)*) => { u16 };
    (door $($rest:tt)*) => { Option<SocketAddr> };
    (path) => { Option<PathBuf> };
    (text $($rest:tt)*) => { String };
    (list $($rest:tt)*) => { Vec<String> };
    (networks $($rest:tt)*) => { Vec<Network> };
    (secret) => { Secret };
    (choice $type:ident $($rest:tt)*) => { $type };
}

/// Name of a key: that of its field, with the unit of durations behind.
macro_rules! key_name {
    ($field:ident ms) => {
        concat!(stringify!($field), "_ms")
    };
    ($field:ident seconds) => {
        concat!(stringify!($field), "_s")
    };
    ($field:ident minutes) => {
        concat!(stringify!($field), "_min")
    };
    ($field:ident days) => {
        concat!(stringify!($field), "_days")
    };
    ($field:ident $kind:ident) => {
        stringify!($field)
    };
}

/// Default of a key, as the typed field.
macro_rules! key_default {
    (ms $default:literal in $range:expr) => {
        Duration::from_millis($default)
    };
    (seconds $default:literal in $range:expr) => {
        Duration::from_secs($default)
    };
    (minutes $default:literal in $range:expr) => {
        Duration::from_secs($default * 60)
    };
    (days $default:literal in $range:expr) => {
        Duration::from_secs($default * 86_400)
    };
    (count $default:literal in $range:expr) => {
        $default
    };
    (bytes $default:literal in $range:expr) => {
        $default
    };
    (bits $default:literal in $range:expr) => {
        $default
    };
    (port $default:literal) => {
        $default
    };
    (door) => {
        None
    };
    (door $address:expr, $port:literal) => {
        Some(SocketAddr::new(IpAddr::V4($address), $port))
    };
    (path) => {
        None
    };
    (text $default:literal as $rule:expr) => {
        $default.to_owned()
    };
    (list [$($default:literal),*] as $rule:expr) => {
        vec![$($default.to_owned()),*]
    };
    (networks) => {
        Vec::new()
    };
    (networks near) => {
        PlugAndPlay::near()
    };
    (secret) => {
        Secret::default()
    };
    (choice $type:ident::$default:ident) => {
        $type::$default
    };
}

/// Form of a key.
macro_rules! key_form {
    (ms $default:literal in $range:expr) => {
        key_form!(@ $range, "milliseconds")
    };
    (seconds $default:literal in $range:expr) => {
        key_form!(@ $range, "seconds")
    };
    (minutes $default:literal in $range:expr) => {
        key_form!(@ $range, "minutes")
    };
    (days $default:literal in $range:expr) => {
        key_form!(@ $range, "days")
    };
    (count $default:literal in $range:expr) => {
        key_form!(@ $range, "count")
    };
    (bytes $default:literal in $range:expr) => {
        key_form!(@ $range, "bytes")
    };
    (bits $default:literal in $range:expr) => {
        key_form!(@ $range, "bits")
    };
    (port $default:literal) => {
        key_form!(@ 1..=65_535, "port")
    };
    (@ $range:expr, $unit:literal) => {{
        const RANGE: std::ops::RangeInclusive<u64> = $range;
        Form::Whole { min: *RANGE.start(), max: *RANGE.end(), unit: $unit }
    }};
    (door $($rest:tt)*) => {
        Form::Door
    };
    (path) => {
        Form::Path
    };
    (text $default:literal as $rule:expr) => {
        Form::Text($rule)
    };
    (list [$($default:literal),*] as $rule:expr) => {
        Form::List($rule)
    };
    (networks $($rest:tt)*) => {
        Form::Networks
    };
    (secret) => {
        Form::Secret
    };
    (choice $type:ident::$default:ident) => {
        Form::Choice($type::WORDS)
    };
}

/// Reading of a key's field from a value.
macro_rules! key_read {
    (ms $value:expr) => {
        Unit { millis: 1 }.read($value)
    };
    (seconds $value:expr) => {
        Unit { millis: 1_000 }.read($value)
    };
    (minutes $value:expr) => {
        Unit { millis: 60_000 }.read($value)
    };
    (days $value:expr) => {
        Unit { millis: 86_400_000 }.read($value)
    };
    ($kind:ident $value:expr) => {
        Field::read($value)
    };
}

/// Writing of a key's field to a value.
macro_rules! key_write {
    (ms $field:expr) => {
        Unit { millis: 1 }.write($field)
    };
    (seconds $field:expr) => {
        Unit { millis: 1_000 }.write($field)
    };
    (minutes $field:expr) => {
        Unit { millis: 60_000 }.write($field)
    };
    (days $field:expr) => {
        Unit { millis: 86_400_000 }.write($field)
    };
    ($kind:ident $field:expr) => {
        Field::write(&$field)
    };
}

/// Makes the section structs, [`Config`], its `Default` and `KEYS` from one table.
macro_rules! config_table {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $kind:ident($($spec:tt)*),
            )*
        }
    )*) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $struct {
                $(
                    $(#[doc = $doc])+
                    pub $field: field_type!($kind $($spec)*),
                )*
            }

            impl Default for $struct {
                fn default() -> Self {
                    Self { $($field: key_default!($kind $($spec)*),)* }
                }
            }
        )*

        /// The whole configuration, typed; see `docs/configuration.md` for the keys.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            $(
                $(#[doc = $section_doc])+
                pub $section: $struct,
            )*
            /// Where each value came from, by the position of its key in [`KEYS`].
            pub(super) origins: Origins,
        }

        /// The sections in order, each with what it is about.
        pub static SECTIONS: &[(&str, &str)] =
            &[$((stringify!($section), concat!($($section_doc),+))),*];

        /// Every key there is, section by section.
        pub static KEYS: &[Key] = &[$($(
            Key {
                section: stringify!($section),
                name: key_name!($field $kind),
                doc: concat!($($doc),+),
                form: key_form!($kind $($spec)*),
                set: |config, value| {
                    config.$section.$field = key_read!($kind value)?;
                    Ok(())
                },
                get: |config| key_write!($kind config.$section.$field),
            },
        )*)*];
    };
}

pub(super) use {config_table, field_type, key_default, key_form, key_name, key_read, key_write};
