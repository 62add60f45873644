//! `/uploads`: files that requests refer to.

mod file_name;
mod multipart;
mod reception;
mod refusals;
mod slots;

pub use reception::Reception;

use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, stream};
use salvo::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use salvo::http::{ReqBody, StatusCode};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::bytes::Bytes;
use uuid::Uuid;

use super::paging::{PageInfo, PageQuery};
use super::problem::Problem;
use super::query::Query;
use super::{origin, state, user};
use crate::domain::uploads::KeptUpload;
use crate::error_codes::ErrorCode;
use crate::ids::UploadId;
use multipart::Multipart;
use refusals::no_such_upload;

/// For a whole request.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Bytes that are read and forgotten of a request that is refused while it is being sent, so that the client sees the
/// answer.
const MAX_DRAINED_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, ToSchema)]
pub struct UploadAnswer {
    pub upload_id: Uuid,
    /// The name that the client gave the file, without folders and without characters that are no text.
    pub filename: String,
    /// By its content: `image/png`, `text/markdown`…
    pub content_type: String,
    /// Bytes of what is kept.
    pub size: u64,
    /// SHA-256 of what is kept, in hex.
    pub sha256: String,
    /// `clean`: nothing malicious was found, or the file would not be here.
    pub scan_status: String,
    /// The scanners that looked for it: `built_in`, and `clamav` where it is configured.
    pub scanned_by: Vec<String>,
    /// True when something that could do harm was taken out of an SVG: `size` and `sha256` are then not those of what was
    /// sent.
    pub sanitized: bool,
    /// Pixels; null when it is no picture, or an SVG.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReceivedAnswer {
    /// In the order of the files.
    pub uploads: Vec<UploadAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct UploadsAnswer {
    /// Newest first.
    pub uploads: Vec<UploadAnswer>,
    #[serde(flatten)]
    #[salvo(schema(inline = false))]
    pub page: PageInfo,
}

impl UploadAnswer {
    fn of(kept: KeptUpload) -> Self {
        let KeptUpload { upload, received_at } = kept;
        Self {
            upload_id: upload.upload_id.0,
            filename: upload.file_name,
            content_type: upload.content_type.name().to_owned(),
            size: upload.bytes,
            sha256: upload.sha256,
            scan_status: "clean".to_owned(),
            scanned_by: upload.scanned_by.iter().map(|scanner| scanner.name().to_owned()).collect(),
            sanitized: upload.is_sanitized,
            width: upload.width,
            height: upload.height,
            created_at: received_at,
        }
    }
}

/// Upload files
///
/// Up to 10 files, each a part with a filename. All are kept, or none. What a file is, is found by its content: PNG, JPEG,
/// WebP, SVG, GIF, PDF, plain text, Markdown, WAV, MP3 and MP4 are taken. `upload_ids` of a request refer to them.
#[endpoint(
    tags("uploads"),
    operation_id = "upload_content",
    security(["bearer" = []]),
    request_body(content = serde_json::Value, description = "The files", content_type = "multipart/form-data"),
    responses((status_code = 201, description = "The files are kept", body = ReceivedAnswer),
              (status_code = 400, description = "The body is no well-formed multipart/form-data, or ended too early", body = super::problem::ErrorBody),
              (status_code = 413, description = "A file is too large, or the user keeps too much already", body = super::problem::ErrorBody),
              (status_code = 415, description = "A file is of a type that is not taken; the allowed ones are listed", body = super::problem::ErrorBody),
              (status_code = 422, description = "A file is malicious, damaged or empty, or there is none", body = super::problem::ErrorBody),
              (status_code = 429, description = "The user is sending too many files at the same time", body = super::problem::ErrorBody),
              (status_code = 503, description = "Files cannot be scanned or stored for the moment", body = super::problem::ErrorBody))
)]
pub async fn upload_content(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<Json<ReceivedAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let boundary = boundary(req)?;
    let length = header(req, CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let reception = &state.reception;
    reception.check_length(length)?;
    let _slot = reception.take_slot(&user.id)?;
    let origin = origin(&user, depot);

    let mut multipart = Multipart::new(pieces(req.take_body()), &boundary);
    let received = timeout(RECEIVE_TIMEOUT, reception.receive(&mut multipart, length)).await;
    let received = received.unwrap_or_else(|_| Err(Problem::bad_request("the body took too long")));
    let received = match received {
        Ok(received) => received,
        Err(problem) => {
            let _enough = timeout(DRAIN_TIMEOUT, multipart.drain(MAX_DRAINED_BYTES)).await;
            return Err(problem);
        }
    };
    let checked = reception.check(&received).await?;
    // From here on it goes to its end, also when the client goes away.
    let kept = tokio::spawn(reception.clone().keep(user.id, received, checked, origin)).await;
    let kept = kept.map_err(|error| {
        tracing::error!(%error, "keeping an upload stopped unexpectedly");
        Problem::internal()
    })??;
    res.status_code(StatusCode::CREATED);
    Ok(Json(ReceivedAnswer { uploads: kept.into_iter().map(UploadAnswer::of).collect() }))
}

fn header(req: &Request, name: salvo::http::header::HeaderName) -> Option<&str> {
    req.headers().get(name).and_then(|value| value.to_str().ok())
}

fn boundary(req: &Request) -> Result<String, Problem> {
    let given = header(req, CONTENT_TYPE).unwrap_or_default();
    match multipart::boundary_of(given) {
        Some(boundary) => boundary.map_err(|error| Problem::bad_request(error.to_string())),
        None => {
            let message = format!("the body must be multipart/form-data, not `{given}`");
            Err(Problem::new(ErrorCode::UnsupportedMediaType, message))
        }
    }
}

/// The data of a body as it arrives; trailers are left out.
fn pieces(body: ReqBody) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
    let frames = body.filter_map(|frame| async move {
        match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(error)),
        }
    });
    stream::StreamExt::boxed(frames)
}

/// The caller's uploads
///
/// Newest first.
#[endpoint(tags("uploads"), operation_id = "list_uploads", security(["bearer" = []]))]
pub async fn list_uploads(
    query: Query<PageQuery>,
    depot: &mut Depot,
) -> Result<Json<UploadsAnswer>, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let slice = query.0.slice()?;
    let listed = state.library.seen_by(&user.id).uploads(&user.id, slice).await?;
    let page = PageInfo::of(slice, listed.items.len(), listed.total);
    Ok(Json(UploadsAnswer { uploads: listed.items.into_iter().map(UploadAnswer::of).collect(), page }))
}

/// The caller's upload that the path names.
async fn own_upload(req: &Request, depot: &Depot) -> Result<KeptUpload, Problem> {
    let (state, user) = (state(depot)?, user(depot)?);
    let upload_id: Option<UploadId> = req.param::<String>("upload_id").and_then(|id| id.parse().ok());
    let found =
        state.library.seen_by(&user.id).upload(&user.id, upload_id.ok_or_else(no_such_upload)?).await?;
    found.ok_or_else(no_such_upload)
}

/// An upload
///
/// Its name, type and size, and what looked for malware in it; the file itself is not given.
#[endpoint(
    tags("uploads"),
    operation_id = "get_upload",
    security(["bearer" = []]),
    parameters(("upload_id" = Uuid, Path, description = "The upload"))
)]
pub async fn get_upload(req: &mut Request, depot: &mut Depot) -> Result<Json<UploadAnswer>, Problem> {
    own_upload(req, depot).await.map(UploadAnswer::of).map(Json)
}

/// Delete an upload
///
/// Its bytes go with the last upload that has the same. Jobs that have not read it yet fail.
#[endpoint(
    tags("uploads"),
    operation_id = "delete_upload",
    security(["bearer" = []]),
    parameters(("upload_id" = Uuid, Path, description = "The upload")),
    responses((status_code = 204, description = "It is deleted"))
)]
pub async fn delete_upload(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Problem> {
    let kept = own_upload(req, depot).await?;
    let (state, user) = (state(depot)?, user(depot)?);
    let origin = origin(&user, depot);
    state.reception.delete(&user.id, &kept.upload, &origin).await?;
    res.status_code(StatusCode::NO_CONTENT);
    Ok(())
}
