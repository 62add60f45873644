//! The stages of the pipeline, and the runtime that feeds them.
//!
//! A stage is a consumer group. The runtime takes work for the free slots of a stage, runs its handler, and records the outcome in
//! the append that acknowledges the work. Handlers only do the work: `domain` decides what follows.
//!
//! Invariants:
//! - A handler may run twice for the same work; its result is recorded once (the attempt token).
//! - Files are written under temporary names and renamed, so a second run never meets half a file.
//! - A stage may run on any machine: what an earlier one made is found by its content.
//! - Every result, error or panic of a handler becomes an event.
//! - Work of a dead worker is started again when its lease expires.
//! - Retryable failures are retried with backoff, a bounded number of times. A terminal failure is a dead letter until an operator
//!   replays or discards it.
//! - An obsolete attempt (cancelled, or taken over) stops within a second.
//!
//! Deliberately absent: decisions about later stages (see `domain`).

mod animations;
mod artifacts;
mod attempt;
pub mod batches;
mod begun;
pub mod callbacks;
mod catch_up;
mod code_generation;
mod combining;
mod error;
mod headroom;
mod heartbeat;
mod initializing;
mod intake;
mod journal;
pub mod leftovers;
pub mod measure;
mod model_planner;
mod model_spend;
mod nearby;
pub mod outbox;
mod planning;
pub mod process_manager;
mod processor_slots;
mod rebuild;
#[cfg(feature = "chaos")]
pub mod rehearsal;
mod render_slots;
mod rendering;
pub mod retrieval;
mod retry;
mod reuse;
mod runner;
mod scenario_creation;
pub mod sidecars;
#[cfg(feature = "chaos")]
pub mod simulation;
mod storage;
mod stream_beginning;
mod sweep;
mod takeover;
mod task;
mod turns;
mod upload;
mod uploaded;
pub mod voices;

pub use error::StageError;
pub use heartbeat::{running_workers, running_workers_here};
pub use rebuild::{Error as RebuildError, Rebuilt, rebuild};
pub use runner::{Worker, processor_slots_of};
pub(crate) use storage::{file_name as stored_file_name, technical};
pub use task::{Progress, StageHandler, Task};

use std::sync::Arc;

use crate::config::Config;
use crate::events::Stage;
use crate::execute::Executor;
use crate::storage::Stores;
use animations::Animations;
use model_planner::ModelPlanner;
use model_spend::DaySpend;
use retrieval::{PastJobs, Retrieval};
use voices::Voices;

/// Share of a stage's time that models get for a plan; the rest is for planning by rules.
const MODEL_SHARE: f64 = 0.8;

/// Returns the handlers of all stages. Fails where the client of language models cannot be set up.
pub fn handlers(
    config: &Config,
    stores: &Stores,
    executor: &Executor,
    past: Arc<dyn PastJobs>,
) -> Result<Vec<Arc<dyn StageHandler>>, reqwest::Error> {
    let media = &config.media;
    let max_time = config.streams.stage(Stage::Planning).timeout.mul_f64(MODEL_SHARE);
    let day = DaySpend::new(executor.log().clone());
    let retrieval = Retrieval::new(config, stores.files.clone(), executor.clone(), past);
    let models = ModelPlanner::new(&config.models, day, max_time, retrieval)?.map(Arc::new);
    // Animations are measured in the time that models leave.
    let share = if models.is_some() { (1.0 - MODEL_SHARE) / 2.0 } else { MODEL_SHARE };
    let max_measuring = config.streams.stage(Stage::Planning).timeout.mul_f64(share);
    let animations = Animations::new(media, max_measuring);
    Ok(vec![
        Arc::new(initializing::Initializing),
        Arc::new(planning::Planning {
            objects: stores.files.clone(),
            models,
            animations: animations.clone(),
        }),
        Arc::new(scenario_creation::ScenarioCreation {
            voices: Voices::new(media),
            music: media.music.clone(),
        }),
        Arc::new(code_generation::CodeGeneration { logos: media.logos.clone() }),
        Arc::new(rendering::Rendering::new(media, stores, animations)),
        Arc::new(combining::Combining),
        Arc::new(storage::Storage {
            stores: stores.clone(),
            media_root: media.root.clone(),
            sidecars: config.streams.sidecars,
        }),
    ])
}
