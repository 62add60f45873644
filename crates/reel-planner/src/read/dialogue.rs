//! Dialogues: scripts whose paragraphs begin with who speaks, "Anna: Why is the sky blue?"
//!
//! A question becomes the heading of its answer, and is spoken by who asks. Each speaker has a number, in the order in which they
//! first speak; the voices are chosen by it. Questions and answers that are marked "Q:" and "A:" have one voice.

use reel_scene::{RichText, SpanStyle};

use crate::language::sentences;
use crate::language::speech::speak;
use crate::language::width::columns;
use crate::language::words::{capitalize, word_count};
use crate::read::document::{Document, Element, MAX_HEADING_COLUMNS, Section, normalize_spaces};

/// Speakers of a dialogue.
const SPEAKERS: std::ops::RangeInclusive<usize> = 2..=4;
/// Turns of a dialogue, and of each of the two who speak most.
const MIN_TURNS: usize = 4;
const MIN_TURNS_EACH: usize = 2;
/// Share of a script's lines that begin a turn, in percent.
const MIN_SHARE: usize = 50;
/// Words, and characters, of a speaker's name.
const MAX_NAME_WORDS: usize = 4;
const MAX_NAME_CHARS: usize = 40;
/// Sentences of a turn that asks: those before the question stand by themselves.
const MAX_ASKING: usize = 4;
/// Words before a colon that name no speaker.
const LABELS: [&str; 34] = [
    "note",
    "tip",
    "warning",
    "example",
    "pros",
    "cons",
    "pro",
    "con",
    "advantages",
    "disadvantages",
    "step",
    "date",
    "time",
    "place",
    "location",
    "summary",
    "attendees",
    "decision",
    "action",
    "actions",
    "todo",
    "done",
    "problem",
    "solution",
    "cause",
    "effect",
    "goal",
    "input",
    "output",
    "before",
    "after",
    "term",
    "definition",
    "title",
];
/// Marks of questions and answers that one voice speaks.
const MARKS: [&str; 8] = ["q", "a", "question", "answer", "f", "frage", "antwort", "faq"];

/// A dialogue that was found in a script.
pub(super) struct Dialogue {
    /// Names in the order in which they first speak.
    names: Vec<String>,
}

impl Dialogue {
    /// Returns the dialogue of a script, and the script with a paragraph for each turn.
    pub fn find(source: &str) -> Option<(Self, String)> {
        let mut names: Vec<(String, usize)> = vec![];
        let (mut turns, mut lines, mut changes, mut last) = (0, 0, 0, None);
        let mut separated = String::with_capacity(source.len() + 64);
        let mut in_code = false;
        for line in source.lines() {
            let text = line.trim();
            in_code ^= text.starts_with("```") || text.starts_with("~~~");
            let found = turn(text).filter(|_| !in_code && !line.starts_with("    "));
            if let Some((name, _)) = found {
                turns += 1;
                let at = names.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    names.push((name.to_owned(), 0));
                    names.len() - 1
                });
                names[at].1 += 1;
                changes += usize::from(last.is_some_and(|last| last != at));
                last = Some(at);
                separated.push('\n');
            }
            lines += usize::from(!text.is_empty() && !text.starts_with(['#', '-', '=']));
            separated.push_str(line);
            separated.push('\n');
        }
        let mut counts: Vec<usize> = names.iter().map(|(_, count)| *count).collect();
        counts.sort_unstable();
        let is_dialogue = SPEAKERS.contains(&names.len())
            && turns >= MIN_TURNS
            && counts[counts.len() - 2] >= MIN_TURNS_EACH
            && changes + 1 >= MIN_TURNS
            && turns * 100 >= lines * MIN_SHARE;
        is_dialogue.then(|| (Self { names: names.into_iter().map(|(name, _)| name).collect() }, separated))
    }

    /// Makes sections of a document's turns.
    pub fn divide(&self, mut document: Document) -> Document {
        let mut sections: Vec<Section> = vec![];
        let mut asked: Option<(RichText, u8)> = None;
        for section in std::mem::take(&mut document.sections) {
            if section.heading.is_some() || sections.is_empty() {
                sections.push(Section::new(section.heading.clone(), section.level));
            }
            let mut elements = section.into_elements().into_iter().peekable();
            while let Some(element) = elements.next() {
                let Some((name, text)) = self.turn_of(&element) else {
                    // A paragraph without a speaker belongs to the turn before it.
                    if let Some((question, speaker)) = asked.take() {
                        sections.push(self.said(None, question, speaker));
                    }
                    if let Some(last) = sections.last_mut() {
                        last.push(element);
                    }
                    continue;
                };
                let speaker = self.speaker(name);
                let answered = elements.peek().and_then(|next| self.turn_of(next));
                let is_answered = answered.is_some_and(|(next, _)| next != name);
                let question = asked.take();
                let (before, asks) = if is_answered { self.question(&text) } else { (None, None) };
                match (question, asks) {
                    (question, Some(next)) => {
                        if let Some((question, speaker)) = question {
                            sections.push(self.said(None, question, speaker));
                        }
                        if let Some(before) = before {
                            sections.push(self.said(Some(name), before, speaker));
                        }
                        asked = Some((next, speaker));
                    }
                    (Some((question, asker)), None) => {
                        let mut section = self.said(None, text, speaker);
                        section.heading = Some(self.heading(&question));
                        section.lead = speak(&question).map(|line| (line, asker));
                        sections.push(section);
                    }
                    (None, None) => sections.push(self.said(Some(name), text, speaker)),
                }
            }
        }
        // The first words are about the whole.
        if let Some(first) = sections.iter_mut().find(|section| !section.elements().is_empty()) {
            first.heading = first.heading.take().filter(|heading| !self.names.contains(heading));
        }
        sections.retain(|section| !section.elements().is_empty());
        document.headed = true;
        document.sections = sections;
        document
    }

    /// A section of one turn, under the name of who speaks.
    fn said(&self, name: Option<&str>, text: RichText, speaker: u8) -> Section {
        let name = name.filter(|name| !is_mark(name));
        let mut section = Section::new(name.map(str::to_owned), None);
        section.speaker = speaker;
        section.push(Element::Paragraph(text));
        section
    }

    fn speaker(&self, name: &str) -> u8 {
        match is_mark(name) {
            true => 1,
            false => self.names.iter().position(|known| known == name).map_or(1, |at| at as u8 + 1),
        }
    }

    /// Returns who speaks in a paragraph, and the words.
    fn turn_of(&self, element: &Element) -> Option<(&str, RichText)> {
        let Element::Paragraph(text) = element else { return None };
        let plain = text.to_plain();
        let (name, from) = turn(&plain)?;
        let name = self.names.iter().find(|known| *known == name)?;
        let said = sentences::slices(text, std::slice::from_ref(&(from..plain.len()))).pop()?;
        Some((name, normalize_spaces(said.0)))
    }

    /// Divides a turn into what is said before its question, and the question, which is its end and short enough for a heading.
    fn question(&self, text: &RichText) -> (Option<RichText>, Option<RichText>) {
        let pieces = sentences::split(text);
        let Some((last, before)) = pieces.split_last() else { return (None, None) };
        let plain = last.text.to_plain();
        let fits = plain.ends_with(['?', '？'])
            && !last.continues
            && pieces.len() <= MAX_ASKING
            && columns(&plain) <= MAX_HEADING_COLUMNS
            && speak(&last.text).is_some();
        if !fits {
            return (None, None);
        }
        let mut spans = vec![];
        for piece in before {
            spans.extend(piece.text.0.iter().cloned());
            spans.push(reel_scene::Span { text: " ".to_owned(), style: SpanStyle::Plain });
        }
        let before = normalize_spaces(spans);
        (Some(before).filter(|before| !before.0.is_empty()), Some(last.text.clone()))
    }

    /// Returns a question as a heading: without the name of who is asked, and without "and" before it.
    fn heading(&self, question: &RichText) -> String {
        let mut text = question.to_plain();
        loop {
            let openings = ["And ", "Well, ", "Okay, ", "OK, ", "Now, "].map(str::to_owned);
            let names = self.names.iter().map(|name| format!("{name}, "));
            let opening = openings.into_iter().chain(names).find(|opening| text.starts_with(opening));
            let Some(rest) = opening.and_then(|opening| text.strip_prefix(&opening)) else { break };
            if word_count(rest) < 2 {
                break;
            }
            text = capitalize(rest.trim_start());
        }
        text
    }
}

/// Returns `true` for a line that begins with who speaks.
pub(super) fn is_turn(line: &str) -> bool {
    turn(line).is_some()
}

fn is_mark(name: &str) -> bool {
    MARKS.contains(&name.to_lowercase().as_str())
}

/// Returns the name that a line begins with, and where its words begin: "Anna: …", "**Anna:** …", "ANNA (laughs): …".
fn turn(line: &str) -> Option<(&str, usize)> {
    let from = time_end(line);
    let open = line.len() - line[from..].trim_start_matches(['*', '_']).len();
    let (head, rest) = line[open..].split_once(':')?;
    let bold_end = rest.len() - rest.trim_start_matches(['*', '_']).len();
    let words = &rest[bold_end..];
    let head = head.trim_end_matches(['*', '_']);
    // A remark on how it is said.
    let name =
        head.split_once(" (").filter(|(_, remark)| remark.ends_with(')')).map_or(head, |(name, _)| name);
    let is_name = name.starts_with(char::is_uppercase)
        && name.chars().count() <= MAX_NAME_CHARS
        && (1..=MAX_NAME_WORDS).contains(&word_count(name))
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '\'' | '’'))
        && name.split(' ').all(|word| {
            word.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
                || matches!(word, "de" | "von" | "van" | "der" | "da" | "the" | "of")
        })
        && !LABELS.contains(&name.to_lowercase().as_str());
    let has_words = words.starts_with(' ') && words.chars().any(char::is_alphanumeric);
    (is_name && has_words).then(|| (name, line.len() - words.trim_start().len()))
}

/// Returns where the time ends that a line of a transcript begins with: "[00:12] Anna: …", "1:02:03 Anna: …".
fn time_end(line: &str) -> usize {
    let inside = line.trim_start_matches(['[', '(']);
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.');
    let end = inside.find(|c: char| !is_part(c)).unwrap_or(inside.len());
    let is_time = inside[..end].contains(':') && inside.starts_with(|c: char| c.is_ascii_digit());
    let rest = inside[end..].trim_start_matches([']', ')']);
    if is_time && rest.starts_with(' ') { line.len() - rest.trim_start().len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::markdown::read;

    const TALK: &str = "# Bridges\n\n**Host:** Welcome back. Dr. Okafor, why do bridges hum?\n\n**Dr. Okafor:** Wind sheds whirls. \
        Each gives a push.\n\n**Host:** And is it dangerous?\n\n**Dr. Okafor:** Humming is not.\n\n**Host:** Thank you.\n";

    fn sections(script: &str) -> Vec<(String, String, u8)> {
        let text = |section: &Section| match section.elements().first() {
            Some(Element::Paragraph(text)) => text.to_plain(),
            _ => String::new(),
        };
        let of =
            |section: &Section| (section.heading.clone().unwrap_or_default(), text(section), section.speaker);
        read(script).sections.iter().map(of).collect()
    }

    #[test]
    fn a_question_is_the_heading_of_its_answer_and_is_asked_by_another_voice() {
        let found = sections(TALK);
        let found: Vec<(&str, &str, u8)> = found
            .iter()
            .map(|(heading, text, speaker)| (heading.as_str(), text.as_str(), *speaker))
            .collect();
        assert_eq!(
            found,
            [
                ("", "Welcome back.", 1),
                ("Why do bridges hum?", "Wind sheds whirls. Each gives a push.", 2),
                ("Is it dangerous?", "Humming is not.", 2),
                ("Host", "Thank you.", 1),
            ]
        );
        let leads: Vec<Option<(String, u8)>> =
            read(TALK).sections.iter().map(|section| section.lead.clone()).collect();
        assert_eq!(leads[2], Some(("And is it dangerous?".to_owned(), 1)));
    }

    #[test]
    fn lines_of_a_chat_are_turns_without_blank_lines() {
        let found = sections(
            "Anna: Is it late?\nBen: It is ten.\nAnna: Shall we go?\nBen: Yes. The bus leaves soon.",
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[1], ("Shall we go?".to_owned(), "Yes. The bus leaves soon.".to_owned(), 2));
    }

    #[test]
    fn lines_of_a_transcript_may_have_times_and_numbered_speakers() {
        let script = "[00:01] Speaker 1: Is it late?\n[00:04] Speaker 2: It is ten.\n[00:09] Speaker 1: Shall we go?\n\
            [00:12] Speaker 2: Yes. The bus leaves soon.";
        let found = sections(script);
        assert_eq!(
            found[1],
            ("Shall we go?".to_owned(), "Yes. The bus leaves soon.".to_owned(), 2),
            "{found:?}"
        );
        assert!(Dialogue::find("Step 1: Mix.\n\nStep 2: Wait.\n\nStep 3: Bake.\n\nStep 4: Eat.").is_none());
    }

    #[test]
    fn questions_and_answers_have_one_voice() {
        let found = sections("Q: Is it late?\n\nA: It is ten.\n\nQ: Shall we go?\n\nA: Yes.");
        assert_eq!(found[0], ("Is it late?".to_owned(), "It is ten.".to_owned(), 1));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn labels_are_no_speakers() {
        for script in [
            "Attendees: Priya, Tom\n\nDate: 3 May\n\nDecision: we ship\n\nOwner: Lena",
            "Energy: 5 kWh\n\nPower: 3 kW\n\nEnergy: 6 kWh\n\nThat is all. So it is. And more. It goes on.\n\nAnd on.\n\nAnd on.",
            "Note: one\n\nTip: two\n\nNote: three\n\nTip: four",
            "It is 10:30 now.\n\nhttp://a.b: x\n\nhttp://a.b: y\n\nAnna: hi",
        ] {
            assert!(Dialogue::find(script).is_none(), "{script}");
        }
        assert!(Dialogue::find("").is_none() && Dialogue::find(":\n:\n:\n:").is_none());
    }
}
