//! `reel storage`: what is stored, whether all of it is there, and what nobody needs.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use clap::Subcommand;

use super::operator::{self, Operator};
use super::say;
use crate::domain::job::{Job, Status};
use crate::events::job::StoredFile;
use crate::ids::JobId;
use crate::projections::catalog::Catalog;
use crate::storage::{Entry, Key, Prefix, Storage, StorageMode, Stores};

/// An upload in parts that is older is not going on any more.
const UNFINISHED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Files that are younger may belong to something that is not recorded yet.
const SETTLED_AFTER: Duration = Duration::from_secs(3600);
/// Jobs that are asked of the catalog at a time.
const PAGE: i64 = 500;

#[derive(Subcommand)]
pub enum StorageCommand {
    /// Objects and bytes, by folder and store
    Status,
    /// Compare what the database lists with what is stored; names what is missing, damaged, or in no list
    Verify {
        /// Compare sizes alone, without reading the files
        #[arg(long)]
        quick: bool,
    },
    /// Remove what no job needs: files in no list, what crashes left behind, unfinished uploads older than a day
    Clean {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

pub async fn storage(command: StorageCommand) -> anyhow::Result<()> {
    let (operator, pool) = Operator::with_postgres().await?;
    let stores = operator::stores().await?;
    let catalog = Catalog::new(pool, operator.log().clone(), operator.executor.codec().clone());
    let inspection = Inspection { operator, catalog, places: places(&stores), stores };
    match command {
        StorageCommand::Status => inspection.status().await,
        StorageCommand::Verify { quick } => inspection.verify(quick).await,
        StorageCommand::Clean { dry_run } => inspection.clean(dry_run).await,
    }
}

/// A store, and how it is called.
type Place = (&'static str, Storage);

fn places(stores: &Stores) -> Vec<Place> {
    let local = ("disk", stores.local.clone());
    let s3 = stores.s3.clone().map(|s3| ("bucket", Storage::new(s3)));
    match stores.mode {
        StorageMode::Local => vec![local],
        StorageMode::S3 => s3.into_iter().collect(),
        StorageMode::LocalAndS3 => std::iter::once(local).chain(s3).collect(),
    }
}

struct Inspection {
    operator: Operator,
    catalog: Catalog,
    stores: Stores,
    places: Vec<Place>,
}

/// The folders of stored files.
const FOLDERS: [&str; 5] = ["users", "videos", "uploads", "work", "cache"];

/// What an object of a job is to its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Needed,
    /// The job is not in this log: the store may be shared.
    Foreign,
    Orphaned,
}

impl Inspection {
    async fn status(&self) -> anyhow::Result<()> {
        say(format!("{:<10}{:<10}{:>10}{:>16}", "store", "folder", "objects", "bytes"))?;
        for (name, storage) in &self.places {
            for folder in FOLDERS {
                let entries = storage.list(&Prefix::parse(folder)?).await?;
                let bytes: u64 = entries.iter().map(|entry| entry.head.bytes).sum();
                say(format!("{name:<10}{folder:<10}{:>10}{bytes:>16}", entries.len()))?;
            }
        }
        if let Some(s3) = &self.stores.s3 {
            say(format!("the bucket is {}", s3.bucket()))?;
        }
        Ok(())
    }

    /// Every file of every completed job is in each store, with its size and content; and nothing else is.
    async fn verify(&self, quick: bool) -> anyhow::Result<()> {
        let (mut faults, mut files) = (0, 0);
        let mut after = None;
        loop {
            let jobs = self.catalog.completed_after(after, PAGE).await?;
            let Some(last) = jobs.last() else { break };
            after = Some(*last);
            for job_id in jobs {
                let job = self.operator.executor.load(job_id).await?.into_state();
                let listed = self.catalog.video(job_id).await?.map(|video| video.files).unwrap_or_default();
                if listed != job.stored {
                    say(format!("differs   database  job {job_id}: its files are not those of the log"))?;
                    faults += 1;
                }
                files += job.stored.len();
                for file in &job.stored {
                    for (place, storage) in self.places_of(&job) {
                        if let Some(fault) = fault(storage, file, quick).await? {
                            say(format!("{fault:<10}{place:<10}{}", file.key))?;
                            faults += 1;
                        }
                    }
                }
            }
        }
        for (place, entry, standing) in self.unneeded().await? {
            if standing == Standing::Orphaned {
                say(format!("orphaned  {place:<10}{}", entry.key))?;
                faults += 1;
            }
        }
        if faults > 0 {
            bail!("{faults} faults; orphans are removed by `reel storage clean`");
        }
        let checked = if quick { "is there" } else { "is there, and is what was stored" };
        say(format!("every one of {files} files of videos {checked}"))
    }

    async fn clean(&self, dry_run: bool) -> anyhow::Result<()> {
        let verb = if dry_run { "would remove" } else { "removed" };
        let (mut objects, mut bytes) = (0, 0);
        for (place, entry, standing) in self.unneeded().await? {
            if standing == Standing::Foreign {
                say(format!("kept: {} is of a job that is not in this log", entry.key))?;
                continue;
            }
            let storage = self.places.iter().find(|(name, _)| *name == place).map(|(_, storage)| storage);
            if let Some(storage) = storage.filter(|_| !dry_run) {
                storage.delete(&entry.key).await?;
            }
            say(format!("{verb}: {place} {}", entry.key))?;
            objects += 1;
            bytes += entry.head.bytes;
        }
        if let Some(s3) = self.stores.s3.as_ref().filter(|_| !dry_run) {
            let aborted = s3.abort_unfinished(SystemTime::now() - UNFINISHED_FOR).await?;
            say(format!("{aborted} unfinished uploads older than a day are aborted"))?;
        }
        say(format!("{verb} {objects} objects, {bytes} bytes"))
    }

    /// The stores that must have the files of a job.
    fn places_of(&self, job: &Job) -> Vec<(&'static str, &Storage)> {
        let is_in_s3 = job.stored_in.is_some_and(crate::events::job::StorageTarget::is_in_s3);
        let is_expected = |name: &str| match self.stores.mode {
            StorageMode::Local | StorageMode::S3 => true,
            StorageMode::LocalAndS3 => name == "bucket" || !is_in_s3,
        };
        let expected = self.places.iter().filter(|(name, _)| {
            is_expected(name) && (*name != "bucket" || is_in_s3 || self.stores.mode == StorageMode::S3)
        });
        expected.map(|(name, storage)| (*name, storage)).collect()
    }

    /// The objects of jobs that no job needs, in all stores.
    async fn unneeded(&self) -> anyhow::Result<Vec<(&'static str, Entry, Standing)>> {
        let mut found = vec![];
        for (name, storage) in &self.places {
            for folder in ["users", "videos", "work"] {
                // Of what is being worked on here, the worker takes care.
                if folder == "work" && *name == "disk" {
                    continue;
                }
                // Those of a job follow each other, so that one job is held at a time.
                let mut last: Option<(JobId, Option<Owner>)> = None;
                for entry in storage.list(&Prefix::parse(folder)?).await? {
                    if entry.head.modified.elapsed().unwrap_or_default() < SETTLED_AFTER {
                        continue;
                    }
                    let Some(job_id) = job_of(&entry.key) else { continue };
                    if last.as_ref().is_none_or(|(last, _)| *last != job_id) {
                        let job = self.operator.executor.load(job_id).await?.into_state();
                        let files = job.stored.iter().map(|file| file.key.clone()).collect();
                        last = Some((job_id, (job.version > 0).then_some(Owner { job, files })));
                    }
                    let owner = last.as_ref().and_then(|(_, owner)| owner.as_ref());
                    let standing = standing(&entry.key, owner);
                    if standing != Standing::Needed {
                        found.push((*name, entry, standing));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The job that an object belongs to, with the keys of all its files.
struct Owner {
    job: Job,
    files: BTreeSet<String>,
}

/// What is wrong with a stored file.
async fn fault(storage: &Storage, file: &StoredFile, quick: bool) -> anyhow::Result<Option<&'static str>> {
    let key = Key::parse(file.key.as_str())?;
    let Some(head) = storage.head(&key).await? else { return Ok(Some("missing")) };
    if head.bytes != file.bytes {
        return Ok(Some("damaged"));
    }
    let is_same = quick || storage.content_hash(&key).await?.as_ref() == Some(&file.blake3);
    Ok((!is_same).then_some("damaged"))
}

/// The job that an object belongs to, by its key: `users/ID/jobs/JOB/…`, `videos/JOB/…` or `work/JOB/…`.
fn job_of(key: &Key) -> Option<JobId> {
    let mut parts = key.as_str().split('/');
    let name = match parts.next()? {
        "users" => parts.nth(2)?,
        _ => parts.next()?,
    };
    name.parse().ok()
}

fn standing(key: &Key, owner: Option<&Owner>) -> Standing {
    let Some(Owner { job, files }) = owner else { return Standing::Foreign };
    let is_artifact = key.as_str().starts_with("work/");
    match job.status {
        Status::Unknown => Standing::Foreign,
        Status::Queued | Status::Processing => Standing::Needed,
        Status::Completed if is_artifact => Standing::Orphaned,
        Status::Completed if files.contains(key.as_str()) && !job.are_files_removed => Standing::Needed,
        Status::Completed => Standing::Orphaned,
        // What was made is kept for a while after some failures, and swept then.
        Status::Failed | Status::Cancelled if job.is_deleted => Standing::Orphaned,
        Status::Failed | Status::Cancelled => Standing::Needed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_job() {
        let id = "0191e0a0-0000-7000-8000-000000000000";
        for (key, expected) in [
            (format!("users/user_1/jobs/{id}/video.mp4"), true),
            (format!("videos/{id}/video.mp4"), true),
            (format!("work/{id}/abc"), true),
            (format!("users/{id}/jobs"), false),
            ("videos/x/video.mp4".to_owned(), false),
        ] {
            assert_eq!(job_of(&Key::parse(key.as_str()).unwrap()).is_some(), expected, "{key}");
        }
    }
}
