//! Texts of peers, made harmless for those who read them.

use std::fmt::Write as _;

/// Characters of an event's text; what is longer is cut.
const MOST: usize = 512;

/// `text` with what could deceive a reader, or a program that reads lines, written as `\u{202e}`; cut after 512
/// characters.
pub(super) fn harmless(text: String) -> String {
    if text.len() <= MOST && !text.chars().any(deceives) {
        return text;
    }
    let mut out = String::with_capacity(text.len().min(MOST) + 16);
    for (at, c) in text.chars().enumerate() {
        if at == MOST {
            out.push('…');
            break;
        }
        if deceives(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character moves the cursor, ends a line, turns the direction of writing or is not seen: C0, C1 and DEL,
/// line and paragraph separators, the bidirectional controls, marks without width, and what is no character.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}'
        )
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_spelt_out() {
        let text = "a\r\nb\u{1b}[2Jc\u{85}d\u{202e}e\u{2028}f\u{200b}g\u{feff}h\u{ffff}i\u{7f}".to_owned();
        let wanted = r"a\u{d}\u{a}b\u{1b}[2Jc\u{85}d\u{202e}e\u{2028}f\u{200b}g\u{feff}h\u{ffff}i\u{7f}";
        assert_eq!(harmless(text), wanted);
        assert_eq!(harmless("Tür 4, 電話 ✓".to_owned()), "Tür 4, 電話 ✓");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(harmless("ä".repeat(512)), "ä".repeat(512));
        assert_eq!(harmless("ä".repeat(513)), format!("{}…", "ä".repeat(512)));
    }
}
