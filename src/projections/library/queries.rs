//! The queries of the API.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::Library;
use crate::domain::configurations::Configuration;
use crate::domain::uploads::KeptUpload;
use crate::domain::{Aggregate, EventOf, Id, State};
use crate::events::configuration::Settings;
use crate::events::upload::Upload;
use crate::events::{ContentType, TypedId};
use crate::ids::{AggregateId, ConfigurationId, ConfigurationsId, UploadId, UploadsId};
use crate::projections::{Error, decode_any};

/// A page of a list, by what comes before it and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    pub offset: u64,
    pub limit: u64,
}

/// The items of a page, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The number of items on all pages.
    pub total: u64,
}

impl<T: Clone> Page<T> {
    fn of<'a>(newest_first: impl Iterator<Item = &'a T>, slice: Slice) -> Self
    where
        T: 'a,
    {
        let all: Vec<&T> = newest_first.collect();
        let (total, offset) = (all.len() as u64, slice.offset as usize);
        let items = all.into_iter().skip(offset).take(slice.limit as usize).cloned().collect();
        Self { items, total }
    }
}

#[derive(sqlx::FromRow)]
struct UploadRow {
    upload_id: Uuid,
    file_name: String,
    content_type: String,
    bytes: i64,
    sha256: String,
    object: Uuid,
    scanned_by: Vec<String>,
    is_sanitized: bool,
    width: Option<i32>,
    height: Option<i32>,
    created_at: DateTime<Utc>,
}

impl TryFrom<UploadRow> for KeptUpload {
    type Error = Error;

    fn try_from(row: UploadRow) -> Result<Self, Error> {
        let unknown = |name: &str| sqlx::Error::Decode(format!("`{name}` is not known").into());
        let content_type = ContentType::parse(&row.content_type).ok_or_else(|| unknown(&row.content_type))?;
        let scanners = row.scanned_by.iter().map(|name| name.parse().map_err(|_| unknown(name)));
        let upload = Upload {
            upload_id: UploadId(row.upload_id),
            file_name: row.file_name,
            content_type,
            bytes: row.bytes as u64,
            sha256: row.sha256,
            object: UploadId(row.object),
            scanned_by: scanners.collect::<Result<_, _>>()?,
            is_sanitized: row.is_sanitized,
            width: row.width.map(|width| width as u32),
            height: row.height.map(|height| height as u32),
        };
        Ok(KeptUpload { upload, received_at: row.created_at })
    }
}

#[derive(sqlx::FromRow)]
struct ConfigurationRow {
    configuration_id: Uuid,
    name: String,
    version: i64,
    settings: Json<Settings>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<ConfigurationRow> for Configuration {
    fn from(row: ConfigurationRow) -> Self {
        Self {
            configuration_id: ConfigurationId(row.configuration_id),
            name: row.name,
            settings: row.settings.0,
            version: row.version as u64,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

const UPLOADS: &str = "select upload_id, file_name, content_type, bytes, sha256, object, scanned_by, is_sanitized, width, \
                       height, created_at from library.uploads where aggregate_id = $1";
const CONFIGURATIONS: &str = "select configuration_id, name, version, settings, created_at, updated_at \
                              from library.configurations where aggregate_id = $1";

impl Library {
    /// A page of a user's uploads.
    pub async fn uploads(&self, user: &str, slice: Slice) -> Result<Page<KeptUpload>, Error> {
        let id = UploadsId::of_user(user);
        if let Some(behind) = self.fold_if_behind(id).await? {
            return Ok(Page::of(behind.all().rev(), slice));
        }
        let total =
            self.count("select count(*) from library.uploads where aggregate_id = $1", id.aggregate());
        let query = format!("{UPLOADS} order by created_at desc, upload_id desc limit $2 offset $3");
        let rows: Vec<UploadRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .persistent(false)
            .bind(id.0)
            .bind(slice.limit as i64)
            .bind(slice.offset as i64)
            .fetch_all(self.tables.reader().await?.connection())
            .await?;
        let items = rows.into_iter().map(KeptUpload::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.await? })
    }

    /// One upload of a user; `None` when it is unknown, or another user's.
    pub async fn upload(&self, user: &str, upload_id: UploadId) -> Result<Option<KeptUpload>, Error> {
        let id = UploadsId::of_user(user);
        if let Some(behind) = self.fold_if_behind(id).await? {
            return Ok(behind.get(upload_id).cloned());
        }
        let query = format!("{UPLOADS} and upload_id = $2");
        let row: Option<UploadRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .persistent(false)
            .bind(id.0)
            .bind(upload_id.0)
            .fetch_optional(self.tables.reader().await?.connection())
            .await?;
        row.map(KeptUpload::try_from).transpose()
    }

    /// A page of a user's configurations.
    pub async fn configurations(&self, user: &str, slice: Slice) -> Result<Page<Configuration>, Error> {
        let id = ConfigurationsId::of_user(user);
        if let Some(behind) = self.fold_if_behind(id).await? {
            return Ok(Page::of(behind.all().rev(), slice));
        }
        let count = "select count(*) from library.configurations where aggregate_id = $1";
        let total = self.count(count, id.aggregate());
        let query =
            format!("{CONFIGURATIONS} order by created_at desc, configuration_id desc limit $2 offset $3");
        let rows: Vec<ConfigurationRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .persistent(false)
            .bind(id.0)
            .bind(slice.limit as i64)
            .bind(slice.offset as i64)
            .fetch_all(self.tables.reader().await?.connection())
            .await?;
        Ok(Page { items: rows.into_iter().map(Configuration::from).collect(), total: total.await? })
    }

    /// One configuration of a user; `None` when it is unknown, or another user's.
    pub async fn configuration(
        &self,
        user: &str,
        configuration_id: ConfigurationId,
    ) -> Result<Option<Configuration>, Error> {
        let id = ConfigurationsId::of_user(user);
        if let Some(behind) = self.fold_if_behind(id).await? {
            return Ok(behind.get(configuration_id).cloned());
        }
        let query = format!("{CONFIGURATIONS} and configuration_id = $2");
        let row: Option<ConfigurationRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .persistent(false)
            .bind(id.0)
            .bind(configuration_id.0)
            .fetch_optional(self.tables.reader().await?.connection())
            .await?;
        Ok(row.map(Configuration::from))
    }

    async fn count(&self, query: &'static str, id: AggregateId) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar(query)
            .persistent(false)
            .bind(id.0)
            .fetch_one(self.tables.reader().await?.connection())
            .await?;
        Ok(count as u64)
    }

    /// The aggregate as the log has it, when the rows do not hold all of it.
    async fn fold_if_behind<I: Id>(&self, id: I) -> Result<Option<State<I>>, Error> {
        let recorded = self.log.version(id.aggregate()).await?;
        let held: Option<i64> =
            sqlx::query_scalar("select version from library.heads where aggregate_id = $1")
                .persistent(false)
                .bind(id.aggregate().0)
                .fetch_optional(self.tables.reader().await?.connection())
                .await?;
        if held.unwrap_or(0) as u64 >= recorded {
            return Ok(None);
        }
        let mut state = State::<I>::default();
        for envelope in self.log.history(id.aggregate(), 0).await? {
            state = state.evolve(&decode_any::<EventOf<I>>(&self.codec, &envelope).await?);
        }
        Ok(Some(state))
    }
}
