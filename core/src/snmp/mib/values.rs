//! The numbers of enumerations, and how moments and texts are written.

use crate::device::{DeviceState, SecureMode};
use crate::event::Severity;
use crate::job::JobState;
use crate::sip::binding::{Liveness, Transport};
use crate::site::Presence;
use crate::time::Timestamp;

/// What stands for a moment that there is not.
pub const NEVER: [u8; 8] = [0; 8];

/// A moment as `DateAndTime` (RFC 2579, section 2), in UTC, with tenths of a second.
pub fn date_and_time(at: Timestamp) -> [u8; 11] {
    let at = at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let [high, low] = at.year().to_be_bytes();
    // Each of them has one or two digits, and none is negative.
    let [month, day, hour, minute, second] =
        [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(i8::cast_unsigned);
    let tenths = u8::try_from(at.millisecond() / 100).unwrap_or_default();
    [high, low, month, day, hour, minute, second, tenths, b'+', 0, 0]
}

/// The longest beginning of `text` that has at most `most` bytes and ends with a whole character.
pub fn text(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// `callboardEventSeverity`.
pub const fn severity(severity: Severity) -> i32 {
    match severity {
        Severity::Info => 1,
        Severity::Warning => 2,
        Severity::Error => 3,
    }
}

/// `callboardEndpointState`.
pub const fn device_state(state: DeviceState) -> i32 {
    match state {
        DeviceState::New => 1,
        DeviceState::Registered => 2,
    }
}

/// `callboardEndpointSecureMode`.
pub const fn secure_mode(mode: SecureMode) -> i32 {
    match mode {
        SecureMode::Off => 1,
        SecureMode::EnablingNoPin => 2,
        SecureMode::EnablingDefaultPin => 3,
        SecureMode::EnablingIndividualPin => 4,
        SecureMode::Secure => 5,
        SecureMode::Disabling => 6,
    }
}

/// `callboardJobState`.
pub const fn job_state(state: JobState) -> i32 {
    match state {
        JobState::Created => 1,
        JobState::NotActive => 2,
        JobState::Running => 3,
        JobState::Successful => 4,
        JobState::Failed => 5,
        JobState::Timeout => 6,
        JobState::Cancelled => 7,
    }
}

/// `callboardEndpointRegistration`; nothing stands for no registration.
pub const fn registration(liveness: Option<Liveness>) -> i32 {
    match liveness {
        None => 1,
        Some(Liveness::Registered) => 2,
        Some(Liveness::Reachable) => 3,
        Some(Liveness::Lost) => 4,
    }
}

/// `callboardEndpointTransport`; nothing stands for no registration.
pub const fn transport(transport: Option<Transport>) -> i32 {
    match transport {
        None => 1,
        Some(Transport::Udp) => 2,
        Some(Transport::Tcp) => 3,
        Some(Transport::Tls) => 4,
    }
}

/// `callboardSiteState`: whether an edge has its certificate, and is connected.
pub const fn site_state(has_certificate: bool, presence: Option<Presence>) -> i32 {
    match (has_certificate, presence) {
        (false, _) => 1,
        (true, Some(Presence::Connected(_))) => 2,
        (true, _) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_utc_with_tenths() {
        let at = Timestamp::from_millis(1_767_323_045_678);
        assert_eq!(date_and_time(at), [0x07, 0xea, 1, 2, 3, 4, 5, 6, b'+', 0, 0]);
        assert_eq!(date_and_time(Timestamp::default()), [0x07, 0xb2, 1, 1, 0, 0, 0, 0, b'+', 0, 0]);
        // Clocks go wrong.
        assert_eq!(date_and_time(Timestamp::from_millis(u64::MAX))[..4], [0x27, 0x0f, 12, 30]);
    }

    #[test]
    fn texts_are_cut_between_two_characters() {
        assert_eq!(text("Tür", 10), "Tür");
        assert_eq!((text("Tür", 3), text("Tür", 2), text("Tür", 0)), ("Tü", "T", ""));
        assert_eq!(text("\u{1f4de}x", 3), "");
    }
}
