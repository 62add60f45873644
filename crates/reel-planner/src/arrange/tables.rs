//! The lines that are spoken for a table's rows, and cells as running text.

use reel_scene::{Reveal, RichText, Span, SpanStyle, Step};

use crate::language::speech::speak_row;

/// Returns one line for each row; a row without words appears with the row before it, or else with the first. The
/// reveals are those of block 0; without any words there are no lines.
pub(crate) fn row_steps(header: &[RichText], rows: &[Vec<RichText>]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut waiting = Vec::new();
    for (part, row) in rows.iter().enumerate() {
        let reveal = Reveal { block: 0, part: Some(part) };
        match (speak_row(header, row), steps.last_mut()) {
            (Some(narration), _) => {
                waiting.push(reveal);
                steps.push(Step::new(narration, std::mem::take(&mut waiting)));
            }
            (None, Some(last)) => last.reveals.push(reveal),
            (None, None) => waiting.push(reveal),
        }
    }
    steps
}

/// Joins several texts into one.
pub(crate) fn join(texts: &[RichText], separator: &str) -> RichText {
    let mut spans: Vec<Span> = Vec::new();
    for text in texts {
        if !spans.is_empty() {
            spans.push(Span { text: separator.to_owned(), style: SpanStyle::Plain });
        }
        spans.extend(text.0.iter().cloned());
    }
    RichText(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_words_appears_with_a_neighbour() {
        let row = |text: &str| vec![RichText::plain(text)];
        let steps = row_steps(&[], &[row("-"), row("one"), row("*"), row("two")]);
        let parts = |step: &Step| step.reveals.iter().filter_map(|reveal| reveal.part).collect::<Vec<_>>();
        assert_eq!(steps.iter().map(parts).collect::<Vec<_>>(), [vec![0, 1, 2], vec![3]]);
        assert!(row_steps(&[], &[row("-")]).is_empty());
    }
}
