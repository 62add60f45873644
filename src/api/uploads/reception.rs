//! Takes in the files of one request: to the disk as they arrive, then checked, then kept, all or none.
//!
//! Until they are kept they are in a folder of their own under `MEDIA_ROOT/incoming`, which goes with the request: when it is
//! refused, when the client goes away, and, after a crash, when the next process starts. What is kept is stored first and
//! recorded then, by a task that a client cannot interrupt.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{self, SHA256};
use futures_util::Stream;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio_util::bytes::Bytes;

use super::multipart::Multipart;
use super::refusals::{accept_part, not_read, not_stored, not_written, refuse_field, refused, rejected};
use super::slots::{Slot, Slots};
use crate::api::problem::Problem;
use crate::config::{MediaConfig, UploadsConfig};
use crate::controls::Controls;
use crate::domain::uploads::{Command, KeptUpload, Quota, Rejection, Uploads};
use crate::error_codes::ErrorCode;
use crate::events::ContentType;
use crate::events::upload::{Scanner, Upload};
use crate::execute::{self, Executor, Origin};
use crate::ids::{UploadId, UploadsId};
use crate::storage::{self, Content, Mode, Prefix, Storage};
use crate::telemetry::chain;
use crate::uploads::{self, Checked, Clamav, Refusal};

/// Files of one request.
pub const MAX_FILES: usize = 10;
/// Uploads that one user may keep: all of them are one aggregate.
pub const MAX_UPLOADS: u64 = 1000;
/// The folder of what was not checked yet.
const INCOMING: &str = "incoming";
/// No request takes so long: what is older was left by a process that died.
const STALE_AFTER: Duration = Duration::from_secs(2 * 3600);
/// Users are spread over so many locks; see [`Reception::keep`].
const TURNS: usize = 64;

/// Cheap to clone.
#[derive(Clone)]
pub struct Reception {
    incoming: PathBuf,
    storage: Storage,
    executor: Executor,
    scanner: Option<Clamav>,
    max_file_bytes: u64,
    controls: Controls,
    slots: Slots,
    turns: Arc<Vec<Mutex<()>>>,
}

/// Files that are on the disk, and go with this.
pub struct Received {
    _folder: TempDir,
    files: Vec<ReceivedFile>,
}

struct ReceivedFile {
    path: PathBuf,
    name: String,
    bytes: u64,
    sha256: String,
}

impl Reception {
    pub fn new(
        media: &MediaConfig,
        storage: Storage,
        config: &UploadsConfig,
        controls: Controls,
        executor: Executor,
    ) -> Self {
        Self {
            incoming: media.root.join(INCOMING),
            storage,
            executor,
            scanner: config.clamav.clone().map(Clamav::new),
            max_file_bytes: config.max_file_bytes,
            controls,
            slots: Slots::default(),
            turns: Arc::new((0..TURNS).map(|_| Mutex::default()).collect()),
        }
    }

    /// Removes what processes that died have left.
    pub fn sweep_incoming(&self) -> io::Result<()> {
        let folder = match std::fs::read_dir(&self.incoming) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        for entry in folder {
            let entry = entry?;
            if is_stale(entry.metadata()?.modified()?) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    pub fn take_slot(&self, user: &str) -> Result<Slot, Problem> {
        self.slots.take(user)
    }

    /// Refuses a request that says itself that it is too long.
    pub fn check_length(&self, length: Option<u64>) -> Result<(), Problem> {
        // Headers and boundaries are small beside it.
        let max = (self.max_file_bytes + 64 * 1024).saturating_mul(MAX_FILES as u64);
        match length.filter(|length| *length > max) {
            None => Ok(()),
            Some(sent) => {
                let max_file = self.max_file_bytes;
                let message = format!(
                    "the body has {sent} bytes; {MAX_FILES} files of {max_file} bytes each (MAX_FILE_SIZE) are the most that a request may have"
                );
                let details =
                    json!({ "max_file_bytes": max_file, "max_files": MAX_FILES, "sent_bytes": sent });
                Err(Problem { details, ..Problem::new(ErrorCode::PayloadTooLarge, message) })
            }
        }
    }

    /// Writes the files of a body to the disk, a piece at a time. `length` is what the request says of itself.
    pub async fn receive<S: Stream<Item = io::Result<Bytes>> + Unpin>(
        &self,
        multipart: &mut Multipart<S>,
        length: Option<u64>,
    ) -> Result<Received, Problem> {
        let folder = self.make_folder().await.map_err(not_written)?;
        let mut files: Vec<ReceivedFile> = vec![];
        while let Some(part) = multipart.next_part().await.map_err(not_read)? {
            let name = accept_part(part, files.len())?;
            let path = folder.path().join(files.len().to_string());
            files.push(self.receive_file(multipart, path, name, files.len(), length).await?);
        }
        if files.is_empty() {
            return Err(refuse_field(
                "files",
                "has no file; send at least one part with a filename",
                "missing",
            ));
        }
        Ok(Received { _folder: folder, files })
    }

    async fn make_folder(&self) -> io::Result<TempDir> {
        let incoming = self.incoming.clone();
        let make = move || {
            std::fs::create_dir_all(&incoming)?;
            tempfile::Builder::new().prefix("upload-").tempdir_in(&incoming)
        };
        tokio::task::spawn_blocking(make).await.map_err(io::Error::other)?
    }

    async fn receive_file<S: Stream<Item = io::Result<Bytes>> + Unpin>(
        &self,
        multipart: &mut Multipart<S>,
        path: PathBuf,
        name: String,
        index: usize,
        length: Option<u64>,
    ) -> Result<ReceivedFile, Problem> {
        let mut file = tokio::fs::File::create(&path).await.map_err(not_written)?;
        let (mut bytes, mut hash) = (0, digest::Context::new(&SHA256));
        while let Some(piece) = multipart.read().await.map_err(not_read)? {
            bytes += piece.len() as u64;
            if bytes > self.max_file_bytes {
                return Err(self.too_large(index, &name, length));
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(not_written)?;
        }
        file.flush().await.map_err(not_written)?;
        Ok(ReceivedFile { path, name, bytes, sha256: hex(hash.finish().as_ref()) })
    }

    fn too_large(&self, index: usize, name: &str, sent: Option<u64>) -> Problem {
        let max = self.max_file_bytes;
        let sent_text = sent.map_or(String::new(), |sent| format!("; the whole request has {sent}"));
        let message = format!(
            "files[{index}] (`{name}`) has more than {max} bytes, which is the most that a file may have (MAX_FILE_SIZE){sent_text}"
        );
        let details = json!({ "index": index, "filename": name, "max_bytes": max, "sent_bytes": sent });
        Problem { details, ..Problem::new(ErrorCode::PayloadTooLarge, message) }
    }

    /// Looks at every file, and has it scanned.
    pub async fn check(&self, received: &Received) -> Result<Vec<Checked>, Problem> {
        let mut checked = vec![];
        for (index, file) in received.files.iter().enumerate() {
            let looked_at = self.check_file(file).await;
            checked.push(looked_at.map_err(|refusal| refused(index, &file.name, refusal))?);
        }
        Ok(checked)
    }

    async fn check_file(&self, file: &ReceivedFile) -> Result<Checked, Refusal> {
        let (path, name) = (file.path.clone(), file.name.clone());
        let check = move || uploads::check(&std::fs::File::open(path)?, &name);
        let checked = tokio::task::spawn_blocking(check).await.map_err(io::Error::other)??;
        if let Some(scanner) = &self.scanner {
            scanner.scan(tokio::fs::File::open(&file.path).await?).await?;
        }
        if checked.content_type == ContentType::Pdf {
            uploads::check_pdf(tokio::fs::File::open(&file.path).await?.into_std().await).await?;
        }
        Ok(checked)
    }

    /// Stores and records the files. To be run as a task of its own: between the two it must not be dropped.
    pub async fn keep(
        self,
        user: String,
        received: Received,
        checked: Vec<Checked>,
        origin: Origin,
    ) -> Result<Vec<KeptUpload>, Problem> {
        let prefix = Prefix::of_uploads(&user);
        let uploads: Vec<Upload> =
            received.files.iter().zip(&checked).map(|(file, checked)| self.describe(file, checked)).collect();
        let stored = self.store(&prefix, &uploads, &received, checked).await;
        drop(received);
        if let Err(error) = stored {
            self.remove_unneeded(&prefix, &uploads, &Uploads::default()).await;
            return Err(not_stored(error));
        }
        let state = match self.record(&user, uploads.clone(), &origin).await {
            Ok(state) => state,
            Err(error) => {
                // When the log fails, nobody knows whether it has recorded them: a later sweep will.
                if matches!(error, execute::Error::Rejected(_)) {
                    self.remove_unneeded(&prefix, &uploads, &Uploads::default()).await;
                }
                return Err(Problem::of_failure(error, rejected));
            }
        };
        self.remove_unneeded(&prefix, &uploads, &state).await;
        self.sweep(&prefix, &state).await;
        Ok(uploads.iter().filter_map(|upload| state.get(upload.upload_id).cloned()).collect())
    }

    /// Removes what was just stored and is not needed by `state`.
    async fn remove_unneeded(&self, prefix: &Prefix, uploads: &[Upload], state: &Uploads) {
        for upload in uploads.iter().filter(|upload| !state.needs(upload.upload_id)) {
            self.remove(prefix, upload.upload_id).await;
        }
    }

    fn describe(&self, file: &ReceivedFile, checked: &Checked) -> Upload {
        let upload_id = UploadId::generate();
        let (bytes, sha256) = match &checked.sanitized {
            Some(sanitized) => (sanitized.len() as u64, hex(digest::digest(&SHA256, sanitized).as_ref())),
            None => (file.bytes, file.sha256.clone()),
        };
        let scanners = [Some(Scanner::BuiltIn), self.scanner.as_ref().map(|_| Scanner::Clamav)];
        let (width, height) = checked.dimensions.unzip();
        Upload {
            upload_id,
            file_name: file.name.clone(),
            content_type: checked.content_type,
            bytes,
            sha256,
            object: upload_id,
            scanned_by: scanners.into_iter().flatten().collect(),
            is_sanitized: checked.sanitized.is_some(),
            width,
            height,
        }
    }

    async fn store(
        &self,
        prefix: &Prefix,
        uploads: &[Upload],
        received: &Received,
        checked: Vec<Checked>,
    ) -> Result<(), storage::Error> {
        for ((upload, file), checked) in uploads.iter().zip(&received.files).zip(checked) {
            let key = prefix.key(&upload.upload_id.to_string())?;
            let content = match checked.sanitized {
                Some(sanitized) => Content::Bytes(sanitized),
                None => Content::File(file.path.clone()),
            };
            self.storage.put(&key, content, Mode::Create).await?;
        }
        Ok(())
    }

    /// A user's requests come one after the other to the decision, which is about all of their uploads: many at once would
    /// only make each other decide again.
    async fn record(
        &self,
        user: &str,
        uploads: Vec<Upload>,
        origin: &Origin,
    ) -> Result<Uploads, execute::Error<Rejection>> {
        let id = UploadsId::of_user(user);
        let _turn = self.turns[id.0.as_u128() as usize % TURNS].lock().await;
        let max_bytes = self.controls.streams().limits.upload_bytes_per_user;
        let quota = Quota { max_bytes, max_uploads: MAX_UPLOADS };
        let command = Command::Receive { user_id: user.to_owned(), uploads, quota };
        let executed = self.executor.execute(id, command, origin, None).await?;
        Ok(executed.loaded.into_state())
    }

    /// Forgets an upload, and its bytes when no other shares them.
    pub async fn delete(&self, user: &str, upload: &Upload, origin: &Origin) -> Result<(), Problem> {
        let id = UploadsId::of_user(user);
        let executed = {
            let _turn = self.turns[id.0.as_u128() as usize % TURNS].lock().await;
            let command = Command::Delete { upload_id: upload.upload_id };
            self.executor.execute(id, command, origin, None).await
        };
        let executed = executed.map_err(|error| Problem::of_failure(error, rejected))?;
        if !executed.loaded.state.needs(upload.object) {
            self.remove(&Prefix::of_uploads(user), upload.object).await;
        }
        Ok(())
    }

    /// Removes stored bytes. What cannot be removed now goes with a later sweep.
    async fn remove(&self, prefix: &Prefix, object: UploadId) {
        let removed = async { self.storage.delete(&prefix.key(&object.to_string())?).await };
        if let Err(error) = removed.await {
            tracing::warn!(%object, error = chain(&error), "the bytes of an upload cannot be removed");
        }
    }

    /// Removes old bytes that no upload needs: of a process that died before it recorded them, or before it removed them.
    async fn sweep(&self, prefix: &Prefix, uploads: &Uploads) {
        let entries = match self.storage.list(prefix).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(error = chain(&error), "stored uploads cannot be listed");
                return;
            }
        };
        for entry in entries.into_iter().filter(|entry| is_stale(entry.head.modified)) {
            let object =
                Path::new(entry.key.as_str()).file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(object) = object.filter(|object| !uploads.needs(*object)) {
                self.remove(prefix, object).await;
            }
        }
    }
}

fn is_stale(modified: SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age > STALE_AFTER)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _to_memory = write!(hex, "{byte:02x}");
        hex
    })
}
