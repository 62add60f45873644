//! Reads a job of the source from its fields. Nothing that stands there is trusted.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::is_plausible;
use super::report::Skip;
use super::source::{Fields, MAX_NAME_BYTES};
use crate::error_codes::ErrorCode;
use crate::events::job::{Failure, FileRole};
use crate::events::{Priority, Quality, Stage, VideoRequest};
use crate::ids::JobId;

/// Characters of texts. Those of what the API accepts today, which are those of the source, too.
const TOPIC: usize = 500;
const CONTEXT: usize = 2000;
const SCRIPT: usize = 200_000;
const TITLE: usize = 200;
const DESCRIPTION: usize = 1000;
const MODEL: usize = 100;
const TAG: usize = 50;
const MAX_TAGS: usize = 10;
/// Characters of an error's message; the rest of a longer one is left out.
const MESSAGE: usize = 2000;
const CODE: usize = 64;
const MAX_USER: usize = 200;
/// Places of one file that are tried.
const MAX_PLACES: usize = 8;

/// The state of a job at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Completed,
    Failed {
        stage: Stage,
        error: Failure,
    },
    Cancelled,
    /// Queued or running.
    Unfinished,
}

/// A job of the source, checked.
#[derive(Debug, Clone)]
pub struct SourceJob {
    pub user_id: String,
    pub request: VideoRequest,
    /// As the source names it; `None` if it names none that is known.
    pub quality: Option<Quality>,
    pub requested_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: DateTime<Utc>,
    /// The stage that it was in.
    pub stage: Option<Stage>,
    pub ending: Ending,
    /// Changes on the way.
    pub notes: Vec<String>,
}

/// Returns the id of a job by its name at the source: the same UUID, or one derived from a name that is none; then the
/// name, too.
pub fn job_id(name: &[u8]) -> Result<(JobId, Option<String>), Skip> {
    let text = std::str::from_utf8(name).map_err(|_| Skip::BadName)?;
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
        return Err(Skip::BadName);
    }
    // Other forms (braces, without hyphens) are no ids that clients send.
    let uuid = Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil());
    match uuid.filter(|uuid| uuid.hyphenated().to_string() == text.to_ascii_lowercase()) {
        Some(uuid) => Ok((JobId(uuid), None)),
        None => Ok((JobId::of_source(text), Some(text.to_owned()))),
    }
}

/// Returns a short form of a job's id, to look its video up.
pub fn hash_of(job_id: JobId) -> [u8; 16] {
    *job_id.0.as_bytes()
}

/// Returns the id of a job's video: the source's, if it is a UUID.
pub fn video_id(job_id: JobId, video: &Fields) -> Uuid {
    let named = video.get("video_id").and_then(|name| Uuid::try_parse(name).ok());
    named.filter(|id| !id.is_nil()).unwrap_or_else(|| Uuid::new_v5(&job_id.0, b"video"))
}

/// The failure of a job that had not ended at the source.
pub fn unfinished() -> Failure {
    Failure {
        code: ErrorCode::ImportedUnfinished.name().to_owned(),
        message: "the job had not ended in the system that it was imported from".to_owned(),
        retryable: false,
        suggestion: Some("Request the video again, or have an operator reprocess the job.".to_owned()),
        causes: vec![],
    }
}

/// Reads a job.
pub fn read(fields: &Fields, now: DateTime<Utc>) -> Result<SourceJob, Skip> {
    if fields.get("is_deleted").is_some_and(|flag| is_true(flag)) {
        return Err(Skip::Deleted);
    }
    let user_id = user(fields)?;
    let mut reader = Reader { configuration: object(fields, "configuration")?, fields, notes: vec![] };
    let request = reader.request()?;
    let quality = reader.plain("quality")?.and_then(|name| Quality::named(&name.to_lowercase()));
    let notes = reader.notes;
    let progress = object(fields, "progress")?;
    let stage = progress.get("current_stage").and_then(Value::as_str).and_then(Stage::parse);
    let ending = ending(fields, stage)?;
    let times = Times::read(fields, now)?;
    Ok(SourceJob {
        user_id,
        request: VideoRequest { quality: quality.unwrap_or_default(), ..request },
        quality,
        requested_at: times.requested,
        started_at: times.started,
        ended_at: times.ended,
        stage,
        ending,
        notes,
    })
}

impl SourceJob {
    /// The stage that it was in; the first one if the source does not say.
    pub fn stage(&self) -> Stage {
        self.stage.unwrap_or(Stage::Initializing)
    }

    /// Takes title, description and tags of the video where the job has none. What is no text is left out.
    pub fn add_labels(&mut self, video: &Fields) {
        let text = |field: &str, max| {
            let text = video.get(field).map(|text| clean(text).0.trim().to_owned());
            text.filter(|text| !text.is_empty() && text.chars().count() <= max)
        };
        let request = &mut self.request;
        request.title = request.title.take().or_else(|| text("title", TITLE));
        request.description = request.description.take().or_else(|| text("description", DESCRIPTION));
        if request.tags.is_empty() {
            let listed = video.get("tags").and_then(|tags| serde_json::from_str::<Value>(tags).ok());
            request.tags = listed.and_then(|listed| tags(&listed).ok()).unwrap_or_default();
        }
    }
}

fn user(fields: &Fields) -> Result<String, Skip> {
    let user = fields.get("user_id").map(|user| user.trim()).ok_or(Skip::UnknownUser)?;
    let is_name = user.chars().count() <= MAX_USER && !user.is_empty() && !user.chars().any(char::is_control);
    if is_name { Ok(user.to_owned()) } else { Err(Skip::UnknownUser) }
}

fn is_true(flag: &str) -> bool {
    matches!(flag.trim().to_ascii_lowercase().as_str(), "true" | "1")
}

fn object(fields: &Fields, field: &'static str) -> Result<Map<String, Value>, Skip> {
    let Some(text) = fields.get(field) else { return Ok(Map::new()) };
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(Skip::WrongType { field: field.into(), found: kind(&other).into() }),
        Err(_) => Err(Skip::UnreadableJson { field: field.into() }),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Removes what is no text, and says whether there was any.
fn clean(text: &str) -> (String, bool) {
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    let cleaned: String = text.chars().filter(|c| is_text(*c)).collect();
    let is_changed = cleaned.len() != text.len();
    (cleaned, is_changed)
}

/// Reads the settings of a job, which are in its configuration, or beside it.
struct Reader<'a> {
    configuration: Map<String, Value>,
    fields: &'a Fields,
    notes: Vec<String>,
}

impl Reader<'_> {
    fn request(&mut self) -> Result<VideoRequest, Skip> {
        let topic = self.text("topic", TOPIC)?.ok_or(Skip::Missing { field: "topic".into() })?;
        let script = self.text("script", SCRIPT)?;
        let context = self.text("context", CONTEXT)?;
        let mut request = VideoRequest::of_script(topic, "");
        (request.script, request.context) = (script, context);
        request.title = self.text("title", TITLE)?;
        request.description = self.text("description", DESCRIPTION)?;
        request.model = self.text("model", MODEL)?;
        request.tags = self.tags()?;
        request.enable_subtitles = self.flag("enable_subtitles")?.unwrap_or(true);
        request.enable_thumbnails = self.flag("enable_thumbnails")?.unwrap_or(true);
        request.use_rag = self.flag("use_rag")?;
        let priority = self.plain("priority")?.and_then(|name| Priority::parse(&name.to_lowercase()));
        request.priority = priority.unwrap_or_default();
        Ok(request)
    }

    /// A string of the configuration, or the field of the job.
    fn plain(&self, field: &'static str) -> Result<Option<String>, Skip> {
        match self.configuration.get(field) {
            None | Some(Value::Null) => Ok(self.fields.get(field).cloned()),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(Skip::WrongType { field: field.into(), found: kind(other).into() }),
        }
    }

    fn text(&mut self, field: &'static str, max: usize) -> Result<Option<String>, Skip> {
        let Some(text) = self.plain(field)? else { return Ok(None) };
        let (cleaned, is_changed) = clean(&text);
        if is_changed {
            self.notes.push(format!("control characters of {field} are left out"));
        }
        let cleaned = cleaned.trim();
        if cleaned.chars().count() > max {
            return Err(Skip::TooLarge { field: format!("{field} (characters)"), max });
        }
        Ok((!cleaned.is_empty()).then(|| cleaned.to_owned()))
    }

    fn flag(&self, field: &'static str) -> Result<Option<bool>, Skip> {
        match self.configuration.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(Skip::WrongType { field: field.into(), found: kind(other).into() }),
        }
    }

    fn tags(&self) -> Result<Vec<String>, Skip> {
        if let Some(listed) = self.configuration.get("tags").filter(|listed| !listed.is_null()) {
            return tags(listed);
        }
        let Some(text) = self.fields.get("tags") else { return Ok(vec![]) };
        let listed = serde_json::from_str(text).map_err(|_| Skip::UnreadableJson { field: "tags".into() })?;
        tags(&listed)
    }
}

/// Tags as the API records them: trimmed, in lower case, each once.
fn tags(listed: &Value) -> Result<Vec<String>, Skip> {
    let wrong = |found: &Value| Skip::WrongType { field: "tags".into(), found: kind(found).into() };
    let listed = listed.as_array().ok_or_else(|| wrong(listed))?;
    let mut tags: Vec<String> = vec![];
    for tag in listed {
        let tag = clean(tag.as_str().ok_or_else(|| wrong(tag))?).0.trim().to_lowercase();
        if tag.chars().count() > TAG {
            return Err(Skip::TooLarge { field: "tags (characters)".into(), max: TAG });
        }
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(Skip::TooLarge { field: "tags".into(), max: MAX_TAGS });
    }
    Ok(tags)
}

fn ending(fields: &Fields, stage: Option<Stage>) -> Result<Ending, Skip> {
    let status = fields.get("status").ok_or(Skip::Missing { field: "status".into() })?;
    Ok(match status.trim().to_ascii_lowercase().as_str() {
        "completed" => Ending::Completed,
        "failed" => {
            let error = error(fields)?;
            let named = error.get("error_stage").or_else(|| error.get("stage")).and_then(Value::as_str);
            let named = named.and_then(Stage::parse).or(stage);
            Ending::Failed { stage: named.unwrap_or(Stage::Initializing), error: failure(&error) }
        }
        "cancelled" | "canceled" => Ending::Cancelled,
        "queued" | "processing" => Ending::Unfinished,
        _ => return Err(Skip::UnknownStatus { found: status.clone() }),
    })
}

/// The error of a job: an object, a text, or fields of the job.
fn error(fields: &Fields) -> Result<Map<String, Value>, Skip> {
    let mut error = match fields.get("error") {
        Some(text) if text.trim_start().starts_with('{') => object(fields, "error")?,
        Some(text) => Map::from_iter([("error_message".to_owned(), Value::from(text.as_str()))]),
        None => Map::new(),
    };
    for field in ["error_code", "error_message"] {
        if let Some(text) = fields.get(field) {
            error.entry(field).or_insert_with(|| Value::from(text.as_str()));
        }
    }
    Ok(error)
}

fn failure(error: &Map<String, Value>) -> Failure {
    let text = |names: [&str; 2]| names.into_iter().find_map(|name| error.get(name)?.as_str());
    // A code is public; whatever does not look like one may be a user's words.
    let is_code = |code: &&str| {
        (1..=CODE).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let code = text(["error_code", "code"]).filter(is_code).unwrap_or(ErrorCode::ImportedFailure.name());
    let message = text(["error_message", "message"]).map(|message| clean(message).0);
    let message = message.filter(|message| !message.trim().is_empty());
    let message = message.unwrap_or_else(|| "the source does not say why the job failed".to_owned());
    Failure {
        code: code.to_owned(),
        message: message.chars().take(MESSAGE).collect(),
        retryable: false,
        suggestion: None,
        causes: vec![],
    }
}

struct Times {
    requested: DateTime<Utc>,
    started: Option<DateTime<Utc>>,
    ended: DateTime<Utc>,
}

impl Times {
    /// Reads the times of a job, and puts them in order: clocks may have jumped.
    fn read(fields: &Fields, now: DateTime<Utc>) -> Result<Self, Skip> {
        let at = |field: &'static str| -> Result<Option<DateTime<Utc>>, Skip> {
            let Some(text) = fields.get(field) else { return Ok(None) };
            let read = time(text.trim().trim_matches('"')).filter(|at| is_plausible(*at, now));
            read.map(Some).ok_or(Skip::UnreadableTime { field: field.into() })
        };
        let (created, started) = (at("created_at")?, at("started_at")?);
        let (completed, updated) = (at("completed_at")?, at("updated_at")?);
        let requested = created.or(started).or(completed).or(updated);
        let requested = requested.ok_or(Skip::Missing { field: "created_at".into() })?;
        let started = started.map(|started| started.max(requested));
        let ended = completed.or(updated).unwrap_or(requested).max(started.unwrap_or(requested));
        Ok(Self { requested, started, ended })
    }
}

/// Reads a time as Python writes it: without a zone it is UTC. To the millisecond.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    let at = with_zone.ok().or_else(|| {
        let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
        formats
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|at| at.and_utc())
    })?;
    DateTime::from_timestamp_millis(at.timestamp_millis())
}

/// Returns the places where a job's video may be, the most likely one first.
pub fn video_places(job: &Fields, video: &Fields) -> Result<Vec<String>, Skip> {
    let of_video = ["file_path", "video_path", "local_path", "path", "s3_key", "s3_url", "video_url", "url"];
    let of_job = ["file_path", "video_path", "s3_key"];
    let places = of_video.iter().filter_map(|field| video.get(field));
    let places: Vec<String> =
        places.chain(of_job.iter().filter_map(|field| job.get(field))).cloned().collect();
    if places.is_empty() { Err(Skip::NoVideo) } else { Ok(places) }
}

/// The other files of a video that the source names: a picture, and captions.
pub fn other_places(video: &Fields) -> Result<Vec<(FileRole, Vec<String>)>, Skip> {
    let mut pictures: Vec<String> =
        ["thumbnail_path", "thumbnail_s3_key"].iter().filter_map(|field| video.get(field)).cloned().collect();
    let listed = video.get("thumbnail_paths").and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    pictures.extend(listed.unwrap_or_default().into_iter().take(MAX_PLACES));
    let captions: Vec<String> =
        ["subtitle_path", "subtitle_s3_key"].iter().filter_map(|field| video.get(field)).cloned().collect();
    let role = match captions.first() {
        Some(first) if first.to_lowercase().ends_with(".vtt") => FileRole::CaptionsVtt,
        _ => FileRole::CaptionsSrt,
    };
    let all = [(FileRole::ThumbnailMedium, pictures), (role, captions)];
    Ok(all.into_iter().filter(|(_, places)| !places.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::job::{Command, Job, decide};
    use crate::events::imported::{ImportedEnding, JobImported};
    use crate::events::{JobEvent, upcast};

    fn now() -> DateTime<Utc> {
        time("2026-01-01T00:00:00Z").unwrap()
    }

    fn fields(more: &[(&'static str, &str)]) -> Fields {
        let plain = [
            ("user_id", "user_1"),
            ("status", "failed"),
            ("configuration", r#"{"topic": "Ions", "context": "Ions move."}"#),
            ("created_at", "2025-03-04T05:06:07.123456"),
        ];
        plain.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    fn skip(more: &[(&'static str, &str)]) -> &'static str {
        read(&fields(more), now()).unwrap_err().name()
    }

    #[test]
    fn a_uuid_stays_and_another_name_leads_to_the_same_id_each_time() {
        let id = "0191E0A0-0000-7000-8000-00000000000A";
        assert_eq!(job_id(id.as_bytes()).unwrap(), (id.parse().unwrap(), None));
        for name in [
            "job-1",
            "0191e0a00000700080000000000000aa",
            "{0191e0a0-0000-7000-8000-00000000000a}",
            "0".repeat(36).as_str(),
            "00000000-0000-0000-0000-000000000000",
        ] {
            let (derived, source) = job_id(name.as_bytes()).unwrap();
            assert_eq!((derived, source.as_deref()), (JobId::of_source(name), Some(name)));
        }
        for name in [b"".as_slice(), b"a\0b", b"\xff\xfe", b"a\nb", &[b'x'; 201]] {
            assert_eq!(job_id(name), Err(Skip::BadName));
        }
    }

    #[test]
    fn a_job_is_read_as_the_source_writes_it() {
        let job = read(
            &fields(&[
                ("status", "completed"),
                ("priority", "urgent"),
                ("started_at", "2025-03-04 05:06:08"),
                ("completed_at", "2025-03-04T07:06:09+02:00"),
                (
                    "configuration",
                    r#"{"topic": " Io\u0000ns ", "quality": "720p", "tags": ["A", "a ", "b"], "model": null,
                    "enable_subtitles": false}"#,
                ),
            ]),
            now(),
        );
        let job = job.unwrap();
        assert_eq!((job.request.topic.as_str(), job.quality), ("Ions", Some(Quality::Medium)));
        assert_eq!(job.notes, ["control characters of topic are left out"]);
        assert_eq!((job.request.priority, job.request.enable_subtitles), (Priority::Urgent, false));
        assert_eq!(job.request.tags, ["a", "b"]);
        assert_eq!(job.requested_at, time("2025-03-04T05:06:07.123Z").unwrap());
        assert_eq!(job.ended_at - job.started_at.unwrap(), TimeDelta::seconds(1));
        assert_eq!(job.ending, Ending::Completed);
    }

    #[test]
    fn a_failure_keeps_its_code_and_words_that_are_no_code_do_not_become_one() {
        let of = |error: &str| match read(&fields(&[("error", error)]), now()).unwrap().ending {
            Ending::Failed { stage, error } => (stage, error.code, error.message),
            other => panic!("{other:?}"),
        };
        let known =
            of(r#"{"error_code": "RENDER_ERROR", "error_message": "no", "error_stage": "rendering"}"#);
        assert_eq!(known, (Stage::Rendering, "RENDER_ERROR".into(), "no".into()));
        assert_eq!(of(r#"{"error_code": "My Words", "message": 7}"#).1, "IMPORTED_FAILURE");
        assert_eq!(of("boom").2, "boom");
        assert_eq!(of(&"x".repeat(5000)).2.len(), MESSAGE);
    }

    #[test]
    fn each_fault_has_its_reason() {
        let deep = format!(r#"{{"topic":"x","a":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        let long = format!(r#"{{"topic":"{}"}}"#, "x".repeat(501));
        for (more, reason) in [
            (("user_id", "a\nb"), "unknown_user"),
            (("status", "paused"), "unknown_status"),
            (("is_deleted", "true"), "deleted"),
            (("configuration", "{"), "unreadable_json"),
            (("configuration", r#"{"topic": "\ud800"}"#), "unreadable_json"),
            (("configuration", deep.as_str()), "unreadable_json"),
            (("configuration", "[]"), "wrong_type"),
            (("configuration", r#"{"topic": 7}"#), "wrong_type"),
            (("configuration", r#"{"topic": "a", "tags": "b"}"#), "wrong_type"),
            (("configuration", r#"{"topic": "a", "tags": [1]}"#), "wrong_type"),
            (("configuration", r#"{"topic": "a", "use_rag": "yes"}"#), "wrong_type"),
            (("configuration", r#"{"topic": "\u0000"}"#), "missing"),
            (("configuration", long.as_str()), "too_large"),
            (("progress", "7"), "wrong_type"),
            (("error", "{"), "unreadable_json"),
            (("created_at", "soon"), "unreadable_time"),
            (("created_at", "9999-01-01T00:00:00"), "unreadable_time"),
            (("completed_at", "1900-01-01T00:00:00"), "unreadable_time"),
        ] {
            assert_eq!(skip(&[more]), reason, "{more:?}");
        }
    }

    /// Whatever stands in a field: it is read, and can be recorded, or there is a reason.
    #[test]
    fn no_value_of_a_field_is_met_unprepared() {
        let texts = [
            "",
            " ",
            "\0",
            "\u{202e}\u{1b}[2J",
            "null",
            "{}",
            "[]",
            "[[]]",
            "{\"topic\": null}",
            "1e999",
            "-0",
            "true",
            "\"\"",
            "{\"topic\": \"a\", \"tags\": [null]}",
            "{\"current_stage\": {}}",
            "{\"error_code\": [], \"message\": {}}",
            "9999-12-31T23:59:60Z",
            "2025-02-30T00:00:00",
            "+262142-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "../..",
            "🙂",
            "{\"topic\": \"a\", \"topic\": \"b\"}",
        ];
        let long = "x".repeat(100_000);
        let mut read_ones = 0;
        for field in crate::import::source::JOB_FIELDS {
            for text in texts.iter().copied().chain([long.as_str()]) {
                for status in ["completed", "failed", "queued", "cancelled"] {
                    let fields = fields(&[("status", status), (field, text)]);
                    let Ok(job) = read(&fields, now()) else { continue };
                    let _none_or_some = (video_places(&fields, &fields), other_places(&fields));
                    let imported = JobImported {
                        user_id: job.user_id,
                        request: job.request.into(),
                        source_id: None,
                        requested_at: job.requested_at,
                        started_at: job.started_at,
                        ended_at: job.ended_at,
                        ending: match job.ending {
                            Ending::Failed { stage, error } => ImportedEnding::Failed { stage, error },
                            _ => ImportedEnding::Cancelled { stage: job.stage },
                        },
                    };
                    let event = JobEvent::JobImported(imported.clone().into());
                    assert!(upcast::encode(&event).is_ok(), "{field}: {text:?}");
                    let decided = decide(&Job::default(), Command::Import(imported.into()));
                    assert_eq!(decided.unwrap().len(), 1, "{field}: {text:?}");
                    read_ones += 1;
                }
            }
        }
        assert!(read_ones > 500, "{read_ones}");
    }
}
