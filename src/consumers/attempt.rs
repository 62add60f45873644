//! One attempt at one piece of work: records its start, runs its handler, monitors it, and records its outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::error::StageError;
use super::journal::Journal;
use super::measure;
use super::retry;
use super::runner::{LOG_PAUSE, Worker};
use super::task::{Progress, StageHandler, Task, with_urgency};
use crate::alerts;
use crate::crash;
use crate::domain::job::{Command, Job, Outcome, Rejection};
use crate::error_codes::ErrorCode;
use crate::events::job::{Usage, WorkItem};
use crate::events::work::TakenWork;
use crate::events::{Error as LogError, Stage};
use crate::execute::{Error, Executed, LoadedJob};
use crate::ids::JobId;
use crate::storage::Cache;
use crate::telemetry::chain;
use crate::telemetry::traces::{AttemptSpan, Piece};
use reel_studio::usage::Meter;

/// Interval of lease renewals. A renewal also tells whether the attempt is still current, so a cancelled or superseded attempt
/// stops this soon.
const RENEWAL_INTERVAL: Duration = Duration::from_millis(250);

/// Shortest interval between progress events of a piece of work.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// An attempt and its dependencies.
pub struct Attempt {
    pub worker: Worker,
    pub handler: Arc<dyn StageHandler>,
    pub work: TakenWork,
    pub timeout: Duration,
    /// Cancelled when the process must stop now.
    pub abandon: CancellationToken,
}

/// The end of a handler's run.
enum HandlerEnd {
    Returned(Result<Outcome, StageError>),
    /// The attempt is no longer the current one.
    Superseded,
}

impl Attempt {
    fn job_id(&self) -> JobId {
        self.work.job_id()
    }

    /// Runs the attempt. In the end, the work is acknowledged, handed back, or left to a takeover.
    pub async fn run(self) {
        let (job_id, item) = (self.job_id(), self.work.item);
        let span = tracing::info_span!("stage", stage = %item.stage, %job_id, scene = item.scene);
        let began = Instant::now();
        async {
            if let Some(loaded) = self.until_settled(|| self.start()).await.flatten() {
                crash::point("attempt.started");
                self.do_work(loaded, began).await;
            }
        }
        .instrument(span)
        .await;
        self.worker.held.remove(&self.work);
    }

    fn piece(&self) -> Piece {
        let WorkItem { stage, scene, attempt } = self.work.item;
        Piece {
            job_id: self.job_id().to_string(),
            stage: stage.name(),
            scene,
            attempt,
            scheduled_at: self.work.receipt.token.made_at(),
        }
    }

    /// `taken` is when the slot was taken.
    async fn do_work(&self, loaded: LoadedJob, taken: Instant) {
        tracing::info!(user_id = %loaded.state.user_id, attempt = self.work.item.attempt, "stage started");
        let (began, meter) = (Instant::now(), Meter::default());
        let (stage, traceparent) = (self.work.item.stage, loaded.tip.traceparent.clone());
        measure::note_wait(&self.work, &traceparent);
        let span = AttemptSpan::begin(&traceparent, self.piece());
        let outcome = match self.run_handler(loaded, &meter).await {
            HandlerEnd::Superseded => {
                tracing::info!("stopped: cancelled, or taken over by another worker");
                measure::note_attempt(stage, "abandoned", began.elapsed(), &traceparent);
                self.until_settled(|| self.leave()).await;
                return;
            }
            HandlerEnd::Returned(Err(_)) if self.abandon.is_cancelled() => {
                measure::note_attempt(stage, "abandoned", began.elapsed(), &traceparent);
                self.hand_back().await;
                return;
            }
            HandlerEnd::Returned(outcome) => outcome,
        };
        let duration_ms = began.elapsed().as_millis() as u64;
        let ended = if outcome.is_ok() { "succeeded" } else { "failed" };
        measure::note_attempt(stage, ended, began.elapsed(), &traceparent);
        match &outcome {
            Ok(_) => tracing::info!(duration_ms, "stage finished"),
            Err(error) => {
                tracing::error!(duration_ms, code = %error.code, error = %error.for_log(), "stage failed")
            }
        }
        let usage = Usage {
            cpu_ms: meter.cpu_ms(),
            wall_ms: taken.elapsed().as_millis() as u64,
            peak_memory_bytes: meter.peak_memory_bytes(),
        };
        measure::note_usage(stage, &usage);
        span.end(outcome.as_ref().err().map(|error| error.code.name()));
        if outcome.is_ok() {
            self.worker.nearby.add(&self.work);
        }
        crash::point("attempt.done");
        self.until_settled(|| self.record(&outcome, usage)).await;
        crash::point("attempt.recorded");
    }

    /// Repeats a step while the log fails, until it succeeds or the process stops.
    async fn until_settled<T, F: Future<Output = Result<T, Error>>>(
        &self,
        step: impl Fn() -> F,
    ) -> Option<T> {
        loop {
            match step().await {
                Ok(value) => return Some(value),
                Err(error) if error.is_retryable() && !self.abandon.is_cancelled() => {
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

    /// Records the start of the work. `None` when the work is obsolete.
    async fn start(&self) -> Result<Option<LoadedJob>, Error> {
        let origin = self.worker.origin(&self.work, "start");
        let command = Command::StartWork(self.work.item);
        let executor = &self.worker.executor;
        match executor.execute_since(self.job_id(), self.work.version, command, &origin, None).await {
            // Redelivered work was started before, and may have ended since.
            Ok(executed) if !executed.loaded.state.open_work.contains(&self.work.item) => {
                self.leave().await.map(|()| None)
            }
            Ok(executed) => Ok(Some(executed.loaded)),
            Err(Error::Rejected(rejection)) => self.dismiss(&rejection).await.map(|()| None),
            Err(error) => Err(error),
        }
    }

    async fn run_handler(&self, loaded: LoadedJob, meter: &Meter) -> HandlerEnd {
        let (work, item) = (&self.work, self.work.item);
        let (progress, reports) = Progress::channel();
        let cancel = self.abandon.child_token();
        let cache = self.worker.workspaces.cache_of(&loaded.state.user_id);
        let task = Task {
            job_id: self.job_id(),
            job: loaded.state,
            scene: item.scene,
            token: work.receipt.token,
            workspace: self.worker.workspaces.of(self.job_id()),
            cache: cache.clone(),
            journal: Journal {
                executor: self.worker.executor.clone(),
                job_id: self.job_id(),
                item,
                token: work.receipt.token,
                worker: self.worker.consumer.clone(),
            },
            progress,
            cancel: cancel.clone(),
        };
        let handler = self.handler.clone();
        // A separate task turns a panic of the handler into an error.
        let work = with_urgency(item.scene, async move { handler.run(&task).await });
        let work = meter.clone().count(work);
        let mut running = tokio::spawn(work.in_current_span());
        let reporting = self.report_progress(reports);
        tokio::pin!(reporting);
        let deadline = tokio::time::sleep(self.timeout);
        tokio::pin!(deadline);
        let first_look = tokio::time::Instant::now() + RENEWAL_INTERVAL;
        let mut looks = tokio::time::interval_at(first_look, RENEWAL_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut timed_out, mut superseded) = (false, false);
        let joined = loop {
            tokio::select! {
                joined = &mut running => break joined,
                () = &mut reporting => {}
                _ = looks.tick(), if !superseded => {
                    meter.note_memory();
                    if !self.is_still_wanted().await {
                        superseded = true;
                        cancel.cancel();
                    }
                }
                () = &mut deadline, if !timed_out => {
                    timed_out = true;
                    cancel.cancel();
                }
            }
        };
        match joined {
            _ if superseded => HandlerEnd::Superseded,
            _ if timed_out => {
                let message = format!("{} took longer than {} s", item.stage, self.timeout.as_secs());
                let error = StageError::retryable(ErrorCode::StageTimeout, message)
                    .suggest("use a shorter script or a lower quality");
                HandlerEnd::Returned(Err(error))
            }
            Ok(outcome) => {
                if outcome.as_ref().is_err_and(|error| error.code == ErrorCode::DiskFull) {
                    raise_full(item.stage);
                    make_room(cache).await;
                }
                HandlerEnd::Returned(outcome)
            }
            Err(panic) => {
                let error = StageError::terminal(ErrorCode::InternalError, "the stage stopped unexpectedly");
                HandlerEnd::Returned(Err(error.because(panic)))
            }
        }
    }

    /// Renews the lease, and returns `true` while the attempt is current. While the log is unavailable, the work goes on.
    async fn is_still_wanted(&self) -> bool {
        let (receipt, id) = (&self.work.receipt, self.work.aggregate_id);
        match self.worker.queue.renew(receipt, id, &self.worker.consumer).await {
            Ok(is_current) => is_current,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a lease was not renewed");
                true
            }
        }
    }

    /// Records the handler's progress at a bounded rate. Never returns.
    async fn report_progress(&self, mut reports: watch::Receiver<(u64, u64)>) {
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        for number in 1_u64.. {
            ticks.tick().await;
            if reports.changed().await.is_err() {
                break;
            }
            let (done, total) = *reports.borrow_and_update();
            let origin = self.worker.origin(&self.work, &format!("progress:{number}"));
            let command = Command::ReportProgress { item: self.work.item, done, total };
            // Progress is not retried: the next report supersedes it.
            if let Err(error) = self.worker.executor.execute(self.job_id(), command, &origin, None).await {
                tracing::debug!(error = %chain(&error), "progress was not recorded");
            }
        }
        std::future::pending().await
    }

    async fn record(&self, outcome: &Result<Outcome, StageError>, usage: Usage) -> Result<(), Error> {
        let item = self.work.item;
        let command = match outcome {
            Ok(outcome) => {
                let scene_limit = self.worker.scene_limit;
                Command::FinishWork { item, outcome: outcome.clone(), scene_limit }
            }
            Err(error) => {
                // Until its next attempt, others may begin.
                self.worker.begun.remove(self.job_id());
                self.failed(error)
            }
        };
        match self.finish(command, usage).await {
            Ok(executed) => {
                self.worker.note_end(self.job_id(), &executed).await;
                self.worker.clean_up(self.job_id(), &executed.loaded).await;
            }
            Err(Error::Rejected(Rejection::WrongOutcome { reason, .. })) => {
                self.fail_for_good(format!("the result of the stage does not fit: {reason}"), usage).await?;
            }
            Err(error @ Error::Unreadable { .. }) => {
                tracing::error!(error = %chain(&error), "the result of the stage was not recorded");
                self.fail_for_good("the result of the stage could not be recorded".to_owned(), usage).await?;
            }
            Err(Error::Rejected(rejection)) => self.dismiss(&rejection).await?,
            Err(Error::Log(LogError::StaleAttempt)) => {
                tracing::warn!("a newer attempt has taken over; this result is dropped");
                self.leave().await?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Another attempt would end the same way.
    async fn fail_for_good(&self, message: String, usage: Usage) -> Result<(), Error> {
        let failed = self.failed(&StageError::terminal(ErrorCode::InternalError, message));
        let executed = self.finish(failed, usage).await?;
        self.worker.note_end(self.job_id(), &executed).await;
        self.worker.clean_up(self.job_id(), &executed.loaded).await;
        Ok(())
    }

    fn failed(&self, error: &StageError) -> Command {
        let item = self.work.item;
        let most_attempts = self.worker.streams.stage(item.stage).attempts;
        let delay_ms = retry::delay_ms(item.attempt);
        Command::FailWork { item, error: error.to_failure(), most_attempts, delay_ms }
    }

    async fn finish(&self, ending: Command, usage: Usage) -> Result<Executed<Job>, Error> {
        let command = Command::Measure { item: self.work.item, usage, ending: Box::new(ending) };
        let origin = self.worker.origin(&self.work, "finish");
        let (executor, done) = (&self.worker.executor, Some(&self.work.receipt));
        executor.execute_since(self.job_id(), self.work.version, command, &origin, done).await
    }

    async fn dismiss(&self, rejection: &Rejection) -> Result<(), Error> {
        tracing::info!(reason = %rejection, "nothing to do");
        self.leave().await
    }

    /// Releases obsolete work. If its job has ended, removes the files of this attempt.
    async fn leave(&self) -> Result<(), Error> {
        self.worker.executor.dismiss(self.job_id(), &self.work.receipt).await?;
        let loaded = self.worker.executor.load(self.job_id()).await?;
        self.worker.clean_up(self.job_id(), &loaded).await;
        Ok(())
    }

    async fn hand_back(&self) {
        if let Err(error) = self.worker.queue.hand_back(&self.work).await {
            tracing::error!(error = %chain(&error), "cannot hand work back");
        }
    }
}

fn raise_full(stage: Stage) {
    let code = alerts::Code::StoreFull;
    tracing::error!(alert = code.name(), %stage, "a disk is full");
    let message =
        format!("the disk that {stage} writes to is full; work is tried again, and fails in the end");
    alerts::raise(code, message, vec![("stage", stage.name().to_owned())]);
}

/// On a full disk, evicts the user's cached results, so that the next try has room.
async fn make_room(cache: Cache) {
    match cache.clear().await {
        Ok(()) => tracing::warn!("the disk is full: the user's cached results are removed"),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the disk is full, and the cache cannot be removed")
        }
    }
}
