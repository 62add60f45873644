//! A user's uploads, as one aggregate: what is kept counts against a quota, and uploads with the same bytes share them.
//!
//! One aggregate for each user and not for each file, because both rules are about all files of a user: a decider alone can
//! then keep them, whatever is sent at the same time. Deliberately absent: the bytes. They are stored before an upload is
//! recorded, and removed after the last upload that shares them is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Aggregate, Id};
use crate::events::upload::Upload;
use crate::events::{Recorded, UploadEvent};
use crate::ids::{UploadId, UploadsId};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploads {
    user_id: String,
    kept: BTreeMap<UploadId, KeptUpload>,
}

/// An upload that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptUpload {
    pub upload: Upload,
    pub received_at: DateTime<Utc>,
}

/// The most that one user may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub max_bytes: u64,
    pub max_uploads: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Keep the files of one request, all or none. Each comes with an `object` of its own.
    Receive {
        user_id: String,
        uploads: Vec<Upload>,
        quota: Quota,
    },
    Delete {
        upload_id: UploadId,
    },
    /// Forget all: the user's key is destroyed.
    Erase,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error(
        "your uploads may have {max_bytes} bytes, of which {used_bytes} are used, and these have {more_bytes} more; delete some, then send these again"
    )]
    QuotaExceeded { used_bytes: u64, more_bytes: u64, max_bytes: u64 },
    #[error(
        "you may have {max_uploads} uploads, and have {kept}; with these it would be {}; delete some, then send these again",
        kept + more
    )]
    TooMany { kept: u64, more: u64, max_uploads: u64 },
    #[error("there is no such upload")]
    Unknown,
}

impl Uploads {
    /// Returns the user's name at the issuer; empty without any upload.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    pub fn get(&self, upload_id: UploadId) -> Option<&KeptUpload> {
        self.kept.get(&upload_id)
    }

    /// From the oldest to the newest.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &KeptUpload> {
        self.kept.values()
    }

    /// Bytes that are stored for the user; those that several uploads share count once.
    pub fn stored_bytes(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let stored = self.kept.values().map(|kept| &kept.upload);
        stored.filter(|upload| seen.insert(upload.object)).map(|upload| upload.bytes).sum()
    }

    /// Tells whether an upload needs the bytes that are stored under an id.
    pub fn needs(&self, object: UploadId) -> bool {
        self.kept.values().any(|kept| kept.upload.object == object)
    }

    fn receive(
        &self,
        user_id: &str,
        uploads: Vec<Upload>,
        quota: Quota,
    ) -> Result<Vec<UploadEvent>, Rejection> {
        let Quota { max_bytes, max_uploads } = quota;
        let (kept, more) = (self.kept.len() as u64, uploads.len() as u64);
        if kept + more > max_uploads {
            return Err(Rejection::TooMany { kept, more, max_uploads });
        }
        let known = self.kept.values().map(|kept| &kept.upload);
        let mut objects: BTreeMap<String, UploadId> =
            known.map(|upload| (upload.sha256.clone(), upload.object)).collect();
        let (mut events, mut more_bytes) = (vec![], 0);
        for mut upload in uploads {
            match objects.get(&upload.sha256) {
                Some(object) => upload.object = *object,
                None => {
                    more_bytes += upload.bytes;
                    objects.insert(upload.sha256.clone(), upload.object);
                }
            }
            events.push(UploadEvent::UploadReceived { user_id: user_id.to_owned(), upload });
        }
        let used_bytes = self.stored_bytes();
        match used_bytes + more_bytes > max_bytes {
            true => Err(Rejection::QuotaExceeded { used_bytes, more_bytes, max_bytes }),
            false => Ok(events),
        }
    }
}

impl Id for UploadsId {
    type Aggregate = Uploads;
}

impl Aggregate for Uploads {
    type Event = UploadEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<UploadEvent>, Rejection> {
        match command {
            Command::Receive { user_id, uploads, quota } => self.receive(&user_id, uploads, quota),
            Command::Delete { upload_id } if self.kept.contains_key(&upload_id) => {
                Ok(vec![UploadEvent::UploadDeleted { upload_id }])
            }
            Command::Delete { .. } => Err(Rejection::Unknown),
            // Without any history there is nobody to forget.
            Command::Erase if self.user_id.is_empty() => Ok(vec![]),
            Command::Erase => Ok(vec![UploadEvent::UploadsErased {}]),
        }
    }

    fn evolve(mut self, recorded: &Recorded<UploadEvent>) -> Self {
        match recorded.event.clone() {
            UploadEvent::UploadReceived { user_id, upload } => {
                self.user_id = user_id;
                let received_at = recorded.recorded_at;
                self.kept.insert(upload.upload_id, KeptUpload { upload, received_at });
            }
            UploadEvent::UploadDeleted { upload_id } => {
                self.kept.remove(&upload_id);
            }
            UploadEvent::UploadsErased {} => self.kept.clear(),
        }
        self
    }

    fn user<'a>(&'a self, event: &'a UploadEvent) -> Option<&'a str> {
        match event {
            UploadEvent::UploadReceived { user_id, .. } => Some(user_id),
            UploadEvent::UploadDeleted { .. } | UploadEvent::UploadsErased {} => Some(&self.user_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::ContentType;

    const QUOTA: Quota = Quota { max_bytes: 100, max_uploads: 3 };

    fn upload(sha256: &str, bytes: u64) -> Upload {
        let upload_id = UploadId::generate();
        Upload {
            upload_id,
            file_name: "a.txt".into(),
            content_type: ContentType::Text,
            bytes,
            sha256: sha256.into(),
            object: upload_id,
            scanned_by: vec![],
            is_sanitized: false,
            width: None,
            height: None,
        }
    }

    fn receive(uploads: &[Upload]) -> Command {
        Command::Receive { user_id: "u".into(), uploads: uploads.to_vec(), quota: QUOTA }
    }

    fn when(given: &Uploads, command: Command) -> Result<Uploads, Rejection> {
        let recorded = |event| Recorded { version: 1, recorded_at: DateTime::UNIX_EPOCH, event };
        let events = given.decide(command)?;
        Ok(events.into_iter().map(recorded).fold(given.clone(), |state, event| state.evolve(&event)))
    }

    #[test]
    fn the_same_bytes_are_stored_once_and_needed_until_the_last_upload_is_deleted() {
        let (first, again, other) = (upload("a", 60), upload("a", 60), upload("b", 40));
        let state = when(&Uploads::default(), receive(&[first.clone(), again.clone()])).unwrap();
        assert_eq!(state.get(again.upload_id).unwrap().upload.object, first.upload_id);
        assert_eq!(state.stored_bytes(), 60);
        let state = when(&state, receive(std::slice::from_ref(&other))).unwrap();
        assert_eq!(state.stored_bytes(), 100);
        let state = when(&state, Command::Delete { upload_id: first.upload_id }).unwrap();
        assert!(state.needs(first.upload_id), "the other upload shares it");
        let state = when(&state, Command::Delete { upload_id: again.upload_id }).unwrap();
        assert!(!state.needs(first.upload_id));
        assert_eq!(state.stored_bytes(), 40);
    }

    #[test]
    fn what_is_past_the_quota_is_refused_as_a_whole() {
        let state = when(&Uploads::default(), receive(&[upload("a", 60)])).unwrap();
        let refused = when(&state, receive(&[upload("b", 20), upload("c", 21)]));
        assert_eq!(refused, Err(Rejection::QuotaExceeded { used_bytes: 60, more_bytes: 41, max_bytes: 100 }));
        assert!(when(&state, receive(&[upload("b", 40), upload("a", 60)])).is_ok(), "one is there already");
        let three = [upload("b", 1), upload("c", 1), upload("d", 1)];
        let refused = when(&state, receive(&three));
        assert_eq!(refused, Err(Rejection::TooMany { kept: 1, more: 3, max_uploads: 3 }));
    }

    #[test]
    fn what_is_not_there_cannot_be_deleted_and_nobody_is_erased_twice() {
        let gone = upload("a", 1);
        let state = when(&Uploads::default(), receive(std::slice::from_ref(&gone))).unwrap();
        let delete = Command::Delete { upload_id: gone.upload_id };
        let deleted = when(&state, delete.clone()).unwrap();
        assert_eq!(when(&deleted, delete), Err(Rejection::Unknown));
        assert_eq!(when(&state, Command::Erase).unwrap().all().count(), 0);
        assert_eq!(Uploads::default().decide(Command::Erase), Ok(vec![]));
    }
}
