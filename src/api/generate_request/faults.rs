//! Faults of a body, listed up to a bound.

use crate::api::problem::{FieldError, Problem};

/// Faults that one answer lists; one more entry says how many are not listed.
pub(super) const MAX_FAULTS: usize = 100;
/// Characters of a name or a value in the body that a fault repeats.
const MAX_ECHO_CHARACTERS: usize = 100;
const MAX_MESSAGE_CHARACTERS: usize = 500;

/// The faults of a body: the first [`MAX_FAULTS`].
#[derive(Default)]
pub(in crate::api) struct Faults {
    pub listed: Vec<FieldError>,
    omitted: usize,
}

impl Faults {
    pub fn add(&mut self, loc: &[&str], msg: impl Into<String>, kind: &str) {
        if self.listed.len() == MAX_FAULTS {
            self.omitted += 1;
            return;
        }
        self.listed.push(FieldError {
            loc: loc.iter().map(|part| shortened((*part).to_owned(), MAX_ECHO_CHARACTERS)).collect(),
            msg: shortened(msg.into(), MAX_MESSAGE_CHARACTERS),
            r#type: kind.to_owned(),
        });
    }

    pub fn into_result<T>(self, read: T) -> Result<T, Faults> {
        if self.listed.is_empty() { Ok(read) } else { Err(self) }
    }

    /// Adds those of another part of the body.
    pub fn extend(&mut self, more: Faults) {
        let room = MAX_FAULTS - self.listed.len();
        self.omitted += more.omitted + more.listed.len().saturating_sub(room);
        self.listed.extend(more.listed.into_iter().take(room));
    }

    pub fn into_problem(self) -> Problem {
        Problem::validation(self.into_list())
    }

    /// The faults that are listed, and how many are not.
    pub fn into_list(mut self) -> Vec<FieldError> {
        if self.omitted > 0 {
            self.listed.push(FieldError {
                loc: vec!["body".to_owned()],
                msg: format!("and more: {} faults are not listed", self.omitted),
                r#type: "and_more".to_owned(),
            });
        }
        self.listed
    }
}

fn shortened(mut text: String, max_characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max_characters) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A value of the body as a message repeats it.
pub(super) fn echo(json: &str) -> String {
    shortened(json.to_owned(), MAX_ECHO_CHARACTERS)
}
