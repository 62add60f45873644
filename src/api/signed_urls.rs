//! URLs of files in S3 that need no token, in answers.

use std::collections::BTreeMap;

use super::ApiState;
use crate::events::Rendition;
use crate::events::job::StoredFile;
use crate::storage::{Delivery, Key, SignedAnswer};
use crate::telemetry::chain;

/// Returns the signed URL of each video, by its quality such as `720p`; none where clients get files from the API, or where
/// S3 does not have them.
pub async fn of_videos(state: &ApiState, videos: &[(Rendition, &StoredFile)]) -> BTreeMap<String, String> {
    let Delivery::Redirect { url_life } = state.stores.delivery else { return BTreeMap::new() };
    let mut urls = BTreeMap::new();
    for (rendition, file) in videos {
        let answer = SignedAnswer {
            content_type: Some(rendition.format.media_type().to_owned()),
            content_disposition: Some("inline".to_owned()),
            cache_control: None,
        };
        let Ok(key) = Key::parse(file.key.as_str()) else { continue };
        match state.stores.files.signed_url(&key, &answer, url_life).await {
            Ok(Some(url)) => drop(urls.insert(rendition.quality.level().to_owned(), url)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%key, error = chain(&error), "a URL is not signed"),
        }
    }
    urls
}
