//! Checks that a request's `callback_url` may be asked in this installation.

use super::problem::{FieldError, Problem};
use crate::config::WebhookConfig;
use crate::events::VideoRequest;
use crate::webhooks::target;

/// Refuses a receiver that will never be asked. What its name resolves to is checked when a message is sent.
pub fn check(request: &VideoRequest, config: &WebhookConfig) -> Result<(), Problem> {
    fault(request, config, &["body"]).map_or(Ok(()), |fault| Err(Problem::validation(vec![fault])))
}

/// Does the same for the jobs of a batch; names every one that is at fault.
pub fn check_batch(jobs: &[VideoRequest], config: &WebhookConfig) -> Result<(), Problem> {
    let fault = |(index, request): (usize, &VideoRequest)| {
        fault(request, config, &["body", "jobs", &index.to_string()])
    };
    let faults: Vec<FieldError> = jobs.iter().enumerate().filter_map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::validation(faults)) }
}

fn fault(request: &VideoRequest, config: &WebhookConfig, place: &[&str]) -> Option<FieldError> {
    let url = request.callback_url.as_deref()?;
    let of = |msg: String, kind: &str| FieldError {
        loc: place.iter().copied().chain(["callback_url"]).map(str::to_owned).collect(),
        msg,
        r#type: kind.to_owned(),
    };
    if config.secret.is_none() {
        return Some(of(
            "is not available here: no WEBHOOK_SECRET is configured".to_owned(),
            "not_available",
        ));
    }
    let checked = target::parse(url).and_then(|url| config.policy.check(&url));
    checked.err().map(|unfit| of(unfit.to_string(), unfit.kind()))
}
