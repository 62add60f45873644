//! Takes a backup while the system runs.

use std::path::PathBuf;

use chrono::Utc;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::files::{self, Fault, ListedFile, Listing};
use super::{
    Cut, EXPIRING, Error, FILES, FIRST_FORMAT, FORMAT, FileCounts, KEYS, Manifest, PartFile, Place, SEALS,
};
use crate::audit::{Notary, Seal};
use crate::erasure::register::Register;
use crate::events::connection::Address;
use crate::events::{CHAIN_START, EventLog, Layout, archive, expiring};
use crate::ids::AggregateId;
use crate::storage::Storage;
use crate::vault::Vault;

/// Files that are copied or compared at a time.
const FILES_AT_A_TIME: usize = 4;

/// A running system, as far as a backup reads it.
pub struct Source {
    pub log: EventLog,
    pub address: Address,
    pub vault: Vault,
    /// Seals what is copied, and signs the manifest.
    pub notary: Notary,
    pub register: Register,
    /// The store of videos and uploads.
    pub files: Storage,
    /// Events of a segment.
    pub segment_events: u64,
    /// A folder for files that are being copied.
    pub temporary: PathBuf,
}

/// The result of a backup.
#[derive(Debug)]
pub struct Taken {
    pub manifest: Manifest,
    /// Stored files that are not as the log says; the backup lacks them.
    pub faults: Vec<Fault>,
    /// Aggregates whose events this version cannot read. Their events are copied, their files are not.
    pub unreadable: Vec<AggregateId>,
}

/// Takes a backup, with the stored files if `with_files` is set; else they are compared with the log where they are.
///
/// The order makes the parts fit each other: first the cuts, then keys, seals and files, which are older than the events that need
/// them. The manifest comes last, so that an interrupted backup is none.
pub async fn take(source: &Source, place: &Place, with_files: bool) -> Result<Taken, Error> {
    place.check_empty().await?;
    let register = source.register.begin().await?;
    let taken_at = Utc::now();
    let layout = source.log.keys().layout();
    let mut partitions = vec![];
    for partition in source.log.keys().partitions() {
        partitions.push(cut(source, partition).await?);
    }
    let key = &source.notary.key;
    let copy = place.log(source.notary.public_keys.clone());
    for Cut { partition, seq, .. } in &partitions {
        archive::copy(&source.log, &copy, *partition, *seq, source.segment_events, key).await?;
        archive::verify(&copy, *partition, &source.notary.public_keys).await?;
    }
    let mut parts = vec![
        place.write_rows(KEYS, &source.vault.stored_keys().await?).await?,
        place.write_rows(SEALS, &seals(source, &partitions).await?).await?,
        place.write_rows(EXPIRING, &expiring::read_all(&source.address, &source.log).await?).await?,
    ];
    let mut listing = Listing::default();
    for Cut { partition, seq, .. } in &partitions {
        listing.add_partition(&source.log, *partition, *seq).await?;
    }
    let (list, files, faults) = copy_files(source, place, listing.files, with_files).await?;
    parts.push(list);
    // A log that has not grown is as the number of its partitions says.
    let as_counted = Layout::of(partitions.len() as u16);
    let grown = Some(Layout::clone(&layout)).filter(|layout| *layout != as_counted);
    let mut manifest = Manifest {
        format: if grown.is_some() { FORMAT } else { FIRST_FORMAT },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at,
        partitions,
        layout: grown,
        register,
        parts,
        files,
        key_id: String::new(),
        signature: String::new(),
    };
    manifest.sign(key)?;
    place.write_manifest(&manifest).await?;
    Ok(Taken { manifest, faults, unreadable: listing.unreadable })
}

/// Seals a partition, and cuts it at its last seal: then everything in the backup is sealed.
async fn cut(source: &Source, partition: u16) -> Result<Cut, Error> {
    source.notary.seal_partition(partition, Utc::now()).await?;
    let last = source.notary.seals.last(partition).await?;
    let (seq, chain) = last.map_or_else(|| (0, CHAIN_START.to_owned()), |seal| (seal.seq, seal.chain));
    Ok(Cut { partition, seq, chain })
}

/// Returns the seals of what is copied.
async fn seals(source: &Source, cuts: &[Cut]) -> Result<Vec<Seal>, Error> {
    let mut found = vec![];
    for Cut { partition, seq, .. } in cuts {
        let seals = source.notary.seals.all(*partition).await?;
        found.extend(seals.into_iter().filter(|seal| seal.seq <= *seq));
    }
    Ok(found)
}

/// Copies the listed files, or compares them where they are, and writes their list.
async fn copy_files(
    source: &Source,
    place: &Place,
    listed: Vec<ListedFile>,
    with_files: bool,
) -> Result<(PartFile, FileCounts, Vec<Fault>), Error> {
    let copied: Vec<Looked> = stream::iter(listed)
        .map(|file| look(source, place, file, with_files))
        .buffered(FILES_AT_A_TIME)
        .try_collect()
        .await?;
    let (mut kept, mut faults) = (vec![], vec![]);
    for looked in copied {
        match looked {
            Looked::Good(file) => kept.push(file),
            Looked::Faulty(fault) => faults.push(fault),
            Looked::Removed => {}
        }
    }
    let bytes = kept.iter().map(|file| file.bytes).sum();
    let counts = FileCounts { files: kept.len() as u64, bytes, are_copied: with_files };
    Ok((place.write_rows(FILES, &kept).await?, counts, faults))
}

enum Looked {
    Good(ListedFile),
    Faulty(Fault),
    /// By an event after the cut.
    Removed,
}

async fn look(
    source: &Source,
    place: &Place,
    mut file: ListedFile,
    with_files: bool,
) -> Result<Looked, Error> {
    let fault = match with_files {
        true => files::copy_in(&source.files, place, &mut file, &source.temporary).await?,
        false => files::fault(&source.files, &file).await?,
    };
    Ok(match fault {
        None => Looked::Good(file),
        Some(_) if !files::is_needed(&source.log, &file).await? => Looked::Removed,
        Some(what) => Looked::Faulty(Fault { key: file.key, what }),
    })
}
