//! The ids of a request: one for the client and the logs, one for the log of events.

use salvo::http::header::{HeaderName, HeaderValue};
use salvo::prelude::*;
use tracing::Instrument;
use uuid::Uuid;

const MAX_REQUEST_ID_BYTES: usize = 128;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the client's `X-Request-Id`, or makes one; it is in the answer, in errors and in the lines of the log.
///
/// Events are kept for ever, so the words of a client must not get into them: their `correlation_id` is the client's
/// id where that is a UUID, and one of our own otherwise. The lines of the log have both.
pub struct RequestId;

#[derive(Clone)]
struct RequestIds {
    request: String,
    correlation: Uuid,
}

impl RequestIds {
    fn new(given: Option<&str>) -> Self {
        let is_fit = |id: &&str| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match given.filter(is_fit) {
            Some(id) => {
                Self { request: id.to_owned(), correlation: id.parse().unwrap_or_else(|_| Uuid::now_v7()) }
            }
            None => {
                let id = Uuid::now_v7();
                Self { request: id.to_string(), correlation: id }
            }
        }
    }
}

#[handler]
impl RequestId {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let given = req.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let ids = RequestIds::new(given);
        if let Ok(value) = HeaderValue::from_str(&ids.request) {
            res.headers_mut().insert(X_REQUEST_ID.clone(), value);
        }
        let span =
            tracing::info_span!("request", request_id = ids.request, correlation_id = %ids.correlation);
        depot.insert_typed(ids);
        ctrl.call_next(req, depot, res).instrument(span).await;
    }
}

pub fn request_id(depot: &Depot) -> String {
    depot.get_typed::<RequestIds>().map(|ids| ids.request.clone()).unwrap_or_default()
}

/// The id that ties events to this request.
pub fn correlation_id(depot: &Depot) -> String {
    depot.get_typed::<RequestIds>().map(|ids| ids.correlation.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // M5
    #[test]
    fn only_a_uuid_of_the_client_enters_events() {
        let uuid = Uuid::new_v4();
        let ids = RequestIds::new(Some(&uuid.to_string()));
        assert_eq!((ids.request, ids.correlation), (uuid.to_string(), uuid));
        let ids = RequestIds::new(Some("Anna's-request"));
        assert_eq!(ids.request, "Anna's-request");
        assert_eq!(ids.correlation.get_version_num(), 7);
        for unfit in ["", "two words", "line\nbreak", &"x".repeat(129)] {
            let ids = RequestIds::new(Some(unfit));
            assert_eq!(ids.request, ids.correlation.to_string());
        }
    }
}
