//! The report of a run: the outcome of each job, and the figures.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::ids::JobId;

/// Characters of a foreign text that a line shows.
const SHOWN: usize = 300;

/// The reason why a job is not imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Skip {
    #[error("the name in the key must be text of 1 to 200 bytes")]
    BadName,
    #[error("the key was removed meanwhile")]
    Gone,
    #[error("{field} is of the wrong type: {found}")]
    WrongType { field: String, found: String },
    #[error("{field} is not JSON that can be read")]
    UnreadableJson { field: String },
    #[error("{field} is not text")]
    NotText { field: String },
    #[error("{field} is larger than the {max} that are allowed")]
    TooLarge { field: String, max: usize },
    #[error("{field} is missing")]
    Missing { field: String },
    #[error("user_id is missing, or is no name of a user")]
    UnknownUser,
    #[error("the status is unknown: {found}")]
    UnknownStatus { found: String },
    #[error("{field} is no time that a job can have")]
    UnreadableTime { field: String },
    #[error("the job was deleted at the source")]
    Deleted,
    #[error("the content of this user was erased here")]
    UserErased,
    #[error("the job is completed, and --files does not say where its video is")]
    NoFiles,
    #[error("the job is completed, but the source names no video of it")]
    NoVideo,
    #[error("the file is not there: {place}")]
    MissingFile { place: String },
    #[error("the path leads out of the folder of the files: {place}")]
    OutsideFiles { place: String },
    #[error("the file is no video that can be read: {reason}")]
    UnreadableVideo { reason: String },
    #[error("something else has this id already")]
    IdTaken,
    #[error("it was refused: {reason}")]
    Refused { reason: String },
}

impl Skip {
    /// Returns the reason's stable name, such as `missing_file`.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// The outcome of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Imported {
        job_id: JobId,
        /// Its name at the source, if that is no UUID.
        source_id: Option<String>,
        notes: Vec<String>,
        /// Set for a job that had not ended at the source, and was imported as failed.
        is_unfinished: bool,
        files: usize,
        bytes: u64,
    },
    Resubmitted {
        job_id: JobId,
        source_id: Option<String>,
        notes: Vec<String>,
    },
    AlreadyThere,
    Skipped(Skip),
}

/// Figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub is_dry_run: bool,
    /// Keys that were looked at.
    pub jobs: u64,
    pub imported: u64,
    /// Of those, jobs that had not ended at the source, and were imported as failed.
    pub imported_unfinished: u64,
    pub resubmitted: u64,
    pub already_there: u64,
    pub skipped: u64,
    pub skipped_by_reason: BTreeMap<&'static str, u64>,
    pub files: u64,
    pub bytes: u64,
}

/// Receives lines for people.
pub type Say = Box<dyn FnMut(&str) -> io::Result<()> + Send>;

/// Counts, and tells of each job: lines for people of what is worth a look, and all as JSON, one object a line, so that a
/// report of any length takes no memory, and one of an interrupted run can be read.
pub struct Report {
    pub summary: Summary,
    say: Say,
    file: Option<LineWriter<File>>,
}

impl Report {
    /// Begins a report. Replaces the file.
    pub fn begin(is_dry_run: bool, file: Option<&Path>, say: Say) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(LineWriter::new);
        Ok(Self { summary: Summary { is_dry_run, ..Summary::default() }, say, file })
    }

    /// Notes what became of the job of a name.
    pub fn note(&mut self, name: &[u8], outcome: Outcome) -> io::Result<()> {
        self.count(&outcome);
        let name = shown(&String::from_utf8_lossy(name));
        let (line, text) = describe(&name, &outcome);
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}")?;
        }
        match text {
            Some(text) => (self.say)(&text),
            None => Ok(()),
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        let summary = &mut self.summary;
        summary.jobs += 1;
        match outcome {
            Outcome::Imported { is_unfinished, files, bytes, .. } => {
                summary.imported += 1;
                summary.imported_unfinished += u64::from(*is_unfinished);
                summary.files += *files as u64;
                summary.bytes += bytes;
            }
            Outcome::Resubmitted { .. } => summary.resubmitted += 1,
            Outcome::AlreadyThere => summary.already_there += 1,
            Outcome::Skipped(skip) => {
                summary.skipped += 1;
                *summary.skipped_by_reason.entry(skip.name()).or_default() += 1;
            }
        }
    }

    /// Ends the report with its figures. `is_complete` is false when the run was interrupted.
    pub fn end(mut self, is_complete: bool) -> io::Result<Summary> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", json!({ "summary": self.summary, "is_complete": is_complete }))?;
            file.flush()?;
        }
        let Summary {
            is_dry_run,
            jobs,
            imported,
            imported_unfinished,
            resubmitted,
            already_there,
            skipped,
            ..
        } = self.summary;
        let would = if is_dry_run { "would be " } else { "" };
        (self.say)(&format!(
            "{jobs} jobs: {imported} {would}imported ({imported_unfinished} of them had not ended, and count as failed), \
             {resubmitted} {would}submitted again, {already_there} already there, {skipped} skipped"
        ))?;
        for (reason, count) in &self.summary.skipped_by_reason {
            (self.say)(&format!("  {count} skipped: {reason}"))?;
        }
        (self.say)(&format!("{} files, {} bytes {would}stored", self.summary.files, self.summary.bytes))?;
        Ok(self.summary)
    }
}

/// Returns the line of the JSON report, and that for people where there is something to say.
fn describe(name: &str, outcome: &Outcome) -> (Value, Option<String>) {
    match outcome {
        Outcome::Imported { job_id, source_id, notes, is_unfinished, files, bytes } => {
            let mut notes = notes.clone();
            if *is_unfinished {
                notes.push("it had not ended at the source, and is imported as failed".to_owned());
            }
            let line = json!({
                "name": name, "outcome": "imported", "job_id": job_id, "notes": notes, "files": files, "bytes": bytes,
            });
            (line, worth_saying("imported", name, *job_id, source_id.is_some(), &notes))
        }
        Outcome::Resubmitted { job_id, source_id, notes } => {
            let line = json!({ "name": name, "outcome": "resubmitted", "job_id": job_id, "notes": notes });
            (line, worth_saying("submitted again", name, *job_id, source_id.is_some(), notes))
        }
        Outcome::AlreadyThere => (json!({ "name": name, "outcome": "already_there" }), None),
        Outcome::Skipped(skip) => {
            let detail = shown(&skip.to_string());
            let line = json!({ "name": name, "outcome": "skipped", "reason": skip.name(), "detail": detail });
            (line, Some(format!("skipped: {name}: {detail}")))
        }
    }
}

fn worth_saying(verb: &str, name: &str, job_id: JobId, has_new_id: bool, notes: &[String]) -> Option<String> {
    let id = if has_new_id { format!(" as {job_id}") } else { String::new() };
    let notes = notes.iter().map(|note| shown(note)).collect::<Vec<_>>().join("; ");
    match (has_new_id, notes.is_empty()) {
        (false, true) => None,
        (true, true) => Some(format!("{verb}: {name}{id}")),
        (_, false) => Some(format!("{verb}: {name}{id}: {notes}")),
    }
}

/// Returns a foreign text as it may stand in a terminal: short, and without control characters.
pub fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    let escaped: String = cut
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    format!("{escaped}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_cannot_command_a_terminal() {
        assert_eq!(shown("a\u{1b}[2J\0é"), "a\\u{1b}[2J\\u{0}é");
        assert_eq!(shown(&"é".repeat(500)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn reasons_have_stable_names() {
        assert_eq!(Skip::MissingFile { place: String::new() }.name(), "missing_file");
        assert_eq!(Skip::UnknownUser.name(), "unknown_user");
    }
}
