//! Text with styles.

use reel_scene::{RichText, Span, SpanStyle};

use super::super::literal::{breakable, list, literal, optional};
use super::super::math::math;
use super::icon::icon_source;

/// Writes a text. Where it has strong words, `marks` are those that are highlighted.
pub(super) fn rich(text: &RichText) -> String {
    match &text.0[..] {
        [] => "[]".to_owned(),
        [span] => span_source(span),
        spans => format!("({})", spans.iter().map(span_source).collect::<Vec<_>>().join(" + ")),
    }
}

fn span_source(span: &Span) -> String {
    let function = match span.style {
        SpanStyle::Math => {
            return match math(span.text.trim()) {
                Some(formula) => format!("${formula}$"),
                None => format!("plain({})", literal(&breakable(&format!("${}$", span.text)))),
            };
        }
        SpanStyle::Plain => "plain",
        SpanStyle::Strong => return format!("strong({}, marks)", literal(&breakable(&span.text))),
        SpanStyle::Emphasis => "emphasis",
        SpanStyle::Code => {
            // Spaces beside code must stay outside its box.
            let trimmed = span.text.trim();
            let blank = |has: bool| if has { "plain(\" \") + " } else { "" };
            let before = blank(span.text.starts_with(' '));
            let after = if span.text.ends_with(' ') { " + plain(\" \")" } else { "" };
            return format!("{before}code-span(t, {}){after}", literal(&breakable(trimmed)));
        }
    };
    format!("{function}({})", literal(&breakable(&span.text)))
}

/// Writes a statement. Each strong span has a colour of its own, the first that of the first icon.
pub(super) fn statement_source(text: &RichText, icons: &[String]) -> String {
    let mut strong = 0;
    let spans = text.0.iter().map(|span| match span.style {
        SpanStyle::Strong => {
            strong += 1;
            format!("coloured(t, {}, {}, marks)", strong - 1, literal(&breakable(&span.text)))
        }
        _ => span_source(span),
    });
    let icons = list(icons.iter().map(|icon| icon_source(icon)));
    let body = spans.collect::<Vec<_>>().join(" + ");
    let body = if body.is_empty() { "[]".to_owned() } else { body };
    format!("statement(t, {body}, {icons}, {})", literal(longest_word(&breakable(&text.to_plain()))))
}

pub(super) fn large_quotation_source(text: &RichText, by: &str) -> String {
    let word = breakable(&text.to_plain());
    format!("large-quotation(t, {}, {}, {})", rich(text), optional(by), literal(longest_word(&word)))
}

/// Returns the longest part of a text that no line can break. A column must be as wide as this part.
pub(super) fn longest_word(text: &str) -> &str {
    let breaks = |c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}' | '-' | '\u{2013}' | '\u{2014}') || is_east_asian(c)
    };
    text.split_inclusive(breaks).max_by_key(|word| word.chars().count()).unwrap_or_default().trim()
}

/// Returns `true` for the scripts whose lines break between any two characters.
fn is_east_asian(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_word_is_the_longest_without_a_break() {
        for (text, word) in [
            ("a metal oxide", "metal"),
            ("well-being of-cells", "being"),
            ("電池はエネルギー Li", "Li"),
            ("", ""),
        ] {
            assert_eq!(longest_word(text), word, "{text}");
        }
    }
}
