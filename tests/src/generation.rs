//! Four generations of firmware, as far as the WPI reference tells them apart on the wire.
//!
//! It does not tell them apart by how many items they take in one message or how they fragment: all are alike here.

use callboard_codecs::wpi::SoftwareVersion;

use crate::tls::{Client, Keys};

/// A generation of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// The first one.
    V1,
    /// The last one that does not attach what was changed at the phone.
    V2R1,
    /// The last one that cannot read chunked answers.
    V2R2,
    /// V3 R3 and later.
    V3,
}

impl Generation {
    /// All of them, the oldest first.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2R1, Self::V2R2, Self::V3];

    /// The generation of a version.
    pub fn of(version: &SoftwareVersion) -> Self {
        match (version.major, version.release) {
            (0 | 1, _) => Self::V1,
            (2, 0 | 1) => Self::V2R1,
            (2, _) => Self::V2R2,
            _ => Self::V3,
        }
    }

    /// A version of it, as its phones report it (section 5.3).
    pub const fn version(self) -> &'static str {
        match self {
            Self::V1 => "V1 R5.6.0",
            Self::V2R1 => "V2 R1.21.0",
            Self::V2R2 => "V2 R2.40.0",
            Self::V3 => "V3 R5.12.0",
        }
    }

    /// The next version for its phones, which is of the next generation. Both forms of `file-sw-version` are seen
    /// (section 8.6).
    pub const fn next_version(self) -> &'static str {
        match self {
            Self::V1 => "2.1.21.0",
            Self::V2R1 => "V2 R2.40.0",
            Self::V2R2 => "3.5.12.0",
            Self::V3 => "V3 R6.0.0",
        }
    }

    /// How its phones connect in default mode: they know RSA and no TLS 1.3. The oldest know less, and need something in
    /// front of the server that speaks for them (section 1.4).
    pub fn client(self) -> Client {
        Client::default().keys(Keys::Rsa).version(&rustls::version::TLS12)
    }

    /// It reads references for `<`, `>` and `&` in values (section 11, 15).
    pub fn reads_references(self) -> bool {
        self > Self::V1
    }

    /// Its opening messages have `gigabit-ethernet-enabled` (section 5.3).
    pub fn tells_gigabit(self) -> bool {
        self > Self::V1
    }

    /// Its opening messages have `backlight-type` (section 5.3).
    pub fn tells_backlight(self) -> bool {
        self >= Self::V2R2
    }

    /// With `local-changes` it tells what was changed (section 5.1).
    pub fn attaches_changes(self) -> bool {
        self >= Self::V2R2
    }

    /// It has forwarding by type of call (`cfu-ext-activated`).
    pub fn forwards_by_type(self) -> bool {
        self == Self::V3
    }

    /// Settings menus that can be locked (section 10.4). Where the number grew is not public.
    pub fn menus(self) -> u32 {
        if self == Self::V3 { 79 } else { 66 }
    }

    /// After a call it calls if it was asked to by `send-solicited` (section 6.4).
    pub fn calls_back(self) -> bool {
        self == Self::V3
    }

    /// It fetches by HTTPS; older phones by FTP (section 11, 24).
    pub fn fetches_by_https(self) -> bool {
        self == Self::V3
    }

    /// It reports each of several files. The guide says that phones do not, a server of our days gets it from its phones
    /// (section 8.8).
    pub fn reports_several_files(self) -> bool {
        self == Self::V3
    }

    /// Its inventory tells the status of files. Inventories with and without it are seen (sections 8.2 and 8.7); which
    /// firmware does what is not public.
    pub fn lists_file_status(self) -> bool {
        self >= Self::V2R2
    }
}
