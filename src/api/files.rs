//! Serving stored files: the video and its thumbnails, whole or in ranges (RFC 9110, section 14).

use std::sync::Arc;

use salvo::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use salvo::http::{HttpRange, Method, StatusCode};
use salvo::oapi::{ToParameters, endpoint};
use salvo::prelude::*;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;
use super::query::{Query, parse_flag, parse_one_of, parse_text};
use super::status::matches_etag;
use super::{ApiState, catalog_of, user, visible_job};
use crate::error_codes::ErrorCode;
use crate::events::job::{FileRole, Sidecar, StoredFile, StreamPart, ThumbnailSize};
use crate::events::{OutputFormat, Quality, Rendition};
use crate::projections::status::{JobStatus, StatusView};
use crate::storage::measure::{self, Delivered, DeliveredBy, Measurement, Operation};
use crate::storage::{self, Delivery, Key, SignedAnswer, Stores};
use crate::telemetry::chain;

/// A stored file on its way to a client.
pub(super) struct Served<'a> {
    pub stores: &'a Stores,
    pub file: &'a StoredFile,
    /// Set where a part of the file is served as if it were one.
    pub part: Option<&'a StreamPart>,
    pub content_type: &'static str,
    pub disposition: String,
    pub cache_control: &'static str,
    /// Set when the client may be redirected to S3.
    pub may_redirect: bool,
}

impl<'a> Served<'a> {
    /// Of a video, which a job that is reprocessed may replace: kept for an hour.
    pub fn of_video(
        stores: &'a Stores,
        file: &'a StoredFile,
        content_type: &'static str,
        disposition: String,
    ) -> Self {
        let cache_control = "private, max-age=3600";
        Self { stores, file, part: None, content_type, disposition, cache_control, may_redirect: true }
    }

    /// The signed URL of the file, where clients get it from S3.
    async fn signed_url(&self, key: &Key) -> Result<Option<String>, storage::Error> {
        let Delivery::Redirect { url_life } = self.stores.delivery else { return Ok(None) };
        let answer = SignedAnswer {
            content_type: Some(self.content_type.to_owned()),
            content_disposition: Some(self.disposition.clone()),
            cache_control: Some(self.cache_control.to_owned()),
        };
        self.stores.files.signed_url(key, &answer, url_life).await
    }
}

/// How a video is downloaded.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct DownloadQuery {
    /// Show in the browser instead of saving.
    #[serde(deserialize_with = "parse_flag")]
    inline: Option<bool>,
    /// One of the job's qualities, such as `720p`, or `auto`, the highest; by default the one it was asked for.
    #[serde(deserialize_with = "parse_quality")]
    #[salvo(parameter(value_type = Option<String>))]
    quality: Option<WantedQuality>,
}

/// What of a video is streamed.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct StreamQuery {
    /// One of the job's qualities, such as `720p`; by default `auto`, which is the highest.
    #[serde(deserialize_with = "parse_quality")]
    #[salvo(parameter(value_type = Option<String>))]
    quality: Option<WantedQuality>,
}

/// Which thumbnail is wanted.
#[derive(Debug, Default, Deserialize, ToParameters)]
#[serde(default)]
#[salvo(parameters(default_parameter_in = Query))]
pub struct ThumbnailQuery {
    /// `small`, `medium` (the default) or `large`.
    #[serde(deserialize_with = "parse_size")]
    #[salvo(parameter(value_type = Option<String>))]
    size: Option<ThumbnailSize>,
}

fn parse_quality<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WantedQuality>, D::Error> {
    let levels = Quality::ALL.map(Quality::level).join(", ");
    parse_text(deserializer, format_args!("auto or one of {levels}"), |text| match text {
        "auto" => Some(Some(WantedQuality::Any)),
        name => Quality::named(name).map(WantedQuality::One).map(Some),
    })
}

fn parse_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ThumbnailSize>, D::Error> {
    parse_one_of(deserializer, &ThumbnailSize::ALL, ThumbnailSize::name)
}

/// Download the video
///
/// In the format that the job was asked for. Supports ranges, `If-Range`, `If-None-Match` and `HEAD`. 409 before the job
/// is completed.
#[endpoint(
    tags("videos"),
    operation_id = "download_video",
    security(["bearer" = []]),
    parameters(("job_id" = uuid::Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The file", content_type = "video/mp4"),
              (status_code = 206, description = "The requested range", content_type = "video/mp4"),
              (status_code = 404, description = "No such rendition", body = super::problem::ErrorBody),
              (status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody),
              (status_code = 416, description = "The range lies outside the file", body = super::problem::ErrorBody))
)]
pub async fn download_video(
    query: Query<DownloadQuery>,
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let Query(DownloadQuery { inline, quality }) = query;
    let files = Files::of(req, depot).await?;
    let wanted = quality.unwrap_or(WantedQuality::One(files.view.quality));
    // Beside every MP4 stands a file of the format that was asked for, if that was another.
    let found = files.of_role(FileRole::Video).filter(|found| wanted.fits(found.rendition.quality));
    let found =
        found.max_by_key(|found| (found.rendition.quality, found.rendition.format != OutputFormat::Mp4));
    let Found { rendition, file } = found.ok_or_else(|| files.no_rendition(FileRole::Video))?;
    let kind = if inline == Some(true) { "inline" } else { "attachment" };
    let name = file_name(&files.view.topic);
    let disposition = format!("{kind}; filename=\"{name}.{}\"", rendition.format.name());
    let stores = &files.state.stores;
    serve(req, res, Served::of_video(stores, file, rendition.format.media_type(), disposition)).await
}

/// Stream the video
///
/// A fast-start MP4, shown in the browser, with ranges.
#[endpoint(
    tags("videos"),
    operation_id = "stream_video",
    security(["bearer" = []]),
    parameters(("job_id" = uuid::Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The file", content_type = "video/mp4"),
              (status_code = 206, description = "The requested range", content_type = "video/mp4"),
              (status_code = 404, description = "No such rendition", body = super::problem::ErrorBody),
              (status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn stream_video(
    query: Query<StreamQuery>,
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let wanted = query.0.quality.unwrap_or(WantedQuality::Any);
    let files = Files::of(req, depot).await?;
    let found = files
        .of_role(FileRole::Video)
        .filter(|found| found.rendition.format == OutputFormat::Mp4 && wanted.fits(found.rendition.quality))
        .max_by_key(|found| found.rendition.quality);
    let Found { file, .. } = found.ok_or_else(|| files.no_rendition(FileRole::Video))?;
    let disposition = shown_as(&files.view, "mp4");
    serve(req, res, Served::of_video(&files.state.stores, file, "video/mp4", disposition)).await
}

/// A thumbnail of the video
///
/// JPEG of the video's shape; its longer side has 320, 640 or 1280 pixels. 409 before the job is completed.
#[endpoint(
    tags("videos"),
    operation_id = "get_thumbnail",
    security(["bearer" = []]),
    parameters(("job_id" = uuid::Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The picture", content_type = "image/jpeg"),
              (status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn get_thumbnail(
    query: Query<ThumbnailQuery>,
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    let size = query.0.size.unwrap_or(ThumbnailSize::Medium);
    let (state, view, file) = stored(req, depot, size.file_role()).await?;
    let disposition = format!("inline; filename=\"{}-{}.jpg\"", file_name(&view.topic), size.name());
    let served = Served {
        stores: &state.stores,
        file: &file,
        part: None,
        content_type: "image/jpeg",
        disposition,
        cache_control: "private, max-age=86400",
        may_redirect: false,
    };
    serve(req, res, served).await
}

/// The captions, as WebVTT
///
/// What is said, in captions of at most 42 characters by 2 lines. 404 when the job was asked for without subtitles.
#[endpoint(
    tags("videos"),
    operation_id = "get_captions_vtt",
    security(["bearer" = []]),
    parameters(("job_id" = uuid::Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The captions", content_type = "text/vtt"),
              (status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn get_captions_vtt(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    captions(req, depot, res, FileRole::CaptionsVtt, "vtt", "text/vtt; charset=utf-8").await
}

/// The captions, as SubRip
///
/// What is said, in captions of at most 42 characters by 2 lines. 404 when the job was asked for without subtitles.
#[endpoint(
    tags("videos"),
    operation_id = "get_captions_srt",
    security(["bearer" = []]),
    parameters(("job_id" = uuid::Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "The captions", content_type = "application/x-subrip"),
              (status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn get_captions_srt(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), Problem> {
    captions(req, depot, res, FileRole::CaptionsSrt, "srt", "application/x-subrip; charset=utf-8").await
}

async fn captions(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    role: FileRole,
    extension: &str,
    content_type: &'static str,
) -> Result<(), Problem> {
    let (state, view, file) = stored(req, depot, role).await?;
    let disposition = shown_as(&view, extension);
    let served = Served::of_video(&state.stores, &file, content_type, disposition);
    // A page's `<track>` must come from where the page may read.
    serve(req, res, Served { may_redirect: false, ..served }).await
}

/// Shown in the browser, and saved under the video's name.
fn shown_as(view: &StatusView, extension: &str) -> String {
    format!("inline; filename=\"{}.{extension}\"", file_name(&view.topic))
}

/// The files of a completed job.
struct Files {
    state: Arc<ApiState>,
    view: Arc<StatusView>,
    files: Vec<StoredFile>,
}

/// One of them; what exists only once counts as of the quality that was asked for.
struct Found<'a> {
    rendition: Rendition,
    file: &'a StoredFile,
}

impl Files {
    async fn of(req: &Request, depot: &Depot) -> Result<Self, Problem> {
        let (state, view) = visible_job(req, depot).await?;
        require_completed(&view)?;
        let video = catalog_of(&state, &user(depot)?).video(view.job_id).await?;
        Ok(Self { state, view, files: video.map(|video| video.files).unwrap_or_default() })
    }

    fn of_role(&self, role: FileRole) -> impl Iterator<Item = Found<'_>> {
        let files = self.files.iter().filter(move |file| file.role == role);
        files.map(|file| Found { rendition: file.rendition_in(self.view.quality), file })
    }

    /// A 404 that says what there is.
    fn no_rendition(&self, role: FileRole) -> Problem {
        let mut levels: Vec<&str> = self.of_role(role).map(|found| found.rendition.quality.level()).collect();
        levels.dedup();
        match levels.as_slice() {
            [] => Problem::not_found("this video has no such file"),
            levels => {
                Problem::not_found(format!("this video has no such rendition, only {}", levels.join(", ")))
            }
        }
    }
}

/// A quality that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WantedQuality {
    Any,
    One(Quality),
}

impl WantedQuality {
    fn fits(self, quality: Quality) -> bool {
        self == WantedQuality::Any || self == WantedQuality::One(quality)
    }
}

/// A completed job's file, of which there is one.
async fn stored(
    req: &Request,
    depot: &Depot,
    role: FileRole,
) -> Result<(Arc<ApiState>, Arc<StatusView>, StoredFile), Problem> {
    let files = Files::of(req, depot).await?;
    let found = files.of_role(role).next().ok_or_else(|| files.no_rendition(role))?;
    let file = found.file.clone();
    Ok((files.state, files.view, file))
}

/// 409 with what a client may show meanwhile; 410 when the video was removed.
pub fn require_completed(view: &StatusView) -> Result<(), Problem> {
    if let Some(at) = view.expired_at {
        let problem = Problem::new(ErrorCode::VideoExpired, "the video was removed because of its age");
        return Err(Problem { details: serde_json::json!({ "expired_at": at }), ..problem });
    }
    if view.status == JobStatus::Completed {
        return Ok(());
    }
    let message = format!("the video is not ready: the job is {}", view.status.name());
    Err(Problem::conflict(message, state_details(view)))
}

/// Details for a client whose request the job's state does not allow.
pub fn state_details(view: &StatusView) -> serde_json::Value {
    serde_json::json!({
        "status": view.status.name(),
        "progress": view.percentage,
        "current_stage": view.stage_name(),
    })
}

/// Safe in a quoted header value and on every file system.
fn file_name(topic: &str) -> String {
    let name: String =
        topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "video".to_owned() } else { words.join("-") }
}

pub(super) async fn serve(req: &Request, res: &mut Response, served: Served<'_>) -> Result<(), Problem> {
    let gone = || Problem::not_found("the file is gone");
    let failed = |error: storage::Error| {
        tracing::error!(key = served.file.key, error = chain(&error), "a stored file cannot be read");
        gone()
    };
    let key = Key::parse(&served.file.key).map_err(failed)?;
    let storage = &served.stores.files;
    let whole = storage.head(&key).await.map_err(failed)?.ok_or_else(gone)?.bytes;
    let (begins, size, hash) = match served.part {
        None => (0, whole, &served.file.blake3),
        Some(part) if part.offset.checked_add(part.bytes).is_some_and(|end| end <= whole) => {
            (part.offset, part.bytes, &part.blake3)
        }
        Some(_) => return Err(gone()),
    };
    let etag = format!("\"{hash}\"");
    let header = |name| req.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // Preconditions in the order of RFC 9110, section 13.2.2.
    if header(IF_MATCH).is_some_and(|tags| !matches_strongly(tags, &etag)) {
        let message = format!("the file is another one by now: its ETag is {etag}");
        return Err(
            Problem::new(ErrorCode::PreconditionFailed, message).with_header(ETAG, header_value(&etag)?)
        );
    }
    if header(IF_NONE_MATCH).is_some_and(|tags| matches_etag(tags, &etag)) {
        set_headers(res.headers_mut(), &served, &etag)?;
        res.status_code(StatusCode::NOT_MODIFIED);
        return Ok(());
    }
    if served.may_redirect
        && req.method() == Method::GET
        && let Some(url) = served.signed_url(&key).await.map_err(failed)?
    {
        measure::count_delivery(delivered(served.file.role), DeliveredBy::S3);
        return redirect(res, &url);
    }
    // A range of another version of the file is worth nothing: then the whole file is sent.
    let is_same_file = header(IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    // Only of GET is said what a range means (RFC 9110, section 14.2).
    let is_get = req.method() == Method::GET;
    let range = match header(RANGE).filter(|_| is_same_file && is_get) {
        Some(range) => requested_range(range, size)?,
        None => None,
    };
    // Not before: a refusal is no file.
    set_headers(res.headers_mut(), &served, &etag)?;
    let (start, length) = range.unwrap_or((0, size));
    if range.is_some() {
        res.status_code(StatusCode::PARTIAL_CONTENT);
        let value = format!("bytes {start}-{}/{size}", start + length - 1);
        res.headers_mut().insert(CONTENT_RANGE, header_value(&value)?);
    }
    res.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if req.method() != Method::HEAD {
        let download = Measurement::begin(storage.name(), Operation::Download);
        let range = begins + start..begins + start + length;
        let stream = storage.read(&key, range).await.map_err(failed)?.ok_or_else(gone)?;
        measure::count_delivery(delivered(served.file.role), DeliveredBy::Api);
        res.stream(download.of_stream(stream, length));
    }
    Ok(())
}

fn delivered(role: FileRole) -> Delivered {
    match role.sidecar() {
        None => Delivered::Video,
        Some(Sidecar::Thumbnails) => Delivered::Thumbnail,
        Some(Sidecar::Captions) => Delivered::Captions,
        Some(Sidecar::Stream) => Delivered::Stream,
    }
}

/// Sends the client to S3, which answers what it asks of ranges.
fn redirect(res: &mut Response, url: &str) -> Result<(), Problem> {
    let headers = res.headers_mut();
    // The URL expires.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LOCATION, header_value(url)?);
    res.status_code(StatusCode::TEMPORARY_REDIRECT);
    Ok(())
}

/// `If-Match` compares strongly and may list several tags (RFC 9110, section 13.1.1).
fn matches_strongly(header: &str, etag: &str) -> bool {
    header.trim() == "*" || header.split(',').any(|tag| tag.trim() == etag)
}

/// First byte and length; `None` for the whole file. Several ranges at once are answered with the
/// whole file, which a server may do, and which costs less than what they are abused for.
fn requested_range(header: &str, size: u64) -> Result<Option<(u64, u64)>, Problem> {
    if !header.trim_start().to_ascii_lowercase().starts_with("bytes") {
        return Ok(None);
    }
    match HttpRange::parse(header, size).as_deref() {
        Ok([range]) if range.length > 0 => Ok(Some((range.start, range.length))),
        Ok([_, _, ..]) => Ok(None),
        _ => {
            let message = format!("the range `{header}` lies outside the file of {size} bytes");
            let value = header_value(&format!("bytes */{size}"))?;
            Err(Problem::new(ErrorCode::RangeNotSatisfiable, message).with_header(CONTENT_RANGE, value))
        }
    }
}

fn set_headers(headers: &mut HeaderMap, served: &Served<'_>, etag: &str) -> Result<(), Problem> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(served.content_type));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(served.cache_control));
    headers.insert(ETAG, header_value(etag)?);
    headers.insert(CONTENT_DISPOSITION, header_value(&served.disposition)?);
    Ok(())
}

fn header_value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|_| Problem::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_the_rfc() {
        let range = |header| requested_range(header, 1000).map_err(|problem| problem.status.as_u16());
        assert_eq!(range("bytes=0-0"), Ok(Some((0, 1))));
        assert_eq!(range("bytes=900-"), Ok(Some((900, 100))));
        assert_eq!(range("bytes=-10"), Ok(Some((990, 10))));
        assert_eq!(range("bytes=0-5000"), Ok(Some((0, 1000))));
        assert_eq!(range("bytes=0-1,5-6"), Ok(None), "several ranges");
        assert_eq!(range("lines=1-2"), Ok(None), "another unit");
        assert_eq!(range("bytes=1000-"), Err(416));
        assert_eq!(range("bytes=x"), Err(416));
        assert_eq!(range("bytes=-0"), Err(416), "a suffix of nothing");
        assert_eq!(range("bytes=-5000"), Ok(Some((0, 1000))), "a suffix longer than the file is all of it");
        assert_eq!(range("bytes=5-2"), Err(416), "backwards");
        assert_eq!(range("bytes=999-999"), Ok(Some((999, 1))), "the last byte");
        assert_eq!(range("bytes=18446744073709551616-"), Err(416), "more than a number holds");
        assert_eq!(range(&format!("bytes={}0-0", "0-0,".repeat(5000))), Ok(None), "very many ranges");
        for header in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            let empty = requested_range(header, 0).map_err(|problem| problem.status.as_u16());
            assert_eq!(empty, Err(416), "{header} of an empty file");
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        for (header, expected) in
            [("\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("W/\"a\"", false), ("", false)]
        {
            assert_eq!(matches_strongly(header, "\"a\""), expected, "{header}");
        }
    }

    #[test]
    fn file_names_are_safe_in_headers() {
        assert_eq!(file_name("Ions \"move\"\r\n: a/b"), "Ions-move-a-b");
        assert_eq!(file_name("電池"), "video");
    }
}
