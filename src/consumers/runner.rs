//! The runtime: takes work for free slots, runs it, records how it ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::error::StageError;
use super::heartbeat;
use super::retry;
use super::takeover;
use super::task::{Progress, StageHandler, Task};
use crate::config::{StageSettings, Streams};
use crate::domain::job::{Command, Outcome, Rejection, Status};
use crate::events::doorbell::{self, Doorbell};
use crate::events::job::WorkItem;
use crate::events::work::TakenWork;
use crate::events::{Actor, Error as LogError, Stage};
use crate::execute::{Error, Executed, Executor, LoadedJob, Origin};
use crate::ids::{CommandId, EventId, JobId};
use crate::storage::{LocalStorage, Workspaces};
use crate::telemetry::chain;

/// How often a lease is renewed before it would run out.
const RENEWALS: u32 = 3;

/// At most one progress event in this time for each piece of work.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Pause before the log is tried again after it failed.
const LOG_PAUSE: Duration = Duration::from_millis(500);

/// How long running work may go on after the process was told to stop. What is not done by then is
/// handed back.
const DRAIN: Duration = Duration::from_millis(1500);

/// Runs the stages of one process. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    pub executor: Executor,
    pub doorbell: Doorbell,
    pub streams: Arc<Streams>,
    pub workspaces: Workspaces,
    pub storage: LocalStorage,
    pub max_concurrent_renders: usize,
    /// Unique to this start of the process.
    pub consumer: String,
}

/// A consumer name that no other process start has.
pub fn consumer_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}-{}", std::process::id(), Uuid::now_v7().simple())
}

impl Worker {
    /// Runs until `stop`; then finishes what is running, or hands it back.
    pub async fn run(self, handlers: Vec<Arc<dyn StageHandler>>, stop: CancellationToken) {
        let running = TaskTracker::new();
        let abandon = CancellationToken::new();
        let loops = TaskTracker::new();
        loops.spawn(takeover::watch(self.clone(), stop.clone()));
        loops.spawn(retry::release(self.executor.log().clone(), stop.clone()));
        let beating =
            tokio::spawn(heartbeat::beat(self.executor.log().clone(), self.consumer.clone(), stop.clone()));
        for handler in handlers {
            let (worker, running) = (self.clone(), running.clone());
            loops.spawn(worker.serve_stage(handler, running, stop.clone(), abandon.clone()));
        }
        loops.close();
        loops.wait().await;
        running.close();
        if tokio::time::timeout(DRAIN, running.wait()).await.is_err() {
            tracing::info!(pieces = running.len(), "stopping: handing unfinished work back");
            abandon.cancel();
            running.wait().await;
        }
        // It ends with `stop`; a panic in it is logged by then and hurts nothing.
        let _ended = beating.await;
    }

    fn slots(&self, stage: Stage, settings: &StageSettings) -> usize {
        match stage {
            Stage::Rendering => settings.concurrency.min(self.max_concurrent_renders),
            _ => settings.concurrency,
        }
    }

    async fn serve_stage(
        self,
        handler: Arc<dyn StageHandler>,
        running: TaskTracker,
        stop: CancellationToken,
        abandon: CancellationToken,
    ) {
        let stage = handler.stage();
        let settings = self.streams.stage(stage).clone();
        let slots = Arc::new(Semaphore::new(self.slots(stage, &settings)));
        let mut bell = self.doorbell.stage(stage);
        let mut first_partition = 0;
        while !stop.is_cancelled() {
            // Seen before looking, so that a ring while looking is not missed.
            bell.borrow_and_update();
            let free = tokio::select! {
                () = stop.cancelled() => break,
                slot = slots.clone().acquire_owned() => slot,
            };
            let Ok(first) = free else { break };
            // Not part of the choice above: a call that is dropped may have taken work all the same.
            let taken = self.take(stage, &settings, &slots, first, first_partition).await;
            first_partition = (first_partition + 1) % self.streams.partitions;
            let found = !taken.is_empty();
            for (work, slot) in taken {
                let worker = self.clone();
                let piece = worker.run_piece(handler.clone(), work, settings.timeout, abandon.clone());
                running.spawn(async move {
                    piece.await;
                    drop(slot);
                });
            }
            if !found {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = doorbell::rung(&mut bell) => {}
                }
            }
        }
    }

    /// Takes work for the free slots, `first` and all others. Each call begins with another partition, so
    /// that none is served last for ever.
    async fn take(
        &self,
        stage: Stage,
        settings: &StageSettings,
        slots: &Arc<Semaphore>,
        first: OwnedSemaphorePermit,
        first_partition: u16,
    ) -> Vec<(TakenWork, OwnedSemaphorePermit)> {
        let mut free = vec![first];
        while let Ok(slot) = slots.clone().try_acquire_owned() {
            free.push(slot);
        }
        let mut taken = Vec::new();
        for offset in 0..self.streams.partitions {
            if free.is_empty() {
                break;
            }
            let partition = (first_partition + offset) % self.streams.partitions;
            let log = self.executor.log();
            match log.take(partition, stage, &settings.group, &self.consumer, free.len()).await {
                Ok(work) => taken.extend(work.into_iter().zip(std::mem::take(&mut free))),
                Err(error) => {
                    tracing::error!(%stage, partition, error = %chain(&error), "cannot take work");
                    tokio::time::sleep(LOG_PAUSE).await;
                }
            }
            while let Ok(slot) = slots.clone().try_acquire_owned() {
                free.push(slot);
            }
        }
        taken
    }

    async fn run_piece(
        self,
        handler: Arc<dyn StageHandler>,
        work: TakenWork,
        timeout: Duration,
        abandon: CancellationToken,
    ) {
        let job_id = JobId(work.aggregate_id.0);
        let span = tracing::info_span!("stage", stage = %work.stage, job_id = %job_id, scene = work.scene);
        async {
            let Some((item, loaded)) =
                self.until_settled(&abandon, || self.start(job_id, &work)).await.flatten()
            else {
                return;
            };
            tracing::info!(user_id = %loaded.job.user_id, attempt = item.attempt, "stage started");
            let began = Instant::now();
            let outcome = self.run_handler(handler, &loaded, &work, item, timeout, &abandon).await;
            if abandon.is_cancelled() && outcome.is_err() {
                self.hand_back(&work).await;
                return;
            }
            let duration_ms = began.elapsed().as_millis() as u64;
            match &outcome {
                Ok(_) => tracing::info!(duration_ms, "stage finished"),
                Err(error) => {
                    tracing::error!(duration_ms, code = error.code, error = %chain(error), "stage failed")
                }
            }
            self.until_settled(&abandon, || self.record(job_id, &work, item, &outcome)).await;
        }
        .instrument(span)
        .await;
    }

    /// Repeats a step that the log failed, until it works or the process gives up.
    async fn until_settled<T, F: Future<Output = Result<T, Error>>>(
        &self,
        abandon: &CancellationToken,
        step: impl Fn() -> F,
    ) -> Option<T> {
        loop {
            match step().await {
                Ok(value) => return Some(value),
                Err(Error::Log(error @ LogError::Redis { .. })) if !abandon.is_cancelled() => {
                    tracing::error!(error = %chain(&error), "the event log failed, trying again");
                    tokio::time::sleep(LOG_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "work is left to a later attempt");
                    return None;
                }
            }
        }
    }

    /// Records that the work began. `None` when there is nothing to do any more.
    async fn start(&self, job_id: JobId, work: &TakenWork) -> Result<Option<(WorkItem, LoadedJob)>, Error> {
        let loaded = self.executor.load(job_id).await?;
        let is_this = |item: &&WorkItem| (item.stage, item.scene) == (work.stage, work.scene);
        let Some(item) = loaded.job.open_work.iter().find(is_this).copied() else {
            self.executor.dismiss(job_id, &work.receipt).await?;
            return Ok(None);
        };
        let origin = self.origin(&loaded, work, "start");
        match self.executor.execute_on(job_id, loaded, Command::StartWork(item), &origin, None).await {
            Ok(executed) => Ok(Some((item, executed.loaded))),
            Err(Error::Rejected(rejection)) => {
                self.dismiss(job_id, work, &rejection).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn run_handler(
        &self,
        handler: Arc<dyn StageHandler>,
        loaded: &LoadedJob,
        work: &TakenWork,
        item: WorkItem,
        timeout: Duration,
        abandon: &CancellationToken,
    ) -> Result<Outcome, StageError> {
        let job_id = JobId(work.aggregate_id.0);
        let (progress, reports) = Progress::channel();
        let task = Task {
            job_id,
            job: Arc::new(loaded.job.clone()),
            scene: work.scene,
            token: work.receipt.token,
            workspace: self.workspaces.of(job_id),
            progress,
            cancel: abandon.child_token(),
        };
        let cancel = task.cancel.clone();
        // A task of its own, so that a panic in a handler is an error like any other.
        let mut running = tokio::spawn(async move { handler.run(&task).await }.in_current_span());
        let reporting = self.report_progress(loaded, work, item, reports);
        tokio::pin!(reporting);
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        let mut renewals = tokio::time::interval(self.streams.stage(work.stage).lease / RENEWALS);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut timed_out = false;
        let joined = loop {
            tokio::select! {
                joined = &mut running => break joined,
                () = &mut reporting => {}
                _ = renewals.tick() => self.renew(work).await,
                () = &mut deadline, if !timed_out => {
                    timed_out = true;
                    cancel.cancel();
                }
            }
        };
        match joined {
            _ if timed_out => {
                let message = format!("{} took longer than {} s", work.stage, timeout.as_secs());
                Err(StageError::retryable("STAGE_TIMEOUT", message)
                    .suggest("use a shorter script or a lower quality"))
            }
            Ok(outcome) => outcome,
            Err(panic) => {
                Err(StageError::terminal("INTERNAL_ERROR", "the stage stopped unexpectedly").because(panic))
            }
        }
    }

    /// One missed renewal does no harm: the lease is longer than two.
    async fn renew(&self, work: &TakenWork) {
        if let Err(error) = self.executor.log().renew(&work.receipt, &self.consumer).await {
            tracing::warn!(error = %chain(&error), "a lease was not renewed");
        }
    }

    /// Records progress as the handler reports it, at a bounded rate. Never returns.
    async fn report_progress(
        &self,
        loaded: &LoadedJob,
        work: &TakenWork,
        item: WorkItem,
        mut reports: watch::Receiver<(u64, u64)>,
    ) {
        let job_id = JobId(work.aggregate_id.0);
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        for number in 1_u64.. {
            ticks.tick().await;
            if reports.changed().await.is_err() {
                break;
            }
            let (done, total) = *reports.borrow_and_update();
            let origin = self.origin(loaded, work, &format!("progress:{number}"));
            let command = Command::ReportProgress { item, done, total };
            // Progress is worth one try: the next report says more.
            if let Err(error) = self.executor.execute(job_id, command, &origin, None).await {
                tracing::debug!(error = %chain(&error), "progress was not recorded");
            }
        }
        std::future::pending().await
    }

    async fn record(
        &self,
        job_id: JobId,
        work: &TakenWork,
        item: WorkItem,
        outcome: &Result<Outcome, StageError>,
    ) -> Result<(), Error> {
        let command = match outcome {
            Ok(outcome) => Command::FinishWork { item, outcome: outcome.clone() },
            Err(error) => Command::FailWork {
                item,
                error: error.to_failure(),
                most_attempts: self.streams.stage(work.stage).attempts,
                delay_ms: retry::delay_ms(item.attempt),
            },
        };
        let loaded = self.executor.load(job_id).await?;
        let origin = self.origin(&loaded, work, "finish");
        match self.executor.execute_on(job_id, loaded, command, &origin, Some(&work.receipt)).await {
            Ok(executed) => self.clean_up(job_id, &executed),
            Err(Error::Rejected(rejection)) => self.dismiss(job_id, work, &rejection).await?,
            Err(Error::Log(LogError::StaleAttempt)) => {
                tracing::warn!("a newer attempt has taken over; this result is dropped");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Files go only after the end is recorded: until then another attempt may need them.
    pub(super) fn clean_up(&self, job_id: JobId, executed: &Executed) {
        let job = &executed.loaded.job;
        if !job.has_ended() {
            return;
        }
        tracing::info!(status = ?job.status, user_id = %job.user_id, "job ended");
        let mut removed = self.workspaces.of(job_id).remove();
        if job.status == Status::Failed {
            removed = removed.and(self.storage.remove(job_id));
        }
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove the job's files");
        }
    }

    async fn dismiss(&self, job_id: JobId, work: &TakenWork, rejection: &Rejection) -> Result<(), Error> {
        tracing::info!(reason = %rejection, "nothing to do");
        self.executor.dismiss(job_id, &work.receipt).await
    }

    async fn hand_back(&self, work: &TakenWork) {
        if let Err(error) = self.executor.log().hand_back(work).await {
            tracing::error!(error = %chain(&error), "cannot hand work back");
        }
    }

    /// Commands of one attempt have ids derived from its token, so that each is applied once.
    pub(super) fn origin(&self, loaded: &LoadedJob, work: &TakenWork, what: &str) -> Origin {
        Origin {
            command_id: CommandId::of_attempt(work.receipt.token, what),
            actor: Actor::Worker(self.consumer.clone()),
            correlation_id: loaded.correlation_id.clone(),
            traceparent: loaded.traceparent.clone(),
            causation_id: Some(EventId(work.receipt.token.0)),
        }
    }
}
