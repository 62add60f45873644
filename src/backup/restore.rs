//! Restores a backup: verifies it, then has every store take back what it has lost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::files::{self, Fault, ListedFile, Listing};
use super::{EXPIRING, Error, FILES, KEYS, Manifest, Place, SEALS};
use crate::audit::{self, Notary, Seal, Verifier};
use crate::consumers::rebuild;
use crate::erasure::Erasure;
use crate::erasure::register::{ErasedUser, Register};
use crate::events::archive::{self, Archive};
use crate::events::expiring::{self, ExpiringKey};
use crate::events::{EventLog, Layout, WorkQueue};
use crate::execute::Executor;
use crate::projections::decisions::Decisions;
use crate::projections::rebuild::Rebuildable;
use crate::projections::trail::Trail;
use crate::projections::{self, Owner, Sources};
use crate::storage::Storage;
use crate::telemetry::chain;
use crate::vault::{StoredKey, Vault};

/// Events applied to a read model at a time.
const BATCH: usize = 2000;
/// Longest wait for the owner of a read model to let go of it.
const OWNER_TIMEOUT: Duration = Duration::from_secs(15);
const OWNER_PAUSE: Duration = Duration::from_millis(100);
/// Files that are verified or copied at a time.
const FILES_AT_A_TIME: usize = 4;
/// The name of the read model in Redis.
const STATUS: &str = "status";

/// The system that a backup is restored to.
pub struct Target {
    pub executor: Executor,
    pub queue: WorkQueue,
    pub sources: Sources,
    pub erasure: Erasure,
    pub notary: Notary,
    /// Interval of the notary's seals.
    pub seal_every: Duration,
    pub register: Register,
    /// The store of videos and uploads.
    pub files: Storage,
    /// A folder for files that are being copied.
    pub temporary: PathBuf,
}

/// The part of a backup that is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything, into an empty log.
    All,
    /// The keys of users' content and the seals, beside a log that was not lost.
    Keys,
    /// The stored files that a log needs and that are missing or damaged.
    Files,
}

/// A verified backup, compared with the system that it is restored to.
#[derive(Debug)]
pub struct Plan {
    pub part: Part,
    pub manifest: Manifest,
    /// That of the backup's log; the archive may have a newer one.
    pub layout: Layout,
    pub ends: Vec<End>,
    pub seals: Vec<Seal>,
    /// As they will be: destroyed, where their user was erased after the backup.
    pub keys: Vec<StoredKey>,
    pub expiring: Vec<ExpiringKey>,
    /// Files in the backup or in its list.
    pub files: Vec<ListedFile>,
    /// Users who were erased after the backup, by their names at the issuer.
    pub erased: Vec<String>,
    /// Whether the register of erasures is the one that the backup knows.
    pub is_register_known: bool,
    /// Sealed events that neither the backup nor the archive has.
    pub lost: Vec<Lost>,
    /// Read models that are ahead of what is restored, and have to be filled again.
    pub ahead: Vec<&'static str>,
}

/// The sequence numbers at which a partition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub partition: u16,
    pub present: u64,
    pub backup: u64,
    /// At least `backup`: the archive may go on after the backup.
    pub restored: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    pub partition: u16,
    /// Sequence numbers.
    pub first: u64,
    pub last: u64,
    pub sealed_at: DateTime<Utc>,
}

/// A step of a restore, with the time that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    pub what: String,
    pub took: Duration,
}

/// The result of a restore.
#[derive(Debug, Default)]
pub struct Restored {
    pub steps: Vec<Timed>,
    /// Keys that could not be added, because their user has another one by now.
    pub refused_keys: Vec<StoredKey>,
    /// What was not restored, a line each.
    pub left: Vec<String>,
    pub files: RestoredFiles,
    /// One for each partition; none where the log was not restored.
    pub reports: Vec<audit::Report>,
}

#[derive(Debug, Default)]
pub struct RestoredFiles {
    /// Files that were as the log says.
    pub there: u64,
    pub restored: u64,
    /// Files that neither the storage nor the backup has.
    pub missing: Vec<Fault>,
}

impl Plan {
    /// Verifies a backup, and compares it with the target. Writes nothing.
    pub async fn make(place: &Place, target: &Target, part: Part, resumes: bool) -> Result<Self, Error> {
        let public_keys = &target.notary.public_keys;
        let manifest = place.manifest(public_keys).await?;
        let configured = target.log().keys().served();
        let layout = manifest.layout.clone();
        let layout = layout.unwrap_or_else(|| Layout::of(manifest.partitions.len() as u16));
        if layout.partitions() > configured {
            return Err(Error::Partitions { backup: layout.partitions(), configured });
        }
        let mut plan = Self {
            part,
            seals: place.rows(manifest.part(SEALS)?).await?,
            keys: place.rows(manifest.part(KEYS)?).await?,
            expiring: place.rows(manifest.part(EXPIRING)?).await?,
            files: place.rows(manifest.part(FILES)?).await?,
            ends: vec![],
            erased: vec![],
            is_register_known: false,
            layout,
            lost: vec![],
            ahead: vec![],
            manifest,
        };
        plan.verify_log(place, target).await?;
        plan.verify_files(place).await?;
        // The log may have grown after the backup.
        for partition in target.log().keys().partitions() {
            let cut = plan.manifest.partitions.iter().find(|cut| cut.partition == partition);
            let seq = cut.map_or(0, |cut| cut.seq);
            plan.ends.push(plan.end(place, target, partition, seq, resumes).await?);
        }
        plan.erase_again(target).await?;
        if part == Part::All {
            plan.find_lost(target).await?;
            plan.find_ahead(target).await?;
        }
        Ok(plan)
    }

    /// Returns an error when a restore would lose what an operator must decide about.
    pub fn check(&self, accepts_loss: bool, erasures_unknown: bool) -> Result<(), Error> {
        if self.part != Part::Files && !self.is_register_known && !erasures_unknown {
            return Err(Error::NoRegister { taken_at: self.manifest.taken_at });
        }
        let (Some(first), Some(last)) =
            (self.lost.first(), self.lost.iter().map(|lost| lost.sealed_at).max())
        else {
            return Ok(());
        };
        if accepts_loss {
            return Ok(());
        }
        let events = self.lost.iter().map(|lost| lost.last + 1 - lost.first).sum();
        Err(Error::SealedLoss { events, partition: first.partition, first: first.first, sealed_at: last })
    }

    /// The copied log must be whole, and end where the manifest says.
    async fn verify_log(&self, place: &Place, target: &Target) -> Result<(), Error> {
        let copy = place.log(target.notary.public_keys.clone());
        for cut in &self.manifest.partitions {
            let seq = archive::verify(&copy, cut.partition, &target.notary.public_keys).await?;
            let last =
                copy.manifests(cut.partition).await?.last().map(|manifest| manifest.chain_after.clone());
            if seq != cut.seq || last.is_some_and(|chain| chain != cut.chain) {
                let reason = format!("partition {} does not end where the manifest says", cut.partition);
                return Err(Error::Damaged { object: "the copied log".to_owned(), reason });
            }
        }
        Ok(())
    }

    async fn verify_files(&self, place: &Place) -> Result<(), Error> {
        if !self.manifest.files.are_copied || self.part == Part::Keys {
            return Ok(());
        }
        let verify = async |file: &ListedFile| -> Result<(), Error> {
            let found = place.storage.content_hash(&Place::file(&file.key)?).await?;
            if found.is_some() && found == file.blake3 {
                return Ok(());
            }
            let reason = "it is gone, or its checksum is not the one in the list";
            Err(Error::Damaged { object: file.key.clone(), reason: reason.to_owned() })
        };
        stream::iter(&self.files).map(verify).buffered(FILES_AT_A_TIME).try_collect::<()>().await
    }

    /// Finds where a partition will end. The log and the archive, as far as they are there, must be those of the backup.
    async fn end(
        &self,
        place: &Place,
        target: &Target,
        partition: u16,
        backup: u64,
        resumes: bool,
    ) -> Result<End, Error> {
        let copy = place.log(target.notary.public_keys.clone());
        let present = target.log().head(partition).await?;
        if self.part == Part::All && present > 0 && !resumes {
            return Err(Error::NotEmpty { partition, head: present });
        }
        let common = match self.part {
            Part::All => present.min(backup),
            Part::Keys | Part::Files => backup,
        };
        if common > 0 {
            let there = target.log().read(partition, common - 1, 1).await?;
            is_same_event(there, &copy, "the log", partition, common).await?;
        }
        let Some(archive) = target.log().archive() else {
            return Ok(End { partition, present, backup, restored: backup.max(present) });
        };
        let archived = archive.last_archived(partition).await?;
        let common = archived.min(backup);
        if common > 0 {
            let there = archive.read(partition, common - 1, 1).await?;
            is_same_event(there, &copy, "the archive", partition, common).await?;
        }
        if self.part == Part::All && archived > backup {
            archive::verify(archive, partition, &target.notary.public_keys).await?;
        }
        Ok(End { partition, present, backup, restored: backup.max(archived).max(present) })
    }

    /// Destroys the keys that were destroyed after the backup, as the register of erasures says.
    async fn erase_again(&mut self, target: &Target) -> Result<(), Error> {
        self.is_register_known = target.register.id().await? == Some(self.manifest.register);
        let erased = target.register.all().await?;
        let erased_at: BTreeMap<_, _> = erased
            .iter()
            .flat_map(|ErasedUser { keys, erased_at, .. }| keys.iter().map(|key| (*key, *erased_at)))
            .collect();
        for key in std::mem::take(&mut self.keys) {
            match erased_at.get(&key.key_id).filter(|_| key.wrapped.is_some()) {
                Some(at) => {
                    self.erased.push(key.user_id.clone());
                    self.keys.push(key.destroyed(*at));
                }
                None => self.keys.push(key),
            }
        }
        self.erased.sort_unstable();
        self.erased.dedup();
        Ok(())
    }

    async fn find_lost(&mut self, target: &Target) -> Result<(), Error> {
        for End { partition, restored, .. } in &self.ends {
            let seals = target.all_seals(*partition).await?;
            let beyond = seals.iter().filter(|seal| seal.seq > *restored);
            if let Some(last) = beyond.max_by_key(|seal| seal.seq) {
                let (first, sealed_at) = (restored + 1, last.signed_at);
                self.lost.push(Lost { partition: *partition, first, last: last.seq, sealed_at });
            }
        }
        Ok(())
    }

    async fn find_ahead(&mut self, target: &Target) -> Result<(), Error> {
        for model in projections::all(&target.sources) {
            for End { partition, present, restored, .. } in &self.ends {
                let (partition, checkpoint) = (*partition, model.checkpoint(*partition).await?);
                if model.name() == STATUS && checkpoint > *present {
                    let prefix = target.log().keys().prefix().to_owned();
                    return Err(Error::OldViews { partition, checkpoint, prefix });
                }
                if checkpoint > *restored && !self.ahead.contains(&model.name()) {
                    self.ahead.push(model.name());
                }
            }
        }
        Ok(())
    }
}

async fn is_same_event(
    there: Vec<(u64, crate::events::Envelope)>,
    copy: &Archive,
    name: &'static str,
    partition: u16,
    seq: u64,
) -> Result<(), Error> {
    match there == copy.read(partition, seq - 1, 1).await? {
        true => Ok(()),
        false => Err(Error::OtherLog { there: name, partition, seq }),
    }
}

impl Target {
    fn log(&self) -> &EventLog {
        self.executor.log()
    }

    fn vault(&self) -> Result<&Vault, Error> {
        self.executor.codec().vault().ok_or(Error::NoVault)
    }

    /// Returns the seals of a partition in Postgres and in `seals.log` that are signed with a known key.
    async fn all_seals(&self, partition: u16) -> Result<Vec<Seal>, Error> {
        let mut seals = self.notary.seal_log.all(partition).await?;
        for seal in self.notary.seals.all(partition).await? {
            if !seals.contains(&seal) {
                seals.push(seal);
            }
        }
        seals.retain(|seal| seal.is_signed_by_any(&self.notary.public_keys));
        Ok(seals)
    }

    /// Carries out a plan. Nobody else may use the stores meanwhile.
    pub async fn restore(&self, place: &Place, plan: &Plan) -> Result<Restored, Error> {
        let mut restored = Restored::default();
        let mut clock = StepClock::new();
        if plan.part != Part::Files {
            restored.refused_keys = self.vault()?.put_back(&plan.keys).await?;
            self.vault()?.migrate().await?;
            let seals = self.restore_seals(plan, &mut restored).await?;
            let keys = plan.keys.len() - restored.refused_keys.len();
            restored.steps.push(clock.step(format!("{keys} keys of users' content, {seals} seals added")));
        }
        if plan.part == Part::All {
            self.restore_log(place, plan, &mut restored, &mut clock).await?;
        }
        if plan.part != Part::Keys {
            restored.files = self.restore_files(place, plan).await?;
            let RestoredFiles { there, restored: copied, missing } = &restored.files;
            let missing = missing.len();
            restored.steps.push(clock.step(format!(
                "{copied} stored files restored, {there} were there, {missing} are in neither"
            )));
        }
        if plan.part == Part::All {
            restored.reports = self.verify().await?;
            restored.steps.push(clock.step("log, seals and trail verified".to_owned()));
        }
        Ok(restored)
    }

    async fn restore_log(
        &self,
        place: &Place,
        plan: &Plan,
        restored: &mut Restored,
        clock: &mut StepClock,
    ) -> Result<(), Error> {
        let (of_backup, of_archive) = self.restore_events(place, plan).await?;
        let keys = expiring::put_back(self.log(), &plan.expiring).await?;
        restored.steps.push(clock.step(format!(
            "{of_backup} events of the backup, {of_archive} newer ones of the archive, {keys} idempotency keys and promises"
        )));
        for model in projections::all(&self.sources) {
            if plan.ahead.contains(&model.name()) {
                model.clear().await?;
            }
        }
        for user in &plan.erased {
            let erased = self.erasure.erase(user).await?;
            self.erasure.record(user, &erased).await?;
            restored.left.extend(erased.failed);
        }
        if !plan.erased.is_empty() {
            restored.steps.push(clock.step(format!("{} users erased again", plan.erased.len())));
        }
        let (mut jobs, mut pieces, mut dead_letters) = (0, 0, 0);
        for partition in self.log().keys().partitions() {
            let built = rebuild(&self.executor, &self.queue, partition).await?;
            jobs += built.open_jobs;
            pieces += built.pieces;
            dead_letters += built.dead_letters;
        }
        restored.steps.push(clock.step(format!(
            "{jobs} open jobs with {pieces} pieces of work queued, {dead_letters} dead letters"
        )));
        for model in projections::all(&self.sources) {
            let applied = self.fill(model.as_ref(), &mut restored.left).await?;
            restored.steps.push(clock.step(format!("{applied} events applied to {}", model.name())));
        }
        Ok(())
    }

    /// Puts events back as they were, with their numbers, histories and command ids.
    async fn restore_events(&self, place: &Place, plan: &Plan) -> Result<(u64, u64), Error> {
        let archived = match self.log().archive() {
            Some(archive) => archive.layout().await?,
            None => None,
        };
        let newest = archived.into_iter().chain([plan.layout.clone()]).max_by_key(|layout| layout.generation);
        if let Some(newest) = newest {
            self.log().take_over_layout(&newest).await?;
        }
        let copy = place.log(self.notary.public_keys.clone());
        let (mut of_backup, mut of_archive) = (0, 0);
        for End { partition, present, backup, restored } in plan.ends.iter().copied() {
            if present < backup {
                of_backup += archive::restore(self.log(), &copy, partition).await?.events;
            }
            if let Some(archive) = self.log().archive().filter(|_| restored > backup.max(present)) {
                of_archive += archive::restore(self.log(), archive, partition).await?.events;
            }
        }
        Ok((of_backup, of_archive))
    }

    /// Adds the seals of what is restored, and sets those of lost events aside, on which the notary could not go on.
    async fn restore_seals(&self, plan: &Plan, restored: &mut Restored) -> Result<u64, Error> {
        let mut added = 0;
        let ends: BTreeMap<u16, u64> = plan.ends.iter().map(|end| (end.partition, end.restored)).collect();
        if !plan.lost.is_empty() {
            for Lost { partition, .. } in &plan.lost {
                let written = self.notary.seal_log.all(*partition).await?;
                let seals = self.notary.seals.all(*partition).await?;
                let unwritten: Vec<Seal> = seals.into_iter().filter(|seal| !written.contains(seal)).collect();
                self.notary.seal_log.append(&unwritten).await?;
            }
            let of = ends.clone();
            let is_lost = move |seal: &Seal| of.get(&seal.partition).is_some_and(|end| seal.seq > *end);
            if let Some(aside) = self.notary.seal_log.set_aside(is_lost, Utc::now()).await? {
                restored.left.push(format!(
                    "the seals of lost events are in {}, with all before them: keep it as the proof of what was there",
                    aside.display()
                ));
            }
            for (partition, end) in &ends {
                self.notary.seals.remove_after(*partition, *end).await?;
            }
        }
        for (partition, end) in &ends {
            let written = self.notary.seal_log.all(*partition).await?;
            let mut seals: Vec<Seal> =
                plan.seals.iter().filter(|seal| seal.partition == *partition).cloned().collect();
            seals.extend(written);
            seals.retain(|seal| {
                let is_covered = plan.part != Part::All || seal.seq <= *end;
                is_covered && seal.is_signed_by_any(&self.notary.public_keys)
            });
            for seal in &seals {
                added += u64::from(self.notary.seals.add(seal).await?);
            }
        }
        Ok(added)
    }

    /// Applies the log to a read model. Stops before an event that cannot be applied, which is for the projector to quarantine.
    async fn fill(&self, model: &dyn Rebuildable, left: &mut Vec<String>) -> Result<u64, Error> {
        let mut decisions = Decisions::new(model.name());
        decisions.refresh(self.log()).await?;
        let mut applied = 0;
        for partition in self.log().keys().partitions() {
            let skips = decisions.skips(partition);
            let mut owner = own(model, partition).await?;
            loop {
                match projections::feed(self.log(), owner.as_mut(), partition, &skips, BATCH, u64::MAX).await
                {
                    Ok(0) => break,
                    Ok(read) => applied += read as u64,
                    Err(error) if error.is_about_one_aggregate() => {
                        left.push(format!(
                            "{} waits after event {} of partition {partition} for a projector, which quarantines what cannot be applied: {}",
                            model.name(),
                            owner.checkpoint(),
                            chain(&error)
                        ));
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            owner.release().await?;
        }
        Ok(applied)
    }

    /// Copies back the files that the log needs and the storage does not have as they were.
    async fn restore_files(&self, place: &Place, plan: &Plan) -> Result<RestoredFiles, Error> {
        let mut listing = Listing::default();
        for partition in self.log().keys().partitions() {
            listing.add_partition(self.log(), partition, self.log().head(partition).await?).await?;
        }
        let in_backup: BTreeMap<&str, &ListedFile> =
            plan.files.iter().map(|file| (file.key.as_str(), file)).collect();
        let restore = async |needed: ListedFile| -> Result<(String, Outcome), Error> {
            let listed = in_backup.get(needed.key.as_str()).copied();
            // The list knows the checksum of an upload, too.
            let Some(what) = files::fault(&self.files, listed.unwrap_or(&needed)).await? else {
                return Ok((needed.key, Outcome::There));
            };
            let is_restored = match listed.filter(|_| plan.manifest.files.are_copied) {
                Some(file) => files::copy_back(place, &self.files, file, &self.temporary).await?,
                None => false,
            };
            Ok((needed.key, if is_restored { Outcome::Restored } else { Outcome::Missing(what) }))
        };
        let outcomes: Vec<(String, Outcome)> =
            stream::iter(listing.files).map(restore).buffered(FILES_AT_A_TIME).try_collect().await?;
        let mut files = RestoredFiles::default();
        for (key, outcome) in outcomes {
            match outcome {
                Outcome::There => files.there += 1,
                Outcome::Restored => files.restored += 1,
                Outcome::Missing(what) => files.missing.push(Fault { key, what }),
            }
        }
        Ok(files)
    }

    /// Seals what was added, and verifies log, archive, seals and trail.
    async fn verify(&self) -> Result<Vec<audit::Report>, Error> {
        let verifier = Verifier {
            log: self.log().clone(),
            trail: Trail::new(self.sources.pool.clone()),
            seals: self.notary.seals.clone(),
            seal_log: self.notary.seal_log.clone(),
            public_keys: self.notary.public_keys.clone(),
            seal_every: self.seal_every,
            gaps_known_until: None,
        };
        let mut reports = vec![];
        for partition in self.log().keys().partitions() {
            self.notary.seal_partition(partition, Utc::now()).await?;
            reports.push(verifier.verify_partition(partition, Utc::now()).await?);
        }
        Ok(reports)
    }
}

enum Outcome {
    There,
    Restored,
    Missing(&'static str),
}

/// Owns a partition of a read model. A session that has just ended may hold it for a moment.
async fn own(model: &dyn Rebuildable, partition: u16) -> Result<Box<dyn Owner>, Error> {
    let began = Instant::now();
    loop {
        match model.own(partition).await? {
            Some(owner) => return Ok(owner),
            None if began.elapsed() > OWNER_TIMEOUT => {
                return Err(Error::Owned { projection: model.name(), partition });
            }
            None => tokio::time::sleep(OWNER_PAUSE).await,
        }
    }
}

/// Measures one step after the other.
struct StepClock(Instant);

impl StepClock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn step(&mut self, what: String) -> Timed {
        let took = self.0.elapsed();
        self.0 = Instant::now();
        Timed { what, took }
    }
}
