//! Text with styles.

use reel_scene::{RichText, Span, SpanStyle};

use super::super::literal::{breakable, literal};

pub(super) fn rich(text: &RichText) -> String {
    match &text.0[..] {
        [] => "[]".to_owned(),
        [span] => span_source(span),
        spans => format!("({})", spans.iter().map(span_source).collect::<Vec<_>>().join(" + ")),
    }
}

fn span_source(span: &Span) -> String {
    let function = match span.style {
        SpanStyle::Plain => "plain",
        SpanStyle::Strong => "strong",
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
