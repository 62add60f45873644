//! HTTP Live Streaming (RFC 8216), from the first segment on.
//!
//! While the job runs, playlists are made from its events, and grow. When it is completed, they are stored files like all
//! others. Segments are stored when their scene is rendered, and are the same before and after: then they are inside the
//! video's file, and are served under their names, too, to those who began before.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use salvo::oapi::endpoint;
use salvo::prelude::*;

use super::files::{Served, require_completed, serve};
use super::problem::Problem;
use super::{ApiState, catalog_of, user, visible_job};
use crate::domain::job::Job;
use crate::events::job::{FileRole, StoredFile, StreamPart};
use crate::ids::JobId;
use crate::projections::status::{JobStatus, StatusView};
use crate::telemetry::chain;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const SEGMENTS: &str = "video/mp4";
/// Jobs that are watched while they are made, and kept folded. Each has its script and its scenes.
const WATCHED_JOBS: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// Jobs that are watched, as of a version: players ask for their playlists again and again.
pub struct WatchedJobs(Mutex<LruCache<JobId, Arc<Job>>>);

impl Default for WatchedJobs {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(WATCHED_JOBS)))
    }
}

impl WatchedJobs {
    /// Returns the job as of the view's version or later.
    async fn get(&self, state: &ApiState, view: &StatusView) -> Result<Arc<Job>, Problem> {
        let jobs = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = jobs().get(&view.job_id).filter(|job| job.version >= view.version).cloned();
        if let Some(job) = known {
            return Ok(job);
        }
        let job = state.executor.load(view.job_id).await?.state;
        jobs().put(view.job_id, job.clone());
        Ok(job)
    }
}

/// A file of the video's HTTP Live Stream
///
/// `master.m3u8` is where players begin; it names a playlist for each rendition (`720p.m3u8`), and those name their
/// segments, which are ranges of a file for each scene (`720p-00.m4s`). All need the same token. The stream begins with
/// the first segment, while the first scene is rendered: until the job is completed, its playlists are of the type EVENT and
/// grow, scene by scene. They end when the job fails or is cancelled, and stay for `retention.partial_stream_hours`. Once the
/// job is completed, `master.m3u8` names playlists of the same segments as ranges of the video's file (`720p-vod.m3u8`,
/// `720p.mp4`); the names from before stay valid. 409 before the first segment is there.
#[endpoint(
    tags("videos"),
    operation_id = "get_hls_file",
    security(["bearer" = []]),
    parameters(("job_id" = uuid::Uuid, Path, description = "The job"),
               ("file" = String, Path, description = "master.m3u8, or what it refers to")),
    responses((status_code = 200, description = "A playlist, or all segments of a scene", content_type = "application/vnd.apple.mpegurl"),
              (status_code = 206, description = "A segment", content_type = "video/mp4"),
              (status_code = 404, description = "No such file", body = super::problem::ErrorBody),
              (status_code = 409, description = "Nothing can be watched yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn get_hls_file(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let name: String = req.param("file").unwrap_or_default();
    let (state, view) = visible_job(req, depot).await?;
    if view.status == JobStatus::Completed {
        require_completed(&view)?;
        let video = catalog_of(&state, &user(depot)?).video(view.job_id).await?;
        let files = video.map(|video| video.files).unwrap_or_default();
        return serve_stored(req, res, &state, &files, &name).await;
    }
    let job = state.watched.get(&state, &view).await?;
    let Some(stream) = job.stream() else { return require_completed(&view) };
    // Scenes of a watched stream go ahead when their time comes.
    if let Err(error) = state.queue.note_viewer(view.job_id.aggregate()).await {
        tracing::warn!(job_id = %view.job_id, error = %chain(&error), "a viewer was not noted");
    }
    if let Some(part) = stream.file(&name) {
        return match serve(req, res, segments(&state, &part.to_stored_file())).await {
            // The job has ended by now, and the part is inside the video.
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {
                let job = state.executor.load(view.job_id).await?.state;
                serve_stored(req, res, &state, &job.stored, &name).await
            }
            served => served,
        };
    }
    let text = match name.strip_suffix(".m3u8") {
        Some("master") => Some(stream.master_playlist()),
        Some(level) => stream.playlist(level),
        None => None,
    };
    let text = text.ok_or_else(|| Problem::not_found("this stream has no such file"))?;
    let headers = res.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PLAYLIST));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if req.method() != salvo::http::Method::HEAD {
        res.write_body(text).map_err(|_| Problem::internal())?;
    }
    Ok(())
}

async fn serve_stored(
    req: &Request,
    res: &mut Response,
    state: &ApiState,
    files: &[StoredFile],
    name: &str,
) -> Result<(), Problem> {
    if let Some((file, part)) = find_part(files, name) {
        // S3 does not know the part.
        let served = Served { part: Some(part), may_redirect: false, ..segments(state, file) };
        return serve(req, res, served).await;
    }
    let is_named = |file: &&StoredFile| {
        let is_streamed = match file.role {
            FileRole::HlsMaster | FileRole::HlsPlaylist | FileRole::HlsSegments => true,
            FileRole::Video => !file.stream.is_empty(),
            _ => false,
        };
        is_streamed && file.name() == name
    };
    let file = files.iter().find(is_named);
    let file = file.ok_or_else(|| Problem::not_found("this stream has no such file"))?;
    let served = match file.role {
        FileRole::HlsSegments | FileRole::Video => segments(state, file),
        _ => Served {
            // Its player may have loaded it while it grew.
            cache_control: "private, no-cache",
            // Its entries are relative to its own URL, which must not be one of the bucket.
            may_redirect: false,
            ..Served::of_video(&state.stores, file, PLAYLIST, "inline".to_owned())
        },
    };
    serve(req, res, served).await
}

/// The part of a stream, and the video that has it inside.
fn find_part<'a>(files: &'a [StoredFile], name: &str) -> Option<(&'a StoredFile, &'a StreamPart)> {
    files.iter().find_map(|file| Some((file, file.stream.iter().find(|part| part.name == name)?)))
}

fn segments<'a>(state: &'a ApiState, file: &'a StoredFile) -> Served<'a> {
    Served::of_video(&state.stores, file, SEGMENTS, "inline".to_owned())
}
