//! A device as bytes in the store.

use super::Device;

/// Version of the record form that this build writes. Older ones stay readable.
const VERSION: u8 = 3;
/// Has no [`Route`](super::Route).
const WITHOUT_ROUTE: u8 = 2;
/// Has no marks in [`Offered`](super::Offered) either.
const WITHOUT_MARKS: u8 = 1;
/// What stands at the end of a record since [`VERSION`], as older devices have it: no site.
const ROUTE: &[u8] = &[0];

/// A record that cannot be read as a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Written by a newer Callboard.
    #[error("device record version {0} is newer than this Callboard reads (up to {VERSION})")]
    Newer(u8),
    /// The bytes do not fit the form.
    #[error("malformed device record: {0}")]
    Malformed(postcard::Error),
    /// Nothing at all.
    #[error("empty device record")]
    Empty,
}

impl BadRecord {
    /// The newest version of the record form that this build reads.
    pub const SUPPORTED: u8 = VERSION;
}

/// Pack a device.
pub fn encode(device: &Device) -> Result<Vec<u8>, BadRecord> {
    let mut bytes = Vec::with_capacity(device.reported.as_bytes().len() + 512);
    bytes.push(VERSION);
    postcard::to_extend(device, bytes).map_err(BadRecord::Malformed)
}

/// Unpack a device.
pub fn decode(bytes: &[u8]) -> Result<Device, BadRecord> {
    match bytes.split_first() {
        Some((&VERSION, payload)) => postcard::from_bytes(payload).map_err(BadRecord::Malformed),
        Some((&(WITHOUT_ROUTE | WITHOUT_MARKS), payload)) => {
            postcard::from_bytes(&[payload, ROUTE].concat()).map_err(BadRecord::Malformed)
        }
        Some((&version, _)) if version > VERSION => Err(BadRecord::Newer(version)),
        Some(_) => Err(BadRecord::Malformed(postcard::Error::DeserializeBadEncoding)),
        None => Err(BadRecord::Empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceId, Offered, Refusal, Route, SecureMode};
    use crate::item::{ItemKey, ItemSetBuilder};
    use crate::pki::Series;
    use crate::secret::{KEY_LEN, Secret, Vault};
    use crate::site::SiteId;
    use crate::time::Timestamp;

    fn device() -> Device {
        let vault = Vault::new(&[1; KEY_LEN]).unwrap();
        let mut device = Device::new("00:1a:e8:00:00:01".parse().unwrap());
        let mut items = ItemSetBuilder::default();
        items.push("reg-addr", None, "198.51.100.20", None, &vault).unwrap();
        items.push("sip-pwd", None, "hunter2", None, &vault).unwrap();
        device.reported = items.build(10).unwrap();
        device.contacts.source = Some("192.0.2.41".parse().unwrap());
        device.security.mode = SecureMode::EnablingIndividualPin;
        device.security.pin = Some(vault.seal(&Secret::new("123456")).unwrap());
        device.refused.push(Refusal {
            key: ItemKey::new("unheard-of", Some(3)),
            digest: 7,
            status: "failed".into(),
            at: Timestamp::from_millis(9),
        });
        device
    }

    #[test]
    fn comes_back_as_it_was() {
        let device = device();
        let bytes = encode(&device).unwrap();
        assert_eq!(decode(&bytes).unwrap(), device);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter2") && !text.contains("123456"));
    }

    #[test]
    fn a_record_under_a_name_that_no_phone_may_bring_stays_readable() {
        let device = Device { id: "00:1a:e8-0a:0b:0c".parse().unwrap(), ..device() };
        assert!(DeviceId::from_phone(&device.id.to_string()).is_err());
        assert_eq!(decode(&encode(&device).unwrap()).unwrap(), device);
    }

    #[test]
    fn serial_numbers_of_older_records_stay_good() {
        // One that was handed out alone, of no series.
        let bytes =
            postcard::to_allocvec(&("6f00112233445566778899aabbccddee", Timestamp::from_millis(9))).unwrap();
        let offered = postcard::from_bytes(&bytes).unwrap();
        let mut device = device();
        device.security.offered.push(offered);
        let mut bytes = encode(&device).unwrap();
        bytes[0] = 1;
        bytes.truncate(bytes.len() - ROUTE.len());
        let read = decode(&bytes).unwrap();
        assert!(read.security.admits("6f00112233445566778899aabbccddee"));
        assert!(
            !read.security.admits("6f00112233445566778899aabbccddef") && read.security.series().is_none()
        );
    }

    #[test]
    fn the_way_comes_back_and_older_records_have_none() {
        let site = Some(SiteId::from_u64(7));
        let device = Device { route: Route { site }, ..device() };
        assert_eq!(decode(&encode(&device).unwrap()).unwrap(), device);
        let device = Device { route: Route::default(), ..device };
        let mut bytes = encode(&device).unwrap();
        bytes[0] = 2;
        bytes.truncate(bytes.len() - ROUTE.len());
        assert_eq!(decode(&bytes).unwrap(), device);
    }

    #[test]
    fn what_is_known_of_certificates_comes_back() {
        let mut device = device();
        let at = Timestamp::from_millis(1_800_000_000_000);
        device.security.offered.push(Offered::series(Series::new(1), at, at));
        device.security = device.security.chosen(SecureMode::EnablingNoPin, at, None);
        device.security.offered.push(Offered::series(Series::new(2), at, at));
        let read = decode(&encode(&device).unwrap()).unwrap();
        assert_eq!(read, device);
        assert_eq!((read.security.series(), read.security.last_offer()), (Some(Series::new(2)), Some(at)));
    }

    #[test]
    fn newer_and_damaged_records_are_refused() {
        let mut bytes = encode(&device()).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
        }
        bytes[0] = VERSION + 1;
        assert_eq!(decode(&bytes), Err(BadRecord::Newer(VERSION + 1)));
    }
}
