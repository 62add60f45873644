//! The file `seals.log`: a copy of every seal outside both databases, one JSON object per line.
//!
//! The notary only appends, and continues to read where it stopped. An incomplete last line was cut by a power failure, and the
//! notary writes it again. A file that has become shorter was tampered with.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::{Error, Seal};

/// Reads and appends to the file. Cheap to clone; clones share what they have read.
#[derive(Debug, Clone)]
pub struct SealLog {
    path: PathBuf,
    read: Arc<Mutex<ReadSoFar>>,
}

/// The content read so far.
#[derive(Debug, Default)]
struct ReadSoFar {
    bytes: u64,
    seals: HashMap<u16, Vec<Seal>>,
    /// Digests of all seals: half a million for a year of one partition.
    digests: HashSet<blake3::Hash>,
}

impl SealLog {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: Arc::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the distinct seals of a partition, in the order in which they were appended; none without a file.
    pub async fn all(&self, partition: u16) -> Result<Vec<Seal>, Error> {
        self.with(move |path, read| {
            read_on(path, read)?;
            Ok(read.seals.get(&partition).cloned().unwrap_or_default())
        })
        .await
    }

    /// Returns the last seal of a partition.
    pub async fn last(&self, partition: u16) -> Result<Option<Seal>, Error> {
        self.with(move |path, read| {
            read_on(path, read)?;
            Ok(read.seals.get(&partition).and_then(|seals| seals.last().cloned()))
        })
        .await
    }

    /// Appends seals, and flushes them to disk.
    pub async fn append(&self, seals: &[Seal]) -> Result<(), Error> {
        let mut lines = vec![];
        for seal in seals {
            serde_json::to_writer(&mut lines, seal)?;
            lines.push(b'\n');
        }
        self.with(move |path, _| append(path, &lines).map_err(|source| failed("append to", path, source)))
            .await
    }

    /// Takes seals out of the file. The file as it was stays beside it, under the returned path; `None` when it has none of them.
    /// For the seals of events that are lost for good.
    pub async fn set_aside(
        &self,
        is_lost: impl Fn(&Seal) -> bool + Send + 'static,
        at: DateTime<Utc>,
    ) -> Result<Option<PathBuf>, Error> {
        self.with(move |path, read| {
            read_on(path, read)?;
            let seals = read.seals.values().flatten();
            if !seals.clone().any(&is_lost) {
                return Ok(None);
            }
            let mut lines = vec![];
            for seal in seals.filter(|seal| !is_lost(seal)) {
                serde_json::to_writer(&mut lines, seal)?;
                lines.push(b'\n');
            }
            let mut aside = path.as_os_str().to_owned();
            aside.push(at.format(".before-%Y%m%dT%H%M%SZ").to_string());
            let aside = PathBuf::from(aside);
            std::fs::rename(path, &aside).map_err(|source| failed("move away", path, source))?;
            *read = ReadSoFar::default();
            append(path, &lines).map_err(|source| failed("append to", path, source))?;
            Ok(Some(aside))
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path, &mut ReadSoFar) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let this = self.clone();
        let worked = tokio::task::spawn_blocking(move || {
            let mut read = this.read.lock().unwrap_or_else(PoisonError::into_inner);
            work(&this.path, &mut read)
        });
        worked.await.map_err(|stopped| failed("work on", &self.path, io::Error::other(stopped)))?
    }
}

fn failed(attempted: &'static str, path: &Path, source: io::Error) -> Error {
    Error::SealLog { attempted, path: path.to_owned(), source }
}

fn read_on(path: &Path, read: &mut ReadSoFar) -> Result<(), Error> {
    let damaged = |reason: String| Error::DamagedSealLog { path: path.to_owned(), reason };
    let text = match tail(path, read.bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && read.bytes == 0 => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("it is gone, but was there before".to_owned()));
        }
        text => text.map_err(|source| failed("read", path, source))?,
    };
    let Some(text) = text else {
        return Err(damaged(format!("it has become shorter than the {} bytes that it had", read.bytes)));
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(seal) = serde_json::from_slice::<Seal>(line) else {
            // What a power cut left of a line was ended by the append after it.
            tracing::warn!(path = %path.display(), "a line of seals.log is no seal, and is left out");
            continue;
        };
        // Two notaries may append the same one.
        if read.digests.insert(blake3::hash(&serde_json::to_vec(&seal)?)) {
            read.seals.entry(seal.partition).or_default().push(seal);
        }
    }
    read.bytes += whole as u64;
    Ok(())
}

/// Reads the bytes from `from` on; `None` when the file is shorter.
fn tail(path: &Path, from: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < from {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(from))?;
    let mut text = vec![];
    file.read_to_end(&mut text)?;
    Ok(Some(text))
}

fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    // In one call, so that two notaries do not mix their lines.
    let end: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    file.write_all(&[end, lines].concat())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::chain::Chain;
    use crate::signing::SigningKey;

    fn seal(partition: u16, seq: u64) -> Seal {
        let key = SigningKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let chain = Chain { seq, hash: "ab".into() };
        Seal::sign(partition, &chain, "2026-11-21T10:00:00.123456Z".parse().unwrap(), None, &key)
    }

    #[tokio::test]
    async fn seals_of_lost_events_are_set_aside_and_the_file_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seals.log");
        let log = SealLog::new(&path);
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(log.set_aside(|_| true, at).await.unwrap(), None, "there is no file");
        log.append(&[seal(1, 5), seal(2, 6), seal(1, 7)]).await.unwrap();
        assert_eq!(log.set_aside(|seal| seal.seq > 7, at).await.unwrap(), None);
        let aside = log.set_aside(|seal| seal.seq > 6, at).await.unwrap().unwrap();
        assert_eq!(aside, folder.path().join("seals.log.before-19700101T000000Z"));
        for log in [&log, &SealLog::new(&path)] {
            assert_eq!(log.all(1).await.unwrap(), [seal(1, 5)]);
            assert_eq!(log.all(2).await.unwrap(), [seal(2, 6)]);
        }
        log.append(&[seal(1, 8)]).await.unwrap();
        assert_eq!(log.all(1).await.unwrap(), [seal(1, 5), seal(1, 8)]);
        assert_eq!(SealLog::new(&aside).all(1).await.unwrap(), [seal(1, 5), seal(1, 7)]);
    }

    #[tokio::test]
    async fn seals_are_read_back_each_once_and_the_file_must_not_shrink() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/seals.log");
        let log = SealLog::new(&path);
        assert_eq!(log.last(1).await.unwrap(), None);
        log.append(&[seal(1, 5), seal(2, 6)]).await.unwrap();
        log.append(&[seal(1, 5)]).await.unwrap();
        assert_eq!(log.all(1).await.unwrap(), [seal(1, 5)]);
        // A line that was cut off by a crash is written again behind it.
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&text[..], br#"{"partition":1,"se"#].concat()).unwrap();
        assert_eq!(log.last(1).await.unwrap(), Some(seal(1, 5)));
        log.append(&[seal(1, 7)]).await.unwrap();
        for log in [&log, &SealLog::new(&path)] {
            assert_eq!(log.all(1).await.unwrap(), [seal(1, 5), seal(1, 7)]);
        }
        std::fs::write(&path, &text).unwrap();
        let error = log.last(1).await.unwrap_err().to_string();
        assert!(error.contains("has become shorter"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(log.last(1).await.unwrap_err().to_string().contains("it is gone"));
    }
}
