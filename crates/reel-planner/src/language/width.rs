//! Measures the width of text, in columns of a monospaced font.

/// Returns the width of a text in columns: East Asian characters and emoji are as wide as two letters.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(column_width).sum()
}

/// Returns the columns that one character takes.
pub(crate) fn column_width(c: char) -> usize {
    if is_wide(c) { 2 } else { 1 }
}

/// Returns `true` for an emoji, or another sign that is a small picture.
pub(crate) fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Returns `true` for a character set in a full East Asian square (Unicode TR 11, widths W and F, by block).
pub(crate) fn is_wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD)
}
