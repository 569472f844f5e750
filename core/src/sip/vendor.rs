//! Who made a phone, and how it is told to fetch its configuration: each vendor spells it its own way (SIP reference, section
//! check-sync).

use serde::{Deserialize, Serialize};

/// Who made a phone, as far as that matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Mitel, formerly Aastra.
    Mitel,
    /// Polycom, Poly.
    Polycom,
    /// Snom.
    Snom,
    /// Yealink.
    Yealink,
    /// Gigaset.
    Gigaset,
    /// Cisco SPA and Linksys.
    Cisco,
    /// Grandstream.
    Grandstream,
    /// Panasonic.
    Panasonic,
    /// Avaya.
    Avaya,
    /// Auerswald.
    Auerswald,
    /// Unify, formerly Siemens.
    Unify,
    /// Anybody else.
    #[default]
    Other,
}

/// What a phone is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncWish {
    /// Fetch the configuration, and restart only if the phone thinks it must.
    Fetch,
    /// Fetch it and restart.
    Restart,
}

/// Words that name a vendor, in lower case. The first that stands in a text decides.
const WORDS: [(&str, Vendor); 20] = [
    ("mitel", Vendor::Mitel),
    ("aastra", Vendor::Mitel),
    ("polycom", Vendor::Polycom),
    ("polyedge", Vendor::Polycom),
    ("soundpoint", Vendor::Polycom),
    ("snom", Vendor::Snom),
    ("yealink", Vendor::Yealink),
    ("gigaset", Vendor::Gigaset),
    ("linksys", Vendor::Cisco),
    ("cisco", Vendor::Cisco),
    ("sipura", Vendor::Cisco),
    ("grandstream", Vendor::Grandstream),
    ("panasonic", Vendor::Panasonic),
    ("avaya", Vendor::Avaya),
    ("auerswald", Vendor::Auerswald),
    ("comfortel", Vendor::Auerswald),
    ("openscape", Vendor::Unify),
    ("openstage", Vendor::Unify),
    ("optipoint", Vendor::Unify),
    ("unify", Vendor::Unify),
];

impl Vendor {
    /// The vendor that a `User-Agent` or the `vendor` of an `Event` names.
    pub fn of(text: &str) -> Self {
        let is_named = |word: &str| {
            let bytes = text.as_bytes();
            bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
        };
        WORDS.iter().find(|(word, _)| is_named(word)).map_or(Self::Other, |known| known.1)
    }

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mitel => "mitel",
            Self::Polycom => "polycom",
            Self::Snom => "snom",
            Self::Yealink => "yealink",
            Self::Gigaset => "gigaset",
            Self::Cisco => "cisco",
            Self::Grandstream => "grandstream",
            Self::Panasonic => "panasonic",
            Self::Avaya => "avaya",
            Self::Auerswald => "auerswald",
            Self::Unify => "unify",
            Self::Other => "other",
        }
    }

    /// `Event` of the NOTIFY that asks a phone of this vendor.
    pub const fn sync_event(self, wish: SyncWish) -> &'static str {
        match (self, wish) {
            // They know no parameter; the phone or its own configuration decides whether it restarts.
            (Self::Mitel | Self::Polycom | Self::Grandstream | Self::Avaya | Self::Auerswald, _) => {
                "check-sync"
            }
            (Self::Cisco, SyncWish::Fetch) => "resync",
            (Self::Cisco, SyncWish::Restart) => "reboot",
            // It knows only this one.
            (Self::Panasonic, _) | (_, SyncWish::Restart) => "check-sync;reboot=true",
            (_, SyncWish::Fetch) => "check-sync;reboot=false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_known_by_their_user_agents() {
        for (text, vendor) in [
            ("Mitel 6869i/6.3.0.1020", Vendor::Mitel),
            ("Aastra 57i/3.3.1", Vendor::Mitel),
            ("PolycomVVX-VVX_410-UA/5.9.0", Vendor::Polycom),
            ("snomD765/10.1.64.14", Vendor::Snom),
            ("Yealink SIP-T46S 66.85.0.5", Vendor::Yealink),
            ("Linksys/SPA942-6.1.5(a)", Vendor::Cisco),
            ("OpenScape Desk Phone CP 600", Vendor::Unify),
            ("baresip v1.0.0", Vendor::Other),
            ("", Vendor::Other),
        ] {
            assert_eq!(Vendor::of(text), vendor, "{text}");
        }
    }

    #[test]
    fn each_vendor_is_told_in_its_own_words() {
        let told = |vendor: Vendor| [SyncWish::Fetch, SyncWish::Restart].map(|wish| vendor.sync_event(wish));
        assert_eq!(told(Vendor::Snom), ["check-sync;reboot=false", "check-sync;reboot=true"]);
        assert_eq!(told(Vendor::Mitel), ["check-sync"; 2]);
        assert_eq!(told(Vendor::Cisco), ["resync", "reboot"]);
        assert_eq!(told(Vendor::Panasonic), ["check-sync;reboot=true"; 2]);
    }
}
