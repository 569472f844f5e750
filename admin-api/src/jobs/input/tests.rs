//! Reading what administrators send.

use super::*;

#[test]
fn times_of_the_day() {
    for (text, expected) in
        [("00:00", Some(0)), ("08:30", Some(510)), ("24:00", Some(1_440)), ("24:01", None), ("8:00", None)]
    {
        assert_eq!(minute(text), expected, "{text}");
    }
    for bad in ["", "08", "08:60", "08:0x", "-1:00", "99:99"] {
        assert_eq!(minute(bad), None, "{bad}");
    }
}
