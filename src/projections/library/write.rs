//! Writes a batch, event by event: users change what they keep by hand, so there are few.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::events::configuration::Settings;
use crate::events::upload::Upload;
use crate::events::{AggregateKind, ConfigurationEvent, Envelope, Event, Recorded, TypedId, UploadEvent};
use crate::execute::ContentCodec;
use crate::ids::{AggregateId, ConfigurationId, ConfigurationsId, UploadsId};
use crate::projections::tables::{column, json, text};
use crate::projections::{Batch, Error, decode_any};

/// An event that changes rows.
pub enum Change {
    Uploads(Recorded<UploadEvent>),
    Configurations(Recorded<ConfigurationEvent>),
}

/// The changes of a batch, in order, each with its aggregate.
pub async fn changes(batch: &Batch, codec: &ContentCodec) -> Result<Vec<(AggregateId, Change)>, Error> {
    let mut changes = vec![];
    for (_, envelope) in &batch.events {
        let change = match envelope.aggregate {
            UploadsId::KIND => Change::Uploads(decode(codec, envelope).await?),
            ConfigurationsId::KIND => Change::Configurations(decode(codec, envelope).await?),
            _ => continue,
        };
        changes.push((envelope.aggregate_id, change));
    }
    Ok(changes)
}

async fn decode<E: Event>(codec: &ContentCodec, envelope: &Envelope) -> Result<Recorded<E>, Error> {
    decode_any(codec, envelope).await
}

impl Change {
    fn kind(&self) -> AggregateKind {
        match self {
            Change::Uploads(_) => UploadsId::KIND,
            Change::Configurations(_) => ConfigurationsId::KIND,
        }
    }

    fn version(&self) -> u64 {
        match self {
            Change::Uploads(recorded) => recorded.version,
            Change::Configurations(recorded) => recorded.version,
        }
    }
}

pub async fn write(
    connection: &mut PgConnection,
    partition: u16,
    changes: &[(AggregateId, Change)],
) -> Result<(), sqlx::Error> {
    let mut heads: BTreeMap<AggregateId, &Change> = BTreeMap::new();
    for (id, change) in changes {
        let row = Row { connection: &mut *connection, partition: partition as i16, aggregate_id: id.0 };
        match change {
            Change::Uploads(recorded) => row.apply_upload(recorded).await?,
            Change::Configurations(recorded) => row.apply_configuration(recorded).await?,
        }
        heads.insert(*id, change);
    }
    for (id, change) in heads {
        sqlx::query(
            "insert into heads (aggregate_id, partition, aggregate, version) values ($1, $2, $3, $4)
             on conflict (aggregate_id) do update set version = excluded.version",
        )
        .bind(id.0)
        .bind(partition as i16)
        .bind(change.kind().name())
        .bind(change.version() as i64)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

const ERASE: [&str; 2] = [
    "delete from uploads where aggregate_id = any($1)",
    "delete from configurations where aggregate_id = any($1)",
];

/// Removes the rows of aggregates whose events cannot be applied, and whose content was erased.
pub async fn erase(connection: &mut PgConnection, ids: &[AggregateId]) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids = column(ids, |id| id.0);
    for query in ERASE {
        sqlx::query(query).bind(&ids).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The connection through which rows are written, and the aggregate to which they belong.
struct Row<'a> {
    connection: &'a mut PgConnection,
    partition: i16,
    aggregate_id: Uuid,
}

impl Row<'_> {
    async fn apply_upload(self, recorded: &Recorded<UploadEvent>) -> Result<(), sqlx::Error> {
        match &recorded.event {
            UploadEvent::UploadReceived { user_id, upload } => {
                self.add_upload(user_id, upload, recorded.recorded_at).await
            }
            UploadEvent::UploadDeleted { upload_id } => {
                self.delete("delete from uploads where upload_id = $1", upload_id.0).await
            }
            UploadEvent::UploadsErased {} => {
                let id = self.aggregate_id;
                self.delete("delete from uploads where aggregate_id = $1", id).await
            }
        }
    }

    async fn add_upload(
        self,
        user_id: &str,
        upload: &Upload,
        created_at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into uploads (upload_id, partition, aggregate_id, user_id, file_name, content_type, bytes, sha256, object,
                                  scanned_by, is_sanitized, width, height, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(upload.upload_id.0)
        .bind(self.partition)
        .bind(self.aggregate_id)
        .bind(text(user_id))
        .bind(text(&upload.file_name))
        .bind(upload.content_type.name())
        .bind(upload.bytes as i64)
        .bind(text(&upload.sha256))
        .bind(upload.object.0)
        .bind(column(&upload.scanned_by, |scanner| scanner.name()))
        .bind(upload.is_sanitized)
        .bind(upload.width.map(|width| width as i32))
        .bind(upload.height.map(|height| height as i32))
        .bind(created_at)
        .execute(self.connection)
        .await?;
        Ok(())
    }

    async fn apply_configuration(self, recorded: &Recorded<ConfigurationEvent>) -> Result<(), sqlx::Error> {
        let now = recorded.recorded_at;
        match &recorded.event {
            ConfigurationEvent::ConfigurationCreated { user_id, configuration_id, name, settings } => {
                self.add_configuration(*configuration_id, user_id, name, settings, now).await
            }
            ConfigurationEvent::ConfigurationReplaced { configuration_id, name, settings } => {
                sqlx::query(
                    "update configurations set name = $2, settings = $3, version = version + 1, updated_at = $4
                     where configuration_id = $1",
                )
                .bind(configuration_id.0)
                .bind(text(name))
                .bind(json(settings)?)
                .bind(now)
                .execute(self.connection)
                .await?;
                Ok(())
            }
            ConfigurationEvent::ConfigurationDeleted { configuration_id } => {
                self.delete("delete from configurations where configuration_id = $1", configuration_id.0)
                    .await
            }
            ConfigurationEvent::ConfigurationsErased {} => {
                let id = self.aggregate_id;
                self.delete("delete from configurations where aggregate_id = $1", id).await
            }
        }
    }

    async fn add_configuration(
        self,
        configuration_id: ConfigurationId,
        user_id: &str,
        name: &str,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into configurations (configuration_id, partition, aggregate_id, user_id, name, version, settings, created_at,
                                         updated_at)
             values ($1, $2, $3, $4, $5, 1, $6, $7, $7)",
        )
        .bind(configuration_id.0)
        .bind(self.partition)
        .bind(self.aggregate_id)
        .bind(text(user_id))
        .bind(text(name))
        .bind(json(settings)?)
        .bind(now)
        .execute(self.connection)
        .await?;
        Ok(())
    }

    async fn delete(self, query: &'static str, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query(query).bind(id).execute(self.connection).await?;
        Ok(())
    }
}
