//! Whether a request's `callback_url` may be asked in this installation.

use super::problem::{FieldError, Problem};
use crate::config::WebhookConfig;
use crate::events::VideoRequest;
use crate::webhooks::target;

/// Refuses a receiver that will never be asked. What its name resolves to is checked when a message is sent.
pub fn check(request: &VideoRequest, config: &WebhookConfig) -> Result<(), Problem> {
    fault(request, config).map_or(Ok(()), |fault| Err(Problem::validation(vec![fault])))
}

fn fault(request: &VideoRequest, config: &WebhookConfig) -> Option<FieldError> {
    let url = request.callback_url.as_deref()?;
    let of = |msg: String, kind: &str| FieldError {
        loc: vec!["body".to_owned(), "callback_url".to_owned()],
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
