//! Words of the core in bodies: one of a few each.

use callboard_core::snmp::access;
use callboard_core::snmp::protocol;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! words {
    ($($name:ident($core:ty) $schema:literal $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $name(pub(super) $core);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let found = <$core>::ALL.into_iter().find(|one| one.as_str() == text);
                // Without the text: it may be a secret in the wrong place.
                let wrong = || D::Error::custom(format!("one of {}", <$core>::ALL.map(<$core>::as_str).join(", ")));
                found.map(Self).ok_or_else(wrong)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::String))
                    .enum_values(Some(<$core>::ALL.map(<$core>::as_str)))
                    .description(Some($doc))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $schema.into()
            }
        }
    )*};
}

words! {
    AuthProtocol(protocol::AuthProtocol) "SnmpAuthProtocol" "How messages are authenticated.";
    PrivProtocol(protocol::PrivProtocol) "SnmpPrivProtocol" "How messages are encrypted.";
    Level(protocol::SecurityLevel) "SnmpSecurityLevel" "What protects a message.";
    Version(access::Version) "SnmpVersion" "A version of SNMP.";
    Mode(access::Mode) "SnmpMode" "Whether a receiver has to acknowledge.";
}
