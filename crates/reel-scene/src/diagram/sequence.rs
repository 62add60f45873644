//! Mermaid's `sequenceDiagram`.

use super::text::label;
use super::{EdgeEnd, Frame, Line, MAX_ROWS, NoteSide, Participant, Sequence, SequenceRow};

/// Most participants side by side.
const MAX_PARTICIPANTS: usize = 12;
/// Most frames, and most parts of one.
const MAX_FRAMES: usize = 20;
const MAX_PARTS: usize = 8;
/// Most frames in a frame.
const MAX_DEPTH: usize = 4;

/// Arrows, longest first.
const ARROWS: [(&str, Line, EdgeEnd); 10] = [
    ("<<-->>", Line::Dashed, EdgeEnd::Arrow),
    ("<<->>", Line::Solid, EdgeEnd::Arrow),
    ("-->>", Line::Dashed, EdgeEnd::Arrow),
    ("->>", Line::Solid, EdgeEnd::Arrow),
    ("--x", Line::Dashed, EdgeEnd::Cross),
    ("--)", Line::Dashed, EdgeEnd::Arrow),
    ("-->", Line::Dashed, EdgeEnd::None),
    ("-x", Line::Solid, EdgeEnd::Cross),
    ("-)", Line::Solid, EdgeEnd::Arrow),
    ("->", Line::Solid, EdgeEnd::None),
];

#[derive(Default)]
struct Reader {
    sequence: Sequence,
    names: Vec<String>,
    /// Indices of the open frames; `None` for what is opened by a word but not drawn.
    open: Vec<Option<usize>>,
    /// Number of the next message, where they are counted.
    number: Option<usize>,
}

pub(super) fn read(lines: &[&str]) -> Option<Sequence> {
    let mut reader = Reader::default();
    for line in lines {
        reader.line(line.trim_end_matches(';'))?;
    }
    while let Some(open) = reader.open.pop() {
        reader.close(open);
    }
    (!reader.sequence.rows.is_empty()).then_some(reader.sequence)
}

impl Reader {
    fn line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "participant" => self.declare(rest, false),
            "actor" => self.declare(rest, true),
            "create" => self.line(rest),
            "activate" | "deactivate" | "destroy" | "title" | "title:" | "link" | "links" | "accTitle:"
            | "accDescr:" => Some(()),
            "autonumber" => {
                self.number = Some(1);
                Some(())
            }
            "box" | "rect" => {
                self.open.push(None);
                Some(())
            }
            "loop" | "alt" | "opt" | "par" | "critical" | "break" => self.open_frame(word, rest),
            "else" | "and" | "option" => self.part(rest),
            "end" => {
                if let Some(open) = self.open.pop() {
                    self.close(open);
                }
                Some(())
            }
            "Note" | "note" => self.note(rest),
            _ => self.message(line),
        }
    }

    fn declare(&mut self, text: &str, is_actor: bool) -> Option<()> {
        let (name, words) = text.split_once(" as ").unwrap_or((text, text));
        let name = name.split("@{").next().unwrap_or_default();
        let index = self.participant(name.trim())?;
        let participant = &mut self.sequence.participants[index];
        participant.is_actor = is_actor;
        let words = label(words.split("@{").next().unwrap_or_default())?;
        if !words.is_empty() {
            participant.label = words;
        }
        Some(())
    }

    fn participant(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return Some(index);
        }
        if name.is_empty() || self.names.len() >= MAX_PARTICIPANTS {
            return None;
        }
        self.names.push(name.to_owned());
        self.sequence.participants.push(Participant { label: label(name)?, is_actor: false });
        Some(self.names.len() - 1)
    }

    fn row(&mut self, row: SequenceRow) -> Option<()> {
        let fits = self.sequence.rows.len() < MAX_ROWS;
        fits.then(|| self.sequence.rows.push(row))
    }

    fn open_frame(&mut self, kind: &str, words: &str) -> Option<()> {
        let depth = self.open.iter().flatten().count();
        if depth >= MAX_DEPTH || self.sequence.frames.len() >= MAX_FRAMES {
            return None;
        }
        let parts = vec![(self.sequence.rows.len(), label(words)?)];
        self.open.push(Some(self.sequence.frames.len()));
        self.sequence.frames.push(Frame { kind: kind.to_owned(), parts, end: 0, depth });
        Some(())
    }

    fn part(&mut self, words: &str) -> Option<()> {
        let row = self.sequence.rows.len();
        if let Some(frame) = self.open.last().copied().flatten() {
            if self.sequence.frames[frame].parts.len() >= MAX_PARTS {
                return None;
            }
            self.sequence.frames[frame].parts.push((row, label(words)?));
        }
        Some(())
    }

    fn close(&mut self, frame: Option<usize>) {
        let end = self.sequence.rows.len();
        if let Some(frame) = frame {
            self.sequence.frames[frame].end = end;
            self.sequence.frames[frame].parts.retain(|(row, _)| *row < end);
        }
    }

    fn note(&mut self, text: &str) -> Option<()> {
        let (place, words) = text.split_once(':')?;
        let (side, names) = if let Some(names) = place.strip_prefix("over ") {
            (NoteSide::Over, names)
        } else if let Some(names) = place.strip_prefix("left of ") {
            (NoteSide::Left, names)
        } else {
            (NoteSide::Right, place.strip_prefix("right of ")?)
        };
        let (first, last) = names.split_once(',').unwrap_or((names, names));
        let (first, last) = (self.participant(first.trim())?, self.participant(last.trim())?);
        let text = label(words)?;
        self.row(SequenceRow::Note { over: [first.min(last), first.max(last)], side, text })
    }

    fn message(&mut self, line: &str) -> Option<()> {
        let (ends, words) = line.split_once(':').unwrap_or((line, ""));
        let at = ends.find("<<-").or_else(|| ends.find(['-']).filter(|_| true))?;
        // A name may hold hyphens: the arrow is the first that one of the list fits.
        let found = (at..ends.len()).filter(|at| ends.is_char_boundary(*at)).find_map(|at| {
            let arrow = ARROWS.iter().find(|(arrow, ..)| ends[at..].starts_with(arrow))?;
            Some((at, arrow))
        });
        let (at, (arrow, line, head)) = found?;
        let from = self.participant(ends[..at].trim())?;
        let to = self.participant(ends[at + arrow.len()..].trim().trim_start_matches(['+', '-']).trim())?;
        let words = label(words)?;
        let text = match &mut self.number {
            Some(number) => {
                *number += 1;
                format!("{}. {words}", *number - 1)
            }
            None => words,
        };
        self.row(SequenceRow::Message { from, to, text, line: *line, head: *head })
    }
}
