//! Checks that this installation offers what a request asks for.

use super::ApiState;
use super::problem::{FieldError, Problem};
use crate::config::{MediaConfig, ModelsConfig, VoiceConfig, WebhookConfig};
use crate::events::VideoRequest;
use crate::storage::StorageMode;
use crate::webhooks::target;

/// The features of this installation that a request may ask for.
pub struct Available<'a> {
    pub webhooks: &'a WebhookConfig,
    pub storage: StorageMode,
    pub models: &'a ModelsConfig,
    pub media: &'a MediaConfig,
}

impl<'a> Available<'a> {
    pub fn of(state: &'a ApiState) -> Self {
        Self {
            webhooks: &state.webhooks,
            storage: state.stores.mode,
            models: &state.models,
            media: &state.media,
        }
    }
}

impl Available<'_> {
    pub fn check(&self, request: &VideoRequest) -> Result<(), Problem> {
        let faults = self.faults(request, &["body"]);
        if faults.is_empty() { Ok(()) } else { Err(Problem::validation(faults)) }
    }

    /// Does the same for the jobs of a batch; names every one that is at fault.
    pub fn check_batch(&self, jobs: &[VideoRequest]) -> Result<(), Problem> {
        let of_job = |(index, request): (usize, &VideoRequest)| {
            self.faults(request, &["body", "jobs", &index.to_string()])
        };
        let faults: Vec<FieldError> = jobs.iter().enumerate().flat_map(of_job).collect();
        if faults.is_empty() { Ok(()) } else { Err(Problem::validation(faults)) }
    }

    fn faults(&self, request: &VideoRequest, place: &[&str]) -> Vec<FieldError> {
        let faults = [
            self.callback_fault(request, place),
            self.storage_fault(request, place),
            self.model_fault(request, place),
            self.strict_fault(request, place),
            self.voice_fault(request, place),
        ];
        faults.into_iter().flatten().collect()
    }

    /// Without models, a name has no effect, as clients of earlier versions know it.
    fn model_fault(&self, request: &VideoRequest, place: &[&str]) -> Option<FieldError> {
        let name = request.model.as_deref().filter(|_| self.models.models.is_some())?;
        if self.models.allowed(name).is_some() {
            return None;
        }
        let allowed: Vec<String> = self.models.allowed.iter().map(ToString::to_string).collect();
        let msg = match &allowed[..] {
            [] => "names a model, but requests may name none here: leave it out".to_owned(),
            _ => format!("is no model that a request may name here; these are {}", allowed.join(", ")),
        };
        Some(fault(place, &["model"], msg, "not_allowed"))
    }

    fn strict_fault(&self, request: &VideoRequest, place: &[&str]) -> Option<FieldError> {
        if !request.strict || self.models.models.is_some() || has_animation(request) {
            return None;
        }
        let msg = "is true, but no language model is configured here (PLANNER_MODEL), and there is no animation: leave it out";
        Some(fault(place, &["custom_config", "strict"], msg.to_owned(), "not_available"))
    }

    fn voice_fault(&self, request: &VideoRequest, place: &[&str]) -> Option<FieldError> {
        let name = request.voice.as_deref()?;
        if self.media.voices().any(|voice| voice.is_named(name)) {
            return None;
        }
        let mut names: Vec<&str> = vec![];
        for voice in self.media.voices() {
            let name = if matches!(voice, VoiceConfig::Kokoro { .. }) { "kokoro:NAME" } else { voice.name() };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let msg = format!("is no voice that a request may name here; these are {}", names.join(", "));
        Some(fault(place, &["custom_config", "voice"], msg, "not_available"))
    }

    /// A receiver that will never be asked. What its name resolves to is checked when a message is sent.
    fn callback_fault(&self, request: &VideoRequest, place: &[&str]) -> Option<FieldError> {
        let url = request.callback_url.as_deref()?;
        let of = |msg: String, kind: &str| fault(place, &["callback_url"], msg, kind);
        if self.webhooks.secret.is_none() {
            let msg = "is not available here: no WEBHOOK_SECRET is configured".to_owned();
            return Some(of(msg, "not_available"));
        }
        let checked = target::parse(url).and_then(|url| self.webhooks.policy.check(&url));
        checked.err().map(|unfit| of(unfit.to_string(), unfit.kind()))
    }

    fn storage_fault(&self, request: &VideoRequest, place: &[&str]) -> Option<FieldError> {
        let msg = match (request.s3_upload_enabled?, self.storage) {
            (true, StorageMode::Local) => {
                "is true, but no S3 is configured here: leave it out, or say false, and videos are stored locally"
            }
            (false, StorageMode::S3) => {
                "is false, but videos are stored in S3 alone here: leave it out, or say true"
            }
            (true, StorageMode::S3 | StorageMode::LocalAndS3)
            | (false, StorageMode::Local | StorageMode::LocalAndS3) => return None,
        };
        Some(fault(place, &["custom_config", "s3_upload_enabled"], msg.to_owned(), "not_available"))
    }
}

fn fault(place: &[&str], field: &[&str], msg: String, kind: &str) -> FieldError {
    let loc = place.iter().chain(field).map(|name| (*name).to_owned()).collect();
    FieldError { loc, msg, r#type: kind.to_owned() }
}

/// Returns `true` for a request with code for Manim, or with a scene that it draws.
fn has_animation(request: &VideoRequest) -> bool {
    let scenes = request.scenes.iter().flatten();
    let script = request.script.as_deref().unwrap_or_default();
    script.contains("```manim") || scenes.into_iter().any(|scene| scene.manim().is_some())
}
