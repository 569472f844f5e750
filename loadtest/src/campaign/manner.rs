//! What a phone makes of its task: decided by its number.

use crate::phone::identity::mix;

/// Keeps manners apart from the other things that follow from a phone's number.
const SALT: u64 = 0x006D_616E_6E65_7200;

/// What a phone does when it is told its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Does it.
    Does,
    /// Says that it does not.
    Refuses,
    /// Boots with the firmware that it had; does not take an item that is written.
    StaysOld,
    /// Is never heard of again.
    Disappears,
    /// Never comes.
    Silent,
    /// Is in a call the first time.
    Busy,
}

impl Manner {
    /// The manner of a phone: one of five odd ones in 18 of 100 phones.
    pub(crate) fn of(seed: u64, number: u32) -> Self {
        match mix(mix(seed ^ SALT) ^ u64::from(number)) % 100 {
            0..4 => Self::Refuses,
            4..8 => Self::StaysOld,
            8..11 => Self::Disappears,
            11..14 => Self::Silent,
            14..18 => Self::Busy,
            _ => Self::Does,
        }
    }

    /// Whether its task ends by something that the phone says.
    pub(crate) fn ends(self) -> bool {
        !matches!(self, Self::Disappears | Self::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_phones_of_a_hundred_are_odd() {
        let count = |wanted| (0..10_000).filter(|number| Manner::of(1, *number) == wanted).count();
        for odd in [Manner::Refuses, Manner::StaysOld, Manner::Disappears, Manner::Silent, Manner::Busy] {
            assert!((200..500).contains(&count(odd)), "{odd:?}: {}", count(odd));
        }
        assert!(count(Manner::Does) > 8_000);
    }
}
