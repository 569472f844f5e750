//! What a firmware image says about itself (WPI reference, section 8.6).

use serde::{Deserialize, Serialize};

/// Bytes from the beginning of a file that [`recognise`] looks at.
pub const HEAD_BYTES: usize = 512;
/// Bytes from the end of a file that [`recognise`] looks at.
pub const TAIL_BYTES: usize = 0x128;

/// Where the name of the phone stands.
const NAME_AT: usize = 0x20;
/// Longest text in the header. Real ones are far shorter.
const MAX_TEXT: usize = 64;

/// Facts from the header of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firmware {
    /// The phone's name at the beginning, such as `OpenStage_60`.
    pub product: Box<str>,
    /// The version, such as `V3 R5.12.0`.
    pub version: Box<str>,
    /// The device type at the end, if there is one: what the phone says of itself.
    pub device_type: Option<Box<str>>,
    /// The software type behind it: `Siemens SIP` or `Siemens HFA`.
    pub software_type: Option<Box<str>>,
}

/// Read the header of an image. `head` is the file's beginning, of which [`HEAD_BYTES`] are looked at; `tail` is its end, of which
/// the last [`TAIL_BYTES`] are. Nothing if this is no image.
pub fn recognise(head: &[u8], tail: &[u8]) -> Option<Firmware> {
    let head = head.get(..HEAD_BYTES.min(head.len()))?.get(NAME_AT..)?;
    let (product, rest) = text(head)?;
    let padding = rest.iter().position(|byte| *byte != 0)?;
    let (version, _) = text(rest.get(padding..)?)?;
    if !is_version(version) {
        return None;
    }
    let (device_type, software_type) = trailer(tail).unzip();
    Some(Firmware {
        product: product.into(),
        version: version.into(),
        device_type: device_type.map(Into::into),
        software_type: software_type.flatten().map(Into::into),
    })
}

/// Device type and software type at the end.
fn trailer(tail: &[u8]) -> Option<(&str, Option<&str>)> {
    let from = tail.len().checked_sub(TAIL_BYTES)?;
    let (device_type, rest) = text(tail.get(from..)?)?;
    let software_type = rest.get(2..).and_then(text).map(|(text, _)| text);
    Some((device_type, software_type))
}

/// A text of visible ASCII characters and blanks up to a NUL, and what follows the NUL.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(MAX_TEXT + 1).position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at(end);
    let visible = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    if text.is_empty() || !text.iter().all(visible) {
        return None;
    }
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

/// `V3 R5.12.0`, `V3.1 R2.48.0`: what phones report, too.
fn is_version(text: &str) -> bool {
    let numbers = |text: &str, least: usize, most: usize| {
        let parts: Vec<_> = text.split('.').collect();
        let number =
            |part: &&str| !part.is_empty() && part.len() <= 5 && part.bytes().all(|b| b.is_ascii_digit());
        (least..=most).contains(&parts.len()) && parts.iter().all(number)
    };
    text.strip_prefix('V')
        .and_then(|rest| rest.split_once(" R"))
        .is_some_and(|(major, release)| numbers(major, 1, 2) && numbers(release, 1, 4))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An image as the reference describes it.
    pub(crate) fn image(
        product: &str,
        version: &str,
        device_type: &str,
        software_type: &str,
        body: usize,
    ) -> Vec<u8> {
        let mut bytes = vec![0x7f; NAME_AT];
        bytes.extend_from_slice(product.as_bytes());
        bytes.extend_from_slice(&[0; 9]);
        bytes.extend_from_slice(version.as_bytes());
        bytes.push(0);
        bytes.extend(std::iter::repeat_n(0xa5, body));
        let mut tail = device_type.as_bytes().to_vec();
        tail.extend_from_slice(&[0, 1, 2]);
        tail.extend_from_slice(software_type.as_bytes());
        tail.resize(TAIL_BYTES, 0);
        bytes.extend_from_slice(&tail);
        bytes
    }

    #[test]
    fn an_image_is_recognised() {
        let bytes = image("OpenStage_60", "V3 R5.12.0", "OpenStage 60", "Siemens SIP", 5_000);
        let firmware = recognise(&bytes, &bytes).unwrap();
        assert_eq!((&*firmware.product, &*firmware.version), ("OpenStage_60", "V3 R5.12.0"));
        assert_eq!(firmware.device_type.as_deref(), Some("OpenStage 60"));
        assert_eq!(firmware.software_type.as_deref(), Some("Siemens SIP"));
        let headless = recognise(&bytes, b"").unwrap();
        assert_eq!((headless.device_type, headless.software_type), (None, None));
    }

    #[test]
    fn versions_are_told_from_other_texts() {
        for good in ["V3 R5.12.0", "V3.1 R2.48.0", "V1 R0", "V1 R1.2.3.4"] {
            assert!(is_version(good), "{good}");
        }
        for bad in
            ["", "V", "V3", "V3R5", "3 R5", "V3 R", "V3 R5.", "V3 R5.12.0x", "V3 R1.2.3.4.5", "V3 R123456"]
        {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_image_is_none() {
        let bytes = image("OpenStage_60", "5.12", "OpenStage 60", "Siemens SIP", 10);
        assert_eq!(recognise(&bytes, &bytes), None);
        assert_eq!(recognise(b"RIFF....WAVE", b""), None);
        assert_eq!(recognise(b"", b""), None);
        assert_eq!(recognise(&[0; HEAD_BYTES], &[0; TAIL_BYTES]), None);
    }

    proptest! {
        #[test]
        fn anything_can_be_looked_at(
            head in prop::collection::vec(any::<u8>(), 0..700),
            tail in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            recognise(&head, &tail);
        }

        #[test]
        fn what_is_written_is_recognised(
            product in "[!-~][ -~]{0,40}",
            device_type in "[!-~][ -~]{0,40}",
            release in (0_u32..100, 0_u32..100, 0_u32..1_000),
            body in 0_usize..2_000,
        ) {
            let version = format!("V{} R{}.{}", release.0, release.1, release.2);
            let bytes = image(&product, &version, &device_type, "Siemens HFA", body);
            let firmware = recognise(&bytes[..bytes.len().min(HEAD_BYTES)], &bytes[bytes.len() - TAIL_BYTES..]).unwrap();
            prop_assert_eq!(&*firmware.product, &product);
            prop_assert_eq!(&*firmware.version, &version);
            prop_assert_eq!(firmware.device_type.as_deref(), Some(device_type.as_str()));
        }
    }
}
