//! Lists and headings that are not written as Markdown: items that begin with an emoji or a bullet, the names of a report's
//! parts above their text, and values divided by bars.
//!
//! The source is rewritten before it is parsed, so that nothing behind this knows of them.

use crate::language::width::{columns, is_emoji};
use crate::language::words::word_count;

/// Characters that begin an item and say nothing themselves.
const BULLETS: &str = "•◦‣▪▫●○■□▸►➤➔➜→⇒✓✔✗✘✦★☆";
/// Lines with a mark that a list has at least.
const MIN_ITEMS: usize = 2;
/// Parts of a report, a paper or a memo. Other lines may be anything.
const PARTS: [&str; 26] = [
    "abstract",
    "summary",
    "introduction",
    "background",
    "motivation",
    "objective",
    "objectives",
    "aim",
    "aims",
    "method",
    "methods",
    "materials and methods",
    "procedure",
    "data",
    "results",
    "findings",
    "analysis",
    "discussion",
    "limitations",
    "outlook",
    "next steps",
    "conclusion",
    "conclusions",
    "recommendations",
    "ingredients",
    "instructions",
];
/// Values that a line divided by bars has at least, and words of each at most.
const MIN_VALUES: usize = 3;
const MAX_VALUE_WORDS: usize = 8;

/// Writes such lines as Markdown. Code stays as it is.
pub(super) fn as_markdown(source: &str) -> String {
    let mut written: Vec<String> = vec![];
    let mut paragraph: Vec<&str> = vec![];
    let mut fence = None;
    for line in source.lines() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        let is_code = fence.is_some() || line.starts_with("    ") || line.starts_with('\t');
        if mark.is_some() && (fence.is_none() || fence == mark) {
            fence = if fence.is_none() { mark } else { None };
        }
        if mark.is_some() || is_code || line.trim().is_empty() {
            written.extend(rewrite(&std::mem::take(&mut paragraph)));
            written.push(line.to_owned());
        } else {
            paragraph.push(line);
        }
    }
    written.extend(rewrite(&paragraph));
    written.join("\n")
}

fn rewrite(paragraph: &[&str]) -> Vec<String> {
    let as_they_are = || paragraph.iter().map(|line| (*line).to_owned()).collect();
    match paragraph {
        [line] => values(line).unwrap_or_else(as_they_are),
        [name, next, ..] if is_part(name, next) => {
            let heading = format!("## {}", name.trim().trim_end_matches(':'));
            let rest = paragraph[1..].iter().map(|line| (*line).to_owned());
            [heading, String::new()].into_iter().chain(rest).collect()
        }
        lines => items(lines).unwrap_or_else(as_they_are),
    }
}

/// The name of a part stands alone above a text that fills its lines.
fn is_part(name: &str, next: &str) -> bool {
    const MIN_TEXT_COLUMNS: usize = 40;
    let bare = name.trim().trim_end_matches(':');
    PARTS.contains(&bare.to_lowercase().as_str())
        && bare.starts_with(char::is_uppercase)
        && columns(next.trim()) >= MIN_TEXT_COLUMNS
}

/// "Effective: 1 January | Owner: People team | Version: 3.1"
fn values(line: &str) -> Option<Vec<String>> {
    let values: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let fit = values.len() >= MIN_VALUES
        && !line.contains('`')
        && !line.trim().starts_with(['|', '-', '*', '+', '#', '>'])
        && values.iter().all(|value| (1..=MAX_VALUE_WORDS).contains(&word_count(value)));
    // Bold labels begin with the mark of an item.
    let fit = fit || line.starts_with("**") && values.len() >= MIN_VALUES && !line.contains('`');
    fit.then(|| values.into_iter().map(|value| format!("- {value}")).collect())
}

/// Lines that each begin with an emoji or a bullet. A mark that all have is only a bullet.
fn items(lines: &[&str]) -> Option<Vec<String>> {
    let marked: Vec<Option<(&str, &str)>> = lines.iter().map(|line| mark_of(line.trim_start())).collect();
    let first = marked.iter().position(Option::is_some)?;
    let marks: Vec<&str> = marked.iter().flatten().map(|(mark, _)| *mark).collect();
    if marks.len() < MIN_ITEMS {
        return None;
    }
    let is_bullet = marks.iter().all(|mark| *mark == marks[0] || BULLETS.contains(mark));
    let mut written = vec![];
    for (at, (line, mark)) in lines.iter().zip(&marked).enumerate() {
        match mark {
            Some((mark, text)) => {
                if at == first && at > 0 {
                    written.push(String::new());
                }
                let item = match number_of(mark) {
                    Some(number) => format!("{number}. {text}"),
                    None if is_bullet => format!("- {text}"),
                    None => format!("- {mark} {text}"),
                };
                written.push(item);
            }
            None => written.push((*line).to_owned()),
        }
    }
    Some(written)
}

/// Divides a line into its mark and its text.
fn mark_of(line: &str) -> Option<(&str, &str)> {
    let end = line.find(char::is_whitespace)?;
    let (mark, text) = (&line[..end], line[end..].trim_start());
    let is_mark = number_of(mark).is_some()
        || mark.chars().all(|c| is_emoji(c) || is_joint(c) || BULLETS.contains(c))
            && !mark.starts_with(is_joint);
    (is_mark && !text.is_empty()).then_some((mark, text))
}

/// "1️⃣" is a digit in a frame.
fn number_of(mark: &str) -> Option<char> {
    let digit = mark.chars().next().filter(char::is_ascii_digit)?;
    mark[1..].contains('\u{20e3}').then_some(digit)
}

/// Variation selectors, the joiner, and skin tones that follow an emoji.
fn is_joint(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_behind_an_emoji_or_a_bullet_are_items() {
        for (source, expected) in [
            ("I learned:\n👉 Ship it.\n👉 Sell it.", "I learned:\n\n- Ship it.\n- Sell it."),
            ("• One\n• Two\n• Three", "- One\n- Two\n- Three"),
            ("✅ Fast\n❌ Cheap", "- ✅ Fast\n- ❌ Cheap"),
            ("1️⃣ Mix\n2️⃣ Bake", "1. Mix\n2. Bake"),
            ("❤️ Love\n👨🏽‍🚀 Work", "- ❤️ Love\n- 👨🏽‍🚀 Work"),
            ("🚀 Launch day is here.", "🚀 Launch day is here."),
            ("🎉🎉🎉", "🎉🎉🎉"),
            ("```\n→ a\n→ b\n```", "```\n→ a\n→ b\n```"),
            ("    → a\n    → b", "    → a\n    → b"),
            ("~~~\n```\n• a\n• b\n~~~\n\n• c\n• d", "~~~\n```\n• a\n• b\n~~~\n\n- c\n- d"),
        ] {
            assert_eq!(as_markdown(source), expected);
        }
    }

    #[test]
    fn names_of_parts_above_their_text_are_headings() {
        let text = "Half a litre of distilled water was heated in a beaker.";
        for (source, expected) in [
            (format!("Method\n{text}"), format!("## Method\n\n{text}")),
            (format!("Results:\n{text}"), format!("## Results\n\n{text}")),
            (format!("Heated\n{text}"), format!("Heated\n{text}")),
            ("Method\nshort".to_owned(), "Method\nshort".to_owned()),
            ("Method".to_owned(), "Method".to_owned()),
        ] {
            assert_eq!(as_markdown(&source), expected);
        }
    }

    #[test]
    fn values_divided_by_bars_are_items() {
        for (source, expected) in [
            ("Owner: People | Since: May | Version: 3", "- Owner: People\n- Since: May\n- Version: 3"),
            (
                "**Effective:** 1 May | **Owner:** People | **Version:** 3",
                "- **Effective:** 1 May\n- **Owner:** People\n- **Version:** 3",
            ),
            ("a | b", "a | b"),
            ("| a | b | c |", "| a | b | c |"),
            ("a | b | c\n--- | --- | ---\n1 | 2 | 3", "a | b | c\n--- | --- | ---\n1 | 2 | 3"),
            ("Run `a | b | c | d`", "Run `a | b | c | d`"),
        ] {
            assert_eq!(as_markdown(source), expected);
        }
    }
}
