//! The registry of ids: every id in the system has its type here.
//!
//! Ids are UUIDv7, so they sort by creation time. Ids that must come out the same when work is done
//! again (the command of a repeated append, the job of a repeated request) are derived: UUIDv5 from
//! what they belong to.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares an id: a UUID with a type of its own, and its text form.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The id of an aggregate of any kind, as the log has it. A typed id (`JobId`, ...) says the kind, too.
    AggregateId
}
id!(JobId);
id! {
    /// The id of a batch: jobs that were requested together.
    BatchId
}
id! {
    /// The id of the aggregate that holds what was decided about a read model.
    ProjectionId
}
id! {
    /// The id of the aggregate that holds what was decided about a user: a digest of their name at the issuer.
    UserId
}
id! {
    /// The id of one user's uploads, as an aggregate: a digest of their name at the issuer.
    UploadsId
}
id! {
    /// The id of one uploaded file.
    UploadId
}
id! {
    /// The id of one user's stored configurations, as an aggregate: a digest of their name at the issuer.
    ConfigurationsId
}
id! {
    /// The id of one stored configuration.
    ConfigurationId
}
id! {
    /// The id of the aggregate that holds what operators have decided about the whole system. There is one.
    OperationsId
}
id! {
    /// The id of a webhook: one message to one receiver. It stands in the message, too.
    WebhookId
}
id!(EventId);
id! {
    /// The id of one intention. An aggregate applies a command id once, however often it is sent.
    CommandId
}
id! {
    /// The id of one attempt at a piece of work; results of any other attempt are refused.
    AttemptToken
}

impl JobId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of a job that an event leads to, chosen in advance: the same for every delivery of the event.
    pub fn of_event(event: EventId, index: u32) -> Self {
        Self(derive(event.0, &format!("job:{index}")))
    }

    /// The id of a job that was imported under a name which is no UUID.
    pub fn of_source(name: &str) -> Self {
        Self(derive_from_name("imported job", name))
    }

    /// The id of the job number `index` of a batch, chosen in advance: a UUIDv7 of the batch's time, so that the jobs of a
    /// batch sort in its order. `index` is below 4096.
    pub fn of_batch(batch: BatchId, index: u32) -> Self {
        let (batch_bytes, digest) = (batch.0.as_bytes(), derive(batch.0, &format!("job:{index}")));
        let mut bytes = *digest.as_bytes();
        bytes[..6].copy_from_slice(&batch_bytes[..6]);
        bytes[6..8].copy_from_slice(&(index as u16).to_be_bytes());
        Self(uuid::Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid())
    }

    pub fn aggregate(self) -> AggregateId {
        AggregateId(self.0)
    }
}

impl BatchId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for BatchId {
    fn default() -> Self {
        Self::new()
    }
}

impl ProjectionId {
    pub fn of_name(projection: &str) -> Self {
        Self(derive_from_name("projection", projection))
    }
}

impl OperationsId {
    pub fn of_system() -> Self {
        Self(derive_from_name("operations", "system"))
    }
}

impl UserId {
    /// `user` is the user's name at the issuer of session tokens.
    pub fn of_name(user: &str) -> Self {
        Self(derive_from_name("user", user))
    }
}

impl UploadsId {
    /// `user` is the user's name at the issuer of session tokens.
    pub fn of_user(user: &str) -> Self {
        Self(derive_from_name("uploads", user))
    }
}

impl UploadId {
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl ConfigurationsId {
    /// `user` is the user's name at the issuer of session tokens.
    pub fn of_user(user: &str) -> Self {
        Self(derive_from_name("configurations", user))
    }
}

impl ConfigurationId {
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl WebhookId {
    /// The id of the webhook that an event leads to, chosen in advance: the same for every delivery of the event.
    pub fn of_event(event: EventId) -> Self {
        Self(derive(event.0, "webhook"))
    }
}

fn derive(from: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&from, name.as_bytes())
}

/// The UUID of what is known by a name, unique within its kind.
fn derive_from_name(kind: &str, name: &str) -> Uuid {
    derive(derive(Uuid::NAMESPACE_OID, kind), name)
}

impl Default for JobId {
    fn default() -> Self {
        Self::new()
    }
}

impl EventId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for EventId {
    fn default() -> Self {
        Self::new()
    }
}

impl CommandId {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The command id of `what` done by one attempt: a second try of the same append gets the same id.
    pub fn of_attempt(token: AttemptToken, what: &str) -> Self {
        Self(derive(token.0, what))
    }

    /// The command id of the import of a job: the same in every run.
    pub fn of_import(job: JobId) -> Self {
        Self(derive(job.0, "import"))
    }

    /// The command id of the reaction number `index` of `process` to an event: a second delivery of the event gets the
    /// same id.
    pub fn of_reaction(event: EventId, process: &str, index: usize) -> Self {
        Self(derive(event.0, &format!("{process}:{index}")))
    }
}

impl Default for CommandId {
    fn default() -> Self {
        Self::new()
    }
}

impl AttemptToken {
    /// The first attempt at work is named after the event that scheduled it, so that a work queue
    /// rebuilt from the log holds the same tokens.
    pub fn of_event(event: EventId) -> Self {
        Self(event.0)
    }

    /// When the work was scheduled.
    pub fn made_at(self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds))
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl FromStr for BatchId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl FromStr for UploadId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl FromStr for ConfigurationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_ids_that_logs_were_written_with() {
        assert_eq!(ProjectionId::of_name("catalog").to_string(), "7bc15316-1e17-5d56-82bd-8b4c7fc75f88");
        assert_eq!(OperationsId::of_system().to_string(), "f9b6b0ef-e3da-5326-9ae1-6371429afa8c");
        assert_eq!(UserId::of_name("user_1").to_string(), "d46705a3-6ac8-5986-a80d-87bb9b51736b");
    }

    #[test]
    fn the_jobs_of_a_batch_have_ids_that_follow_from_it_and_sort_in_its_order() {
        let (batch, other) = (BatchId::new(), BatchId::new());
        let ids: Vec<JobId> = (0..50).map(|index| JobId::of_batch(batch, index)).collect();
        assert_eq!(ids[7], JobId::of_batch(batch, 7));
        assert!(ids.is_sorted());
        assert!(
            ids.iter()
                .all(|id| id.0.get_version_num() == 7 && id.0.get_timestamp() == batch.0.get_timestamp())
        );
        assert_ne!(ids[0], JobId::of_batch(other, 0));
        let partitions: std::collections::BTreeSet<u128> = ids.iter().map(|id| id.0.as_u128() % 8).collect();
        assert!(partitions.len() > 4, "they spread over the partitions: {partitions:?}");
    }

    #[test]
    fn an_event_leads_to_the_same_ids_each_time_and_to_others_than_another_event() {
        let (event, other) = (EventId::new(), EventId::new());
        assert_eq!(JobId::of_event(event, 0), JobId::of_event(event, 0));
        assert_ne!(JobId::of_event(event, 0), JobId::of_event(event, 1));
        assert_ne!(JobId::of_event(event, 0), JobId::of_event(other, 0));
        assert_ne!(CommandId::of_reaction(event, "batch", 1), CommandId::of_reaction(event, "upload", 1));
    }
}
