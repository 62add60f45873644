//! The registry of error codes: the stable, upper-case names that clients branch on.
//!
//! A code stands in the `error_code` of an HTTP answer, in the failure of a stage, or in a warning of a job. Each is
//! a variant here, with its meaning, what the reader can do, and the files that raise it. `reel errors` prints the
//! registry as Markdown, which is `docs/ERRORS.md`.

use std::fmt::Write;

use strum::{IntoStaticStr, VariantArray};

/// A code; its text is the variant's name in upper case, such as `DISK_FULL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    VideoExpired,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    PreconditionFailed,
    PayloadTooLarge,
    QuotaExceeded,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    ValidationError,
    MaliciousContent,
    IdempotencyKeyReused,
    RateLimitExceeded,
    Overloaded,
    ServiceUnavailable,
    InternalError,
    JobUnreadable,
    UploadGone,
    UploadUnreadable,
    NothingToSay,
    ModelFailed,
    ModelUnavailable,
    ModelLimitReached,
    DurationOutOfReach,
    NarrationFailed,
    NarrationLost,
    AnimationFailed,
    TypesettingFailed,
    RenderingFailed,
    CombiningFailed,
    ThumbnailFailed,
    CaptionsFailed,
    StreamFailed,
    VideoUnreadable,
    VideoMismatch,
    StorageFailed,
    UploadFailed,
    ArtifactLost,
    WorkspaceUnavailable,
    DiskFull,
    StageTimeout,
    WorkerLost,
    IncompleteHistory,
    ImportedFailure,
    ImportedUnfinished,
    RehearsedFailure,
    PlannedByRules,
    RetrievalUnavailable,
    ScriptShortened,
    PictureNotShown,
    FormulaAsSource,
    DiagramAsSource,
    AnimationNotDrawn,
    NoLogo,
    NoMusic,
    VoiceUnavailable,
}

/// Where a code is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appearance {
    /// In the body of an HTTP answer with this status.
    Answer(u16),
    /// In `StageFailed` and `JobFailed`, and in a job's `error`; says whether the stage is tried again.
    Failure { is_retried: bool },
    /// In `WarningRaised`, and in a job's log lines.
    Warning,
}

/// What the registry says about a code.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub appearances: &'static [Appearance],
    pub meaning: &'static str,
    /// What whoever meets the code can do.
    pub remedy: &'static str,
    /// Source files that raise it, relative to the repository.
    pub raised_in: &'static [&'static str],
}

const PROBLEM: &str = "src/api/problem.rs";
const RECEPTION: &str = "src/api/uploads/reception.rs";
const REFUSALS: &str = "src/api/uploads/refusals.rs";
const SLOTS: &str = "src/api/uploads/slots.rs";
const RETRIED: &[Appearance] = &[Appearance::Failure { is_retried: true }];
const FINAL: &[Appearance] = &[Appearance::Failure { is_retried: false }];

impl ErrorCode {
    /// Returns `true` for the code of an error of this program, which only its developers can mend.
    pub fn is_fault_of_ours(code: &str) -> bool {
        code == Self::InternalError.name()
    }

    /// All codes, in the order of `docs/ERRORS.md`.
    pub const ALL: &'static [ErrorCode] = Self::VARIANTS;

    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The HTTP status of an answer with this code; 500 for a code that no answer has.
    pub fn http_status(self) -> u16 {
        let status = self.entry().appearances.iter().find_map(|appearance| match appearance {
            Appearance::Answer(status) => Some(*status),
            Appearance::Failure { .. } | Appearance::Warning => None,
        });
        status.unwrap_or(500)
    }

    pub fn entry(self) -> Entry {
        use Appearance::{Answer, Failure, Warning};
        let entry =
            |appearances, meaning, remedy, raised_in| Entry { appearances, meaning, remedy, raised_in };
        match self {
            Self::BadRequest => entry(
                &[Answer(400)],
                "The request cannot be read: its JSON is malformed, its body is incomplete, or a header is not valid.",
                "Correct the request; the message says what cannot be read.",
                &[PROBLEM],
            ),
            Self::Unauthorized => entry(
                &[Answer(401)],
                "The session token is missing, expired, not valid yet, or not from the configured issuer.",
                "Sign in again and send the new token as `Authorization: Bearer <token>`.",
                &[PROBLEM],
            ),
            Self::Forbidden => entry(
                &[Answer(403)],
                "The caller's role may not call this endpoint.",
                "Use an account with the role that the message names.",
                &[PROBLEM],
            ),
            Self::NotFound => entry(
                &[Answer(404)],
                "The path, the job or the file does not exist, or the job belongs to another user.",
                "Check the path and the id. A file can also have been removed after its retention.",
                &[PROBLEM],
            ),
            Self::VideoExpired => entry(
                &[Answer(410)],
                "The video is older than `retention.video_hours`, and its files are removed. What the job was stays on record.",
                "Generate the video again.",
                &["src/api/files.rs"],
            ),
            Self::MethodNotAllowed => entry(
                &[Answer(405)],
                "The path exists, but not with this method.",
                "Use the method that `openapi.json` lists for the path.",
                &[PROBLEM],
            ),
            Self::RequestTimeout => entry(
                &[Answer(408)],
                "The body of the request stood still, or took too long altogether.",
                "Send the request again, all of it at once.",
                &["src/api/body.rs", REFUSALS, PROBLEM],
            ),
            Self::Conflict => entry(
                &[Answer(409)],
                "The job's current state does not allow the request: it has ended already, or its video is not ready.",
                "Read the job's status; `details` holds it. Repeat the request when the state allows it.",
                &[PROBLEM],
            ),
            Self::PreconditionFailed => entry(
                &[Answer(412)],
                "What `If-Match` names is not what is there any more: a file was replaced, or a configuration is at another version.",
                "Read it again, and begin again with the `ETag` of what was read.",
                &["src/api/configurations.rs", "src/api/files.rs"],
            ),
            Self::PayloadTooLarge => entry(
                &[Answer(413)],
                "The body, or an uploaded file, is larger than the API accepts, or a picture has too many pixels.",
                "Send less; the message gives the limit.",
                &["src/api/body.rs", RECEPTION, REFUSALS, PROBLEM],
            ),
            Self::QuotaExceeded => entry(
                &[Answer(413)],
                "The user keeps as many uploads, or as many bytes of them, as one user may. `details` has the figures.",
                "Delete uploads that are not needed any more, then send these again.",
                &[REFUSALS],
            ),
            Self::UnsupportedMediaType => entry(
                &[Answer(415)],
                "The body is of another type than the endpoint takes, or an uploaded file is of a type that is not taken.",
                "Send the type that the message names; for files, `details` lists the allowed ones.",
                &["src/api/body.rs", "src/api/uploads/mod.rs", REFUSALS, PROBLEM],
            ),
            Self::RangeNotSatisfiable => entry(
                &[Answer(416)],
                "The requested byte range lies outside the file.",
                "Request a range within the size that `Content-Range` gives.",
                &["src/api/files.rs", PROBLEM],
            ),
            Self::ValidationError => entry(
                &[Answer(422)],
                "One or more fields or query parameters are not valid.",
                "Correct each field in `details`: `loc` says where it is, `msg` what is expected.",
                &[PROBLEM],
            ),
            Self::MaliciousContent => entry(
                &[Answer(422)],
                "An uploaded file holds what a scanner for malicious content knows, or an SVG with a document type or entities.",
                "Do not send the file. If it is a drawing of your own, save it without a DOCTYPE.",
                &[REFUSALS],
            ),
            Self::IdempotencyKeyReused => entry(
                &[Answer(422)],
                "The `Idempotency-Key` was already used with another body.",
                "Use a new key for a new request.",
                &["src/api/generate.rs"],
            ),
            Self::RateLimitExceeded => entry(
                &[Answer(429)],
                "The address or the user sends more requests than `rate_limits` in `streams.toml` allows, or the user has as much open as one user may: jobs, urgent jobs, bytes of requests, live connections, tickets, or uploads that are being sent. `details` or the message names the limit.",
                "Wait for the seconds in `Retry-After`, or cancel a job, then repeat the request.",
                &["src/api/admission.rs", SLOTS, PROBLEM, "src/api/rate_limit.rs"],
            ),
            Self::Overloaded => entry(
                &[Answer(503)],
                "As much is open as `limits.open_jobs` or `limits.open_requests_mib` in `streams.toml` allows, or as many uploads are being sent as one process takes.",
                "Wait for the seconds in `Retry-After`, then repeat the request. Operators can add workers.",
                &["src/api/admission.rs", SLOTS],
            ),
            Self::ServiceUnavailable => entry(
                &[Answer(503)],
                "Redis, PostgreSQL or the issuer of session tokens does not answer at the moment, or operators accept no new jobs until those that are open are finished. The message says which.",
                "Repeat the request after `Retry-After`, with the same `Idempotency-Key`. `/system/health` says what is down, and why new jobs are not accepted.",
                &[PROBLEM],
            ),
            Self::InternalError => entry(
                &[Answer(500), Failure { is_retried: false }],
                "Reelstream met a defect of its own. The process's log has the cause.",
                "Report it with the `request_id` or the job's id.",
                &[PROBLEM, "src/consumers/attempt.rs", "src/consumers/task.rs"],
            ),
            Self::JobUnreadable => entry(
                &[Answer(500)],
                "An event of the job cannot be read by this version. Other jobs are not affected.",
                "Tell an operator: `reel projections list` says why, `reel projections close` ends the job.",
                &[PROBLEM],
            ),
            Self::UploadGone => entry(
                FINAL,
                "An uploaded file that the request refers to was deleted before the job needed it.",
                "Upload the file again, and send the request with its new id.",
                &["src/consumers/uploaded.rs"],
            ),
            Self::UploadUnreadable => entry(
                &[Failure { is_retried: true }, Warning],
                "The text of an uploaded PDF is left out: it has none, needs a password, or takes too much time or memory. As a failure: the worker cannot confine the process that reads it.",
                "Upload the text itself. Operators: PDFs are read where Linux has seccomp.",
                &["src/consumers/planning.rs", "src/consumers/uploaded.rs"],
            ),
            Self::NothingToSay => entry(
                FINAL,
                "The script has no sentence that can be spoken.",
                "Give a script with at least one sentence.",
                &["src/consumers/planning.rs"],
            ),
            Self::ModelFailed => entry(
                FINAL,
                "The language model gave no usable plan, and the job cannot be planned by rules: it asks for `strict`, or has a topic alone.",
                "Generate the video again, leave `strict` out, or give a script or a context. Operators: `ModelCalled` in the job's history says how each call ended; docs/AGENTS.md has the set-up.",
                &["src/consumers/model_planner.rs"],
            ),
            Self::ModelUnavailable => entry(
                RETRIED,
                "The language model did not answer, and the job cannot be planned by rules: it asks for `strict`, or has a topic alone.",
                "Generate the video again later, leave `strict` out, or give a script or a context. Operators: `ModelCalled` in the job's history says how each call ended.",
                &["src/consumers/model_planner.rs"],
            ),
            Self::ModelLimitReached => entry(
                FINAL,
                "Another call of the language model could exceed the tokens or the cost that a job, or a user in a day, may use, and the job cannot be planned by rules.",
                "Try again tomorrow, or leave `strict` out. Operators: raise `MODEL_JOB_TOKENS`, `MODEL_JOB_CENTS`, `MODEL_DAY_TOKENS` or `MODEL_DAY_CENTS`.",
                &["src/consumers/model_planner.rs"],
            ),
            Self::DurationOutOfReach => entry(
                FINAL,
                "The narration cannot be made as long or as short as the requested duration.",
                "Request another duration, or give a longer or shorter script.",
                &["src/consumers/scenario_creation.rs"],
            ),
            Self::NarrationFailed => entry(
                RETRIED,
                "The voice failed to speak a line, or the recording could not be written.",
                "Operators: install the voice on the workers, or choose another one with `REEL_VOICE`.",
                &["src/consumers/scenario_creation.rs"],
            ),
            Self::NarrationLost => entry(
                RETRIED,
                "The recorded narration of a scene is no longer readable in the job's folder.",
                "Operators: check that all workers see the same `MEDIA_ROOT`; then reprocess from `scenario_creation`.",
                &["src/consumers/rendering.rs"],
            ),
            Self::AnimationFailed => entry(
                FINAL,
                "An animation cannot be drawn by Manim, and the job asks for `strict`.",
                "Correct the code where the message says so, use a template, or leave `strict` out: then a page stands for the animation. Operators: scripts/setup-manim installs Manim and its sandbox; docs/MANIM.md.",
                &["src/consumers/animations.rs"],
            ),
            Self::TypesettingFailed => entry(
                FINAL,
                "A scene cannot be laid out.",
                "Simplify the part of the script that the scene shows, then generate the video again.",
                &["src/consumers/rendering.rs"],
            ),
            Self::RenderingFailed => entry(
                RETRIED,
                "A scene cannot be encoded.",
                "Operators: the worker's log has the encoder's error; reprocess the job once the cause is gone.",
                &["src/consumers/rendering.rs"],
            ),
            Self::CombiningFailed => entry(
                RETRIED,
                "The scenes cannot be joined into one file.",
                "Operators: the worker's log has the cause; reprocess the job once it is gone.",
                &["src/consumers/combining.rs"],
            ),
            Self::ThumbnailFailed => entry(
                &[Warning],
                "The video is ready, but its thumbnails were not made or stored.",
                "Nothing: they are made later, and the warning goes. Operators: the worker's log has the cause.",
                &["src/consumers/combining.rs", "src/consumers/sidecars.rs"],
            ),
            Self::CaptionsFailed => entry(
                &[Warning],
                "The video is ready, but its captions were not stored.",
                "Nothing: they are stored later, and the warning goes. Operators: the worker's log has the cause.",
                &["src/consumers/sidecars.rs"],
            ),
            Self::StreamFailed => entry(
                &[Warning],
                "Scenes were not made or stored for HTTP Live Streaming. The video can be downloaded and streamed as a whole.",
                "Nothing: the stream is made later from the video, and the warning goes. Operators: the worker's log has the cause.",
                &["src/consumers/sidecars.rs"],
            ),
            Self::VideoUnreadable => entry(
                RETRIED,
                "The finished file cannot be read back or decoded.",
                "Operators: check the disk that holds `MEDIA_ROOT`, then reprocess from `rendering`.",
                &["src/consumers/storage.rs"],
            ),
            Self::VideoMismatch => entry(
                RETRIED,
                "The finished file differs from the plan, in its duration, size, pictures or sound.",
                "Operators: the message lists the differences; report them if a reprocess gives them again.",
                &["src/consumers/storage.rs"],
            ),
            Self::StorageFailed => entry(
                RETRIED,
                "The video, its captions or its playlists cannot be stored, or an uploaded file cannot be read.",
                "Operators: check that the workers may write to `MEDIA_ROOT`.",
                &[
                    "src/consumers/artifacts.rs",
                    "src/consumers/sidecars.rs",
                    "src/consumers/storage.rs",
                    "src/consumers/upload.rs",
                    "src/consumers/uploaded.rs",
                ],
            ),
            Self::UploadFailed => entry(
                FINAL,
                "S3 does not take the files of the video; each upload was tried again three times, unless S3 refuses it.",
                "Operators: the message says what S3 answers. Check S3 and its settings, then reprocess the job: what was \
                 made is kept for a day.",
                &["src/consumers/upload.rs"],
            ),
            Self::ArtifactLost => entry(
                RETRIED,
                "A file that an earlier stage made is neither on this machine nor in the storage.",
                "Reprocess the job from `scenario_creation`.",
                &["src/consumers/artifacts.rs"],
            ),
            Self::WorkspaceUnavailable => entry(
                RETRIED,
                "The job's folder under `MEDIA_ROOT` cannot be created.",
                "Operators: check that the workers may write to `MEDIA_ROOT`.",
                &["src/consumers/initializing.rs"],
            ),
            Self::DiskFull => entry(
                RETRIED,
                "The disk that holds `MEDIA_ROOT` is full.",
                "Operators: free some space, or give `MEDIA_ROOT` a larger disk; then generate the video again.",
                &["src/consumers/attempt.rs", "src/consumers/error.rs"],
            ),
            Self::StageTimeout => entry(
                RETRIED,
                "A stage took longer than its `timeout_seconds` in `streams.toml`.",
                "Use a shorter script or a lower quality. Operators can raise the timeout.",
                &["src/consumers/attempt.rs"],
            ),
            Self::WorkerLost => entry(
                RETRIED,
                "The worker stopped in the middle of its work, and its lease ran out; or it could not start a thread.",
                "Nothing, while attempts are left. Operators: see why the worker died, often for lack of memory.",
                &["src/consumers/takeover.rs", "src/consumers/task.rs"],
            ),
            Self::IncompleteHistory => entry(
                FINAL,
                "The job's history lacks the result of an earlier stage.",
                "Operators: verify the history with `reel audit verify JOB_ID`; then reprocess from an earlier stage.",
                &["src/consumers/error.rs"],
            ),
            Self::ImportedFailure => entry(
                FINAL,
                "The job failed in the system that it was imported from, which gives no code of its own.",
                "Read the message; then request the video again, or have an operator reprocess the job.",
                &["src/import/job.rs"],
            ),
            Self::ImportedUnfinished => entry(
                FINAL,
                "The job had not ended in the system that it was imported from.",
                "Request the video again, or have an operator reprocess the job.",
                &["src/import/job.rs"],
            ),
            Self::RehearsedFailure => entry(
                RETRIED,
                "A rehearsed stage of the benchmarks or the crash suite failed on purpose.",
                "Nothing: production builds have no rehearsed stages.",
                &["src/consumers/rehearsal.rs"],
            ),
            Self::PlannedByRules => entry(
                &[Warning],
                "The language model gave no usable plan, so the scenes were made of the script or the context by rules.",
                "Ask for `strict` in `custom_config` to let the job fail instead. Operators: `ModelCalled` in the job's history says how each call ended.",
                &["src/consumers/model_planner.rs"],
            ),
            Self::RetrievalUnavailable => entry(
                &[Warning],
                "Retrieval is wanted (`use_rag`), and nothing was looked up in the shared index: it is missing, damaged or built for another version, or no language model is configured. The video is planned without it.",
                "Nothing needs to be done for this video. Operators: `reel rag build` builds the index; see docs/AGENTS.md.",
                &["src/consumers/retrieval.rs"],
            ),
            Self::VoiceUnavailable => entry(
                &[Warning],
                "The request names a voice (`custom_config.voice`) that the worker does not have, so its usual voice speaks.",
                "Generate the video again later. Operators: `REEL_VOICES` must be the same for the API and all workers.",
                &["src/consumers/voices.rs"],
            ),
            Self::ScriptShortened => entry(
                &[Warning],
                "The script is longer than the requested duration allows, so the planner left sentences out, or uploaded texts are longer than a script may be.",
                "Request a longer duration, or give a shorter script.",
                &["src/consumers/planning.rs"],
            ),
            Self::PictureNotShown => entry(
                &[Warning],
                "An uploaded picture is in no scene: it is neither PNG nor JPEG, or every page that can show one has one already.",
                "Upload it as PNG or JPEG, give fewer pictures or a longer script, or say in `scenes` where it stands.",
                &["src/consumers/planning.rs"],
            ),
            Self::FormulaAsSource => entry(
                &[Warning],
                "A formula's LaTeX cannot be read, so the scene shows it as it is written.",
                "Correct the formula.",
                &["src/consumers/code_generation.rs"],
            ),
            Self::DiagramAsSource => entry(
                &[Warning],
                "A diagram cannot be read, or does not fit a page in type that can be read, so the scene shows its source.",
                "Correct the diagram, or divide it. docs/SCENES.md says what of Mermaid and DOT is read.",
                &["src/consumers/code_generation.rs"],
            ),
            Self::AnimationNotDrawn => entry(
                &[Warning],
                "An animation cannot be drawn by Manim, so a page stands for it: Manim or its sandbox is not there, or the code fails after all corrections.",
                "Correct the code: `GET /videos/jobs/{job_id}/scenes` shows each attempt with its error. Operators: scripts/setup-manim installs Manim and its sandbox; docs/MANIM.md.",
                &["src/consumers/animations.rs"],
            ),
            Self::NoLogo => entry(
                &[Warning],
                "`LOGO_ROOT` has no usable logo of the requested name, so the scene has none.",
                "Request a logo that exists. Operators: put it into `LOGO_ROOT`.",
                &["src/consumers/code_generation.rs"],
            ),
            Self::NoMusic => entry(
                &[Warning],
                "`MUSIC_ROOT` has no usable piece of the requested name, so the video has no music.",
                "Request a piece that exists. Operators: put it into `MUSIC_ROOT`.",
                &["src/consumers/scenario_creation.rs"],
            ),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

const HEAD: &str = "# Error codes

Generated from `src/error_codes.rs` by `cargo run -- errors > docs/ERRORS.md`; a test compares both. Codes are stable:
branch on them, not on messages.
";

/// The registry as Markdown, one table for each kind of appearance.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Answers of the API\n\nEvery error answer has the shape `{\"error\": {\"message\", \"error_code\", \"details\", \"timestamp\", \"path\",\n\"request_id\"}}`.\n\n");
    table(&mut text, "status", |appearance| match appearance {
        Appearance::Answer(status) => Some(status.to_string()),
        Appearance::Failure { .. } | Appearance::Warning => None,
    });
    text.push_str("\n## Failures of a job\n\nA stage that fails with a retried code is tried again, up to `attempts` in `streams.toml`; then the job fails.\n\n");
    table(&mut text, "retried", |appearance| match appearance {
        Appearance::Failure { is_retried } => Some(if is_retried { "yes" } else { "no" }.to_owned()),
        Appearance::Answer(_) | Appearance::Warning => None,
    });
    text.push_str(
        "\n## Warnings of a job\n\nThe video is made, but not in every detail as it was requested.\n\n",
    );
    table(&mut text, "job goes on", |appearance| match appearance {
        Appearance::Warning => Some("yes".to_owned()),
        Appearance::Answer(_) | Appearance::Failure { .. } => None,
    });
    text
}

/// Appends a table of the codes for which `column` gives a text.
fn table(text: &mut String, heading: &str, column: impl Fn(Appearance) -> Option<String>) {
    let _ = writeln!(text, "| code | {heading} | meaning | what you can do | raised in |");
    let _ = writeln!(text, "| --- | --- | --- | --- | --- |");
    for code in ErrorCode::ALL {
        let Entry { appearances, meaning, remedy, raised_in } = code.entry();
        let files: Vec<String> = raised_in.iter().map(|file| format!("`{file}`")).collect();
        for cell in appearances.iter().copied().filter_map(&column) {
            let _ = writeln!(text, "| `{code}` | {cell} | {meaning} | {remedy} | {} |", files.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    /// The sources under `src`, without their tests.
    fn sources(folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            // The OpenAPI document gives examples of codes, and raises none.
            if path.is_dir() && name != "src/api/openapi" {
                sources(&path, found);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "src/error_codes.rs" {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(name, text.split("#[cfg(test)]\nmod").next().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn the_committed_page_is_the_registry() {
        let committed = std::fs::read_to_string(root().join("docs/ERRORS.md")).unwrap();
        assert!(
            committed == markdown(),
            "docs/ERRORS.md is out of date; run: cargo run -- errors > docs/ERRORS.md"
        );
    }

    #[test]
    fn every_code_is_raised_where_its_entry_says_and_nowhere_else() {
        let mut files = BTreeMap::new();
        sources(&root().join("src"), &mut files);
        assert!(files.len() > 50, "the sources were found");
        for code in ErrorCode::ALL {
            let used = format!("ErrorCode::{code:?}");
            let raises = |text: &str| {
                text.match_indices(&used)
                    .any(|(at, _)| !text[at + used.len()..].starts_with(|next: char| next.is_alphanumeric()))
            };
            let raised: BTreeSet<&str> =
                files.iter().filter(|(_, text)| raises(text)).map(|(name, _)| name.as_str()).collect();
            let declared: BTreeSet<&str> = code.entry().raised_in.iter().copied().collect();
            assert_eq!(raised, declared, "{code}");
            let literal = format!("\"{code}\"");
            for (name, text) in &files {
                assert!(!text.contains(&literal), "{name} spells {code} out; use {used}");
            }
        }
    }

    #[test]
    fn stages_retry_what_the_registry_says_is_retried() {
        let mut files = BTreeMap::new();
        sources(&root().join("src/consumers"), &mut files);
        let mut found = 0;
        for (name, text) in &files {
            for (constructor, is_retried) in [("::terminal(", false), ("::retryable(", true)] {
                for call in text.split(constructor).skip(1) {
                    let Some(rest) = call.trim_start().strip_prefix("ErrorCode::") else { continue };
                    let variant = rest.split(|next: char| !next.is_alphanumeric()).next().unwrap();
                    let code = ErrorCode::ALL.iter().find(|code| format!("{code:?}") == variant).unwrap();
                    let appearance = Appearance::Failure { is_retried };
                    assert!(code.entry().appearances.contains(&appearance), "{name}: {code}");
                    found += 1;
                }
            }
        }
        assert!(found > 15, "the calls were found: {found}");
    }

    #[test]
    fn every_code_has_a_use_and_two_sentences_of_help() {
        let mut names = BTreeSet::new();
        for code in ErrorCode::ALL {
            let Entry { appearances, meaning, remedy, raised_in } = code.entry();
            assert!(names.insert(code.name()), "{code} is there twice");
            assert!(!appearances.is_empty() && !raised_in.is_empty(), "{code}");
            for sentence in [meaning, remedy] {
                assert!(sentence.ends_with('.') && !sentence.contains('|'), "{code}: {sentence}");
            }
        }
    }
}
