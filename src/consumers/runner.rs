//! The runtime of a worker process: slots for each stage, and what watches over them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::Attempt;
use super::begun::BegunJobs;
use super::headroom::{Headroom, LOOK_AGAIN};
use super::intake::{Held, Intake};
use super::leftovers::{remove_all_but_stream, remove_parts_in_video};
use super::nearby::NearbyScenes;
use super::processor_slots::ProcessorSlots;
use super::render_slots::{self, RenderSlot, RenderSlots};
use super::task::StageHandler;
use super::{catch_up, heartbeat, rebuild, retry, sweep, takeover};
use crate::config::{MediaConfig, StageSettings, Streams};
use crate::controls::Controls;
use crate::domain::job::{Job, Status};
use crate::events::doorbell::Doorbell;
use crate::events::queue::Consumer;
use crate::events::work::TakenWork;
use crate::events::{Actor, Lane, Stage, WorkQueue};
use crate::execute::{Executor, LoadedJob, Origin};
use crate::ids::{CommandId, EventId, JobId};
use crate::storage::{Stores, Workspaces};
use crate::telemetry::chain;

/// Pause before the log is tried again after it failed.
pub(super) const LOG_PAUSE: Duration = Duration::from_millis(500);

/// Jobs that are begun at a time, for each processor slot. A job whose scenes are few leaves slots to others.
pub(super) const BEGUN_FOR_EACH_SLOT: usize = 4;

/// How long to wait for a job to end before it is asked again which have.
const LOOK_FOR_ENDED: Duration = Duration::from_millis(500);

/// How often to look whether a stage is paused no more.
const LOOK_FOR_RESUMED: Duration = Duration::from_millis(200);

/// How long running work may go on after the process was told to stop. What is not done by then is
/// handed back.
const DRAIN: Duration = Duration::from_millis(1500);

/// Returns how many pieces of work of all stages keep the processors of a worker busy at a time.
pub fn processor_slots_of(max_concurrent_renders: usize) -> usize {
    // One more than there are processors: some work waits for a disk, or for the log.
    max_concurrent_renders + 1
}

/// Runs the stages of one process. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    pub(super) executor: Executor,
    pub(super) queue: WorkQueue,
    doorbell: Doorbell,
    pub(super) streams: Arc<Streams>,
    pub(super) workspaces: Workspaces,
    pub(super) stores: Stores,
    max_concurrent_renders: usize,
    processors: ProcessorSlots,
    render_slots: Arc<RenderSlots>,
    /// Scenes of one job that are worked on at a time.
    pub(super) scene_limit: u32,
    /// Unique to this start of the process.
    pub(super) consumer: String,
    pub(super) begun: BegunJobs,
    headroom: Headroom,
    controls: Controls,
    pub(super) held: Held,
    pub(super) nearby: NearbyScenes,
}

impl Worker {
    /// A worker under a consumer name of its own; its stages' files are under `media.root`.
    pub fn new(
        executor: Executor,
        doorbell: Doorbell,
        streams: Streams,
        media: &MediaConfig,
        stores: Stores,
    ) -> Self {
        Self {
            controls: Controls::new(streams.clone()),
            headroom: Headroom::new(&media.root),
            queue: WorkQueue::new(executor.log()),
            executor,
            doorbell,
            streams: Arc::new(streams),
            workspaces: Workspaces::new(&media.root, &stores),
            nearby: NearbyScenes::new(stores.artifacts.is_some()),
            stores,
            max_concurrent_renders: media.max_concurrent_renders,
            processors: ProcessorSlots::new(processor_slots_of(media.max_concurrent_renders)),
            render_slots: Arc::new(RenderSlots::new(media)),
            scene_limit: media.max_scene_concurrency,
            consumer: heartbeat::consumer_name(),
            begun: BegunJobs::new(BEGUN_FOR_EACH_SLOT * processor_slots_of(media.max_concurrent_renders)),
            held: Held::default(),
        }
    }

    /// Takes no work of a stage while operators have paused it.
    pub fn with_controls(self, controls: Controls) -> Self {
        Self { controls, ..self }
    }

    /// Runs until `stop`; then finishes what is running, or hands it back.
    pub async fn run(mut self, handlers: Vec<Arc<dyn StageHandler>>, stop: CancellationToken) {
        // A worker that does not do the last stage does not see jobs end.
        if !handlers.iter().any(|handler| handler.stage() == Stage::Storage) {
            self.begun = BegunJobs::new(usize::MAX);
        }
        rebuild::where_incomplete(&self.executor, &self.queue, &stop).await;
        let running = TaskTracker::new();
        let abandon = CancellationToken::new();
        let loops = TaskTracker::new();
        loops.spawn(takeover::watch(self.clone(), stop.clone()));
        loops.spawn(retry::release(self.queue.clone(), stop.clone()));
        loops.spawn(sweep::watch(self.clone(), stop.clone()));
        loops.spawn(catch_up::watch(self.clone(), stop.clone()));
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

    /// This process as a consumer of a stage's group.
    pub(super) fn consumer_of(&self, stage: Stage) -> Consumer {
        Consumer { stage, group: self.streams.stage(stage).group.clone(), name: self.consumer.clone() }
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
        let bell = self.doorbell.stage(stage);
        let (held, nearby) = (self.held.clone(), self.nearby.clone());
        let mut intake = Intake::new(self.queue.clone(), self.consumer_of(stage), bell, held, nearby);
        let mut is_short = false;
        while !stop.is_cancelled() {
            if self.controls.pause_of(stage).is_some() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(LOOK_FOR_RESUMED) => continue,
                }
            }
            if stage == Stage::Rendering
                && let Some(lacking) = self.headroom.lacking(&self.controls.streams().limits)
            {
                if !std::mem::replace(&mut is_short, true) {
                    tracing::error!(lacking, "no scene is begun until there is room");
                    // What was made before can be made again.
                    if let Err(error) = self.workspaces.clear_caches().await {
                        tracing::warn!(error = chain(&error), "cannot remove what was made before");
                    }
                    continue;
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(LOOK_AGAIN) => continue,
                }
            }
            is_short = false;
            let begins_jobs = stage == Stage::Initializing && handler.is_cpu_bound();
            let is_urgent = intake.first_waiting() == Some(Lane::Urgent);
            if begins_jobs && !is_urgent && self.is_busy_with_begun_jobs().await {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.begun.freed() => continue,
                    () = tokio::time::sleep(LOOK_FOR_ENDED) => continue,
                }
            }
            let first = tokio::select! {
                () = stop.cancelled() => break,
                slot = slots.clone().acquire_owned() => slot,
            };
            let Ok(first) = first else { break };
            let first_waiting = intake.first_waiting();
            let processor = match first_waiting.filter(|_| handler.is_cpu_bound()) {
                None => None,
                Some(lane) => tokio::select! {
                    () = stop.cancelled() => break,
                    slot = self.processors.acquire(stage, lane) => Some(slot),
                },
            };
            // It may have been paused while this waited for its turn.
            if self.controls.pause_of(stage).is_some() {
                continue;
            }
            let free = if processor.is_some() { vec![first] } else { all_free(&slots, first) };
            let free = self.with_render_slots(handler.as_ref(), free);
            if free.is_empty() {
                drop(processor);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(render_slots::LOOK_AGAIN) => continue,
                }
            }
            // Not part of a choice: a call that is dropped may have taken work all the same.
            // Work that takes long is worth a look at all partitions for the oldest job.
            let looked = match &processor {
                Some(_) => intake.take_oldest().await,
                None => intake.take(free.len()).await,
            };
            let failed = match looked {
                Ok(work) if !work.is_empty() => {
                    let mut processor = processor;
                    for (work, slot) in work.into_iter().zip(free) {
                        if begins_jobs {
                            self.begun.add(work.job_id());
                        }
                        let attempt = self.attempt(&handler, work, &settings, &abandon);
                        let slots = (slot, processor.take());
                        running.spawn(async move {
                            attempt.run().await;
                            drop(slots);
                        });
                    }
                    continue;
                }
                Ok(_nothing) => {
                    drop((free, processor));
                    tokio::select! {
                        () = stop.cancelled() => break,
                        waited = intake.wait() => waited.err(),
                    }
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                tracing::error!(%stage, error = %chain(&error), "cannot take work");
                tokio::time::sleep(LOG_PAUSE).await;
            }
        }
    }

    /// Adds a slot of this machine to each slot of the stage that renders. Slots without one are let go.
    fn with_render_slots(
        &self,
        handler: &dyn StageHandler,
        free: Vec<OwnedSemaphorePermit>,
    ) -> Vec<(OwnedSemaphorePermit, Option<RenderSlot>)> {
        if handler.stage() != Stage::Rendering || !handler.is_cpu_bound() {
            return free.into_iter().map(|slot| (slot, None)).collect();
        }
        free.into_iter().map_while(|slot| Some((slot, Some(self.render_slots.try_acquire()?)))).collect()
    }

    /// Whether as many jobs are begun as may be at a time. Some may have ended elsewhere.
    async fn is_busy_with_begun_jobs(&self) -> bool {
        if !self.begun.is_full() {
            return false;
        }
        for job_id in self.begun.list() {
            if let Ok(false) = self.queue.is_open(job_id.aggregate()).await {
                self.begun.remove(job_id);
            }
        }
        self.begun.is_full()
    }

    fn attempt(
        &self,
        handler: &Arc<dyn StageHandler>,
        work: TakenWork,
        settings: &StageSettings,
        abandon: &CancellationToken,
    ) -> Attempt {
        let (worker, handler, abandon) = (self.clone(), handler.clone(), abandon.clone());
        Attempt { worker, handler, work, timeout: settings.timeout, abandon }
    }

    /// Files go only after the end is recorded: until then another attempt may need them.
    pub(super) async fn clean_up(&self, job_id: JobId, loaded: &LoadedJob) {
        let job = &loaded.state;
        if !job.has_ended() {
            return;
        }
        let total_ms = job.requested_at.zip(job.ended_at).map(|(from, to)| (to - from).num_milliseconds());
        tracing::info!(
            %job_id,
            status = ?job.status,
            user_id = %job.user_id,
            total_ms,
            cpu_ms = job.cpu_ms,
            peak_memory_mb = job.peak_memory_bytes >> 20,
            stored_bytes = job.stored.iter().map(|file| file.bytes).sum::<u64>(),
            "job ended"
        );
        self.begun.remove(job_id);
        // Before the folder, by which a sweep finds what a crash leaves.
        if let Err(error) = remove_parts_in_video(&self.stores, job_id, job).await {
            tracing::warn!(error = chain(&error), "a part of the stream is kept twice");
        }
        let workspace = self.workspaces.of(job_id);
        if !is_workspace_kept(job) {
            if let Err(error) = workspace.remove().await {
                tracing::warn!(error = chain(&error), "cannot remove the job's folder");
            }
            if let Err(error) = workspace.remove_artifacts().await {
                tracing::warn!(error = chain(&error), "cannot remove the job's artifacts");
            }
        }
        if job.status != Status::Completed
            && !job.has_only_storing_failed()
            && let Err(error) = remove_all_but_stream(&self.stores, job_id, job).await
        {
            tracing::warn!(error = chain(&error), "cannot remove the job's files");
        }
    }

    /// Commands of one attempt have ids derived from its token, so that each is applied once.
    pub(super) fn origin(&self, work: &TakenWork, what: &str) -> Origin {
        Origin {
            command_id: CommandId::of_attempt(work.receipt.token, what),
            actor: Actor::Worker(self.consumer.clone()),
            // What the job's request began goes on.
            trace: None,
            causation_id: Some(EventId(work.receipt.token.0)),
        }
    }
}

/// Whether what an ended job was made with stays for a while: its request wants it, or only storing the video failed.
pub(super) fn is_workspace_kept(job: &Job) -> bool {
    let is_wanted = job.request.as_ref().is_some_and(|request| !request.cleanup_local_files);
    (job.status == Status::Completed && is_wanted) || job.has_only_storing_failed()
}

fn all_free(slots: &Arc<Semaphore>, first: OwnedSemaphorePermit) -> Vec<OwnedSemaphorePermit> {
    let mut free = vec![first];
    while let Ok(slot) = slots.clone().try_acquire_owned() {
        free.push(slot);
    }
    free
}
