//! Run-in headings: bold words that begin a paragraph and name it, "**Rent.** The landlord may raise it once a year."
//!
//! They are found after the document was read, because one alone may be a stressed word. Bold words that are a whole paragraph are a
//! heading by themselves. What stands under a run-in heading is its own paragraph, and what that leads in.

use reel_scene::{RichText, Span, SpanStyle};

use crate::language::sentences;
use crate::language::speech::is_speakable;
use crate::language::width::columns;
use crate::language::words::{capitalize, word_count};
use crate::read::document::{Document, Element, MAX_HEADING_COLUMNS, Section, normalize_spaces};

/// Words of a run-in heading.
const MAX_WORDS: usize = 9;
/// Words of bold text that is a paragraph.
const MAX_LONE_WORDS: usize = 9;
/// Words of a bold question.
const MAX_QUESTION_WORDS: usize = 12;
const MAX_COLUMNS: usize = 60;
/// Run-in headings that a document has at least, if it has any.
const MIN_COUNT: usize = 2;
/// Names of notes, which are headings even alone.
const CALLOUTS: [&str; 12] = [
    "tip",
    "note",
    "warning",
    "important",
    "caution",
    "hint",
    "remember",
    "example",
    "danger",
    "info",
    "attention",
    "hinweis",
];

/// Names of what speaks for something, and against it.
const SIDES: [&str; 12] = [
    "pros",
    "cons",
    "pro",
    "con",
    "advantages",
    "disadvantages",
    "benefits",
    "drawbacks",
    "strengths",
    "weaknesses",
    "upsides",
    "downsides",
];

/// A paragraph with its run-in heading taken off; no rest where the heading is all.
struct RunIn {
    name: String,
    rest: RichText,
}

/// Makes sections of the paragraphs that a run-in heading begins.
pub(super) fn divide(mut document: Document) -> Document {
    let paragraphs = || document.sections.iter().flat_map(Section::elements).filter_map(paragraph);
    let found: Vec<RunIn> = paragraphs().filter_map(run_in).collect();
    let are_some = found.len() >= MIN_COUNT;
    let stands_alone = |run_in: &RunIn| run_in.rest.0.is_empty() || is_callout_name(&run_in.name);
    if !are_some && !found.iter().any(stands_alone) {
        return document;
    }
    let mut sections: Vec<Section> = vec![];
    for section in std::mem::take(&mut document.sections) {
        let (heading, level) = (section.heading.clone(), section.level);
        let again = || Section::new(heading.clone(), level);
        // Set while elements belong to the last run-in heading.
        let mut is_open = true;
        sections.push(again());
        for element in section.into_elements() {
            let run_in = paragraph(&element).and_then(run_in).filter(|found| are_some || stands_alone(found));
            if let Some(side) = run_in.as_ref().and_then(side) {
                side.into_iter().for_each(|element| {
                    if let Some(section) = sections.last_mut() {
                        section.push(element);
                    }
                });
                continue;
            }
            if let Some(RunIn { name, rest }) = run_in {
                let parent = sections.pop_if(|last| last.elements().is_empty()).and_then(|last| last.heading);
                let is_lone = rest.0.is_empty();
                is_open = is_lone || leads_in(&rest);
                let mut next = Section::new(Some(below(parent, &name)), level);
                if !is_lone {
                    next.push(Element::Paragraph(rest));
                    next.opening_words = Some(name);
                }
                sections.push(next);
                document.headed = true;
                continue;
            }
            if !is_open && matches!(element, Element::Paragraph(_)) {
                sections.push(again());
                is_open = true;
            }
            if let Some(section) = sections.last_mut() {
                section.push(element);
            }
        }
    }
    sections.retain(|section| section.heading.is_some() || !section.elements().is_empty());
    document.sections = sections;
    document
}

/// A heading with nothing between it and the run-in heading speaks for both.
fn below(parent: Option<String>, name: &str) -> String {
    let joined = parent.map(|parent| format!("{parent}: {name}"));
    joined.filter(|joined| columns(joined) <= MAX_HEADING_COLUMNS).unwrap_or_else(|| name.to_owned())
}

fn paragraph(element: &Element) -> Option<&RichText> {
    match element {
        Element::Paragraph(text) => Some(text),
        _ => None,
    }
}

fn leads_in(text: &RichText) -> bool {
    text.to_plain().trim_end().ends_with([':', '：'])
}

fn is_callout_name(name: &str) -> bool {
    CALLOUTS.contains(&name.to_lowercase().as_str())
}

/// Returns `true` for a text in quotation marks of Markdown that is a note to the reader: "> **Tip:** wait an hour".
pub(super) fn is_callout(text: &RichText) -> bool {
    run_in(text).is_some_and(|run_in| is_callout_name(&run_in.name))
}

/// Makes bold words of the mark of GitHub's notes: "[!NOTE] Wait." is "**Note:** Wait."
pub(super) fn read_mark(mut text: RichText) -> RichText {
    let Some(first) = text.0.first_mut() else { return text };
    let marked = first.text.strip_prefix("[!").and_then(|rest| rest.split_once(']'));
    let Some((name, rest)) = marked.filter(|(name, _)| is_callout_name(name)) else { return text };
    let name = capitalize(&name.to_lowercase());
    let rest = Span { text: rest.trim_start().to_owned(), style: first.style };
    *first = Span { text: format!("{name}:"), style: SpanStyle::Strong };
    text.0.insert(1, Span { text: format!(" {}", rest.text), style: rest.style });
    text
}

/// Takes the run-in heading off a paragraph.
fn run_in(text: &RichText) -> Option<RunIn> {
    let (first, rest) = text.0.split_first()?;
    if first.style != SpanStyle::Strong {
        return label(text);
    }
    let bold = first.text.trim();
    let rest_text = rest.iter().map(|span| span.text.as_str()).collect::<String>();
    let is_alone = !is_speakable(&rest_text);
    let name = bold.trim_end_matches([':', '：', '.', '—', '–', ' ']);
    // "**Can I run several?** Yes. …"
    let is_question = name.ends_with(['?', '？']) && name.matches(['?', '？']).count() == 1;
    let max_words = match (is_question, is_alone) {
        (true, _) => MAX_QUESTION_WORDS,
        (false, true) => MAX_LONE_WORDS,
        (false, false) => MAX_WORDS,
    };
    let fits = is_speakable(name)
        && (1..=max_words).contains(&word_count(name))
        && columns(name) <= MAX_COLUMNS
        && !name.contains(['.', '!', ';'])
        && (is_question || !name.contains('?'))
        && name.starts_with(|c: char| !c.is_lowercase());
    if !fits {
        return None;
    }
    if is_alone {
        // "**Stop.**" is a sentence.
        let is_sentence = bold.ends_with(['.', '!', '。']);
        return (!is_sentence).then(|| RunIn { name: name.to_owned(), rest: RichText::default() });
    }
    let begins = rest_text.trim_start();
    let marks = [':', '：', '—', '–'];
    let is_marked = is_question
        || bold.ends_with([':', '：', '.'])
        || begins.starts_with(marks)
        || begins.starts_with("- ");
    if !is_marked {
        return None;
    }
    let mut spans: Vec<Span> = rest.to_vec();
    if let Some(span) = spans.first_mut() {
        span.text =
            span.text.trim_start().trim_start_matches(marks).trim_start_matches("- ").trim_start().to_owned();
    }
    let rest = capitalized(normalize_spaces(spans));
    is_speakable(&rest.to_plain()).then(|| RunIn { name: name.to_owned(), rest })
}

/// Takes a label off a paragraph of several sentences: "Methods: We asked 412 students. …"
fn label(text: &RichText) -> Option<RunIn> {
    const MAX_LABEL_WORDS: usize = 3;
    let first = text.0.first().filter(|span| span.style == SpanStyle::Plain)?;
    let (name, _) = first.text.split_once(": ")?;
    let fits = (1..=MAX_LABEL_WORDS).contains(&word_count(name))
        && columns(name) <= MAX_COLUMNS
        && name.starts_with(char::is_uppercase)
        && name.chars().all(|c| c.is_alphabetic() || c == ' ' || c == '-');
    let plain = text.to_plain();
    let rest = sentences::slices(text, std::slice::from_ref(&(name.len() + 2..plain.len()))).pop()?;
    (fits && sentences::split(&rest).len() > 1)
        .then(|| RunIn { name: name.to_owned(), rest: capitalized(rest) })
}

/// Capitalizes the first word: it stood behind a colon, and begins a paragraph now.
fn capitalized(mut text: RichText) -> RichText {
    if let Some(span) = text.0.first_mut().filter(|span| span.style == SpanStyle::Plain) {
        span.text = capitalize(&span.text);
    }
    text
}

/// Divides a paragraph whose lines each begin with a run-in heading.
pub(super) fn lines(inline: Vec<Span>) -> Vec<Vec<Span>> {
    let is_bold = |span: &Span| span.style == SpanStyle::Strong && is_speakable(&span.text);
    let begins = |at: usize| at > 0 && is_bold(&inline[at]) && inline[at - 1].text.ends_with('\n');
    let mut starts: Vec<usize> = (0..inline.len()).filter(|at| begins(*at)).collect();
    if starts.is_empty() || !inline.first().is_some_and(is_bold) {
        return vec![inline];
    }
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([inline.len()]);
    let lines: Vec<Vec<Span>> =
        starts.iter().zip(ends).map(|(start, end)| inline[*start..end].to_vec()).collect();
    let are_run_ins = lines.iter().all(|line| run_in(&normalize_spaces(line.clone())).is_some());
    if are_run_ins { lines } else { vec![inline] }
}

/// Returns `true` for the lead of one of two sides, "Cons:".
pub(super) fn is_side(element: &Element) -> bool {
    let lead = paragraph(element).map(RichText::to_plain);
    lead.is_some_and(|lead| {
        lead.strip_suffix(':').is_some_and(|name| SIDES.contains(&name.to_lowercase().as_str()))
    })
}

/// Makes a list of what one side of two counts up: "**Pros:** cheap, quiet, clean."
fn side(run_in: &RunIn) -> Option<Vec<Element>> {
    /// Words of a point.
    const MAX_POINT_WORDS: usize = 10;
    if !SIDES.contains(&run_in.name.to_lowercase().as_str()) {
        return None;
    }
    let text = run_in.rest.to_plain();
    let text = text.trim_end_matches(['.', '!', ' ']);
    let mark = if text.contains("; ") { "; " } else { ", " };
    let points: Vec<&str> =
        text.split(mark).map(|point| point.strip_prefix("and ").unwrap_or(point)).collect();
    let fit = (2..=4).contains(&points.len())
        && points.iter().all(|point| (1..=MAX_POINT_WORDS).contains(&word_count(point)));
    let item = |point: &str| Element::Item { number: None, text: RichText::plain(capitalize(point)) };
    let lead = Element::Paragraph(RichText::plain(format!("{}:", run_in.name)));
    fit.then(|| std::iter::once(lead).chain(points.into_iter().map(item)).collect())
}

#[cfg(test)]
mod tests {
    use crate::read::markdown::{read, sections};

    #[test]
    fn bold_words_that_name_a_paragraph_are_its_heading() {
        let script = "# Contract\n\nIt has parts.\n\n**Rent.** It may rise.\n\n**Deposit**: three months.\n\nWhat to do:\n\n- Read";
        let found = sections(script);
        let found: Vec<(&str, usize)> =
            found.iter().map(|(heading, count)| (heading.as_str(), *count)).collect();
        assert_eq!(found, [("", 1), ("Rent", 1), ("Deposit", 1), ("", 2)]);
        let section = &read(script).sections[1];
        assert_eq!(section.opening_words.as_deref(), Some("Rent"));
    }

    #[test]
    fn a_bold_line_is_a_heading_and_a_bold_sentence_is_none() {
        let found = sections("# T\n\n**Day 1**\n\nMix it. Wait.\n\n**Never do this!**\n\nIt burns.");
        let found: Vec<(&str, usize)> =
            found.iter().map(|(heading, count)| (heading.as_str(), *count)).collect();
        assert_eq!(found, [("Day 1", 3)]);
        assert_eq!(sections("# T\n\n**One** word is bold.\n\n**Two** are.").len(), 2);
        assert_eq!(sections("# T\n\n**Rent.** It may rise.\n\nNothing else.").len(), 2);
    }

    #[test]
    fn labels_of_paragraphs_are_headings_too() {
        let found = sections(
            "Sleep\n\nMethods: We asked 412 students. They slept.\n\nResults: They recalled more. So it is.",
        );
        let found: Vec<(&str, usize)> =
            found.iter().map(|(heading, count)| (heading.as_str(), *count)).collect();
        assert_eq!(found, [("Methods", 1), ("Results", 1)]);
        assert_eq!(sections("Sleep\n\nMethods: one sentence.\n\nResults: another one.")[0].0, "");
    }

    #[test]
    fn a_label_of_one_endless_word_is_no_heading() {
        let label = "A".repeat(400);
        let script = format!("# T\n\n{label}: One. Two.\n\n{label}: Three. Four.");
        assert!(sections(&script).iter().all(|(heading, _)| heading.is_empty()));
    }

    #[test]
    fn two_sides_are_two_lists_below_each_other() {
        let found = sections(
            "# T\n\nIt is new.\n\n**Pros:** cheap, quiet, clean.\n**Cons:** slow, and dear at first.",
        );
        let found: Vec<(&str, usize)> =
            found.iter().map(|(heading, count)| (heading.as_str(), *count)).collect();
        assert_eq!(found.iter().map(|(_, count)| count).sum::<usize>(), 8, "{found:?}");
    }

    #[test]
    fn notes_to_the_reader_are_no_quotations() {
        for script in
            ["# T\n\nBake it.\n\n> **Tip:** wait an hour.", "# T\n\nBake it.\n\n> [!TIP]\n> Wait an hour."]
        {
            let section = read(script).sections.pop().unwrap();
            assert_eq!(section.heading.as_deref(), Some("Tip"), "{script}");
            assert!(
                matches!(&section.elements()[0], super::Element::Paragraph(text) if text.to_plain() == "Wait an hour.")
            );
        }
        assert_eq!(sections("# T\n\nBake it.\n\n> Wait an hour."), [(String::new(), 2)]);
    }

    #[test]
    fn a_list_below_a_run_in_heading_stands_under_it() {
        let found = sections("## Build\n\n**You need:**\n\n- a saw\n- glue\n\n**Steps:**\n\n1. Cut\n2. Glue");
        let found: Vec<(&str, usize)> =
            found.iter().map(|(heading, count)| (heading.as_str(), *count)).collect();
        assert_eq!(found, [("Build: You need", 2), ("Steps", 2)]);
    }
}
