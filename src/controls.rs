//! The decisions of operators about the running system, as this process knows them: at most a second behind the log.
//!
//! Decisions are events of one aggregate (`domain::operations`). Each process follows it, and asks here before it takes work
//! or a request. A decision outlives every process, and holds from the first moment of one that starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::config::{Streams, Tunable};
use crate::domain::operations::{Decision, Operations, Rejection};
use crate::events::{ReloadedSetting, Stage, TypedId};
use crate::execute::{Error, Executor};
use crate::ids::OperationsId;
use crate::telemetry::{self, chain};

const INTERVAL: Duration = Duration::from_secs(1);

/// Cheap to clone; clones share what is known.
#[derive(Clone)]
pub struct Controls(Arc<Known>);

struct Known {
    /// Version of the aggregate.
    version: AtomicU64,
    decided: ArcSwap<Operations>,
    /// The settings of this process's streams.toml.
    own: ArcSwap<Streams>,
    /// Those, with what operators have set.
    streams: ArcSwap<Streams>,
}

impl Controls {
    /// Nothing is decided until [`Self::refresh`] finds out.
    pub fn new(streams: Streams) -> Self {
        Self(Arc::new(Known {
            version: AtomicU64::new(0),
            decided: ArcSwap::default(),
            own: ArcSwap::from_pointee(streams.clone()),
            streams: ArcSwap::from_pointee(streams),
        }))
    }

    pub fn decided(&self) -> Arc<Operations> {
        self.0.decided.load_full()
    }

    /// Returns the settings that hold now.
    pub fn streams(&self) -> Arc<Streams> {
        self.0.streams.load_full()
    }

    /// Returns why no work of a stage is taken; `None` when it is.
    pub fn pause_of(&self, stage: Stage) -> Option<Decision> {
        self.0.decided.load().paused.get(&stage).cloned()
    }

    /// Follows what is decided until `stop`.
    pub async fn follow(self, executor: Executor, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Err(error) = self.refresh(&executor).await {
                tracing::debug!(
                    error = chain(&error),
                    "it is not known whether operators have decided something"
                );
            }
        }
    }

    pub async fn refresh(&self, executor: &Executor) -> Result<(), Error<Rejection>> {
        let id = OperationsId::of_system();
        let version = executor.log().version(id.aggregate()).await?;
        if version == self.0.version.load(Ordering::Acquire) {
            return Ok(());
        }
        let loaded = executor.load(id).await?;
        let (before, version) = (self.decided(), loaded.tip.version);
        self.0.decided.store(loaded.state);
        self.0.version.store(version, Ordering::Release);
        self.apply_settings();
        let decided = self.decided();
        if decided.log_filter != before.log_filter {
            telemetry::set_filter(decided.log_filter.as_deref());
        }
        Ok(())
    }

    /// Takes the settings of a streams.toml that was read again, and returns what they change.
    pub fn reload(&self, read: Streams) -> Vec<ReloadedSetting> {
        let before = self.0.own.swap(Arc::new(read.clone()));
        self.apply_settings();
        let changed = Tunable::ALL.iter().filter(|tunable| tunable.get(&before) != tunable.get(&read));
        let changed = changed.map(|tunable| ReloadedSetting {
            name: tunable.name().to_owned(),
            before: tunable.get(&before),
            now: tunable.get(&read),
        });
        changed.collect()
    }

    /// Returns the settings that this process has read from its streams.toml.
    pub fn own_streams(&self) -> Arc<Streams> {
        self.0.own.load_full()
    }

    fn apply_settings(&self) {
        let mut streams = Streams::clone(&self.0.own.load());
        for (name, value) in &self.decided().settings {
            // It may have been set by a newer version.
            match Tunable::parse(name).map(|tunable| tunable.set(&mut streams, value)) {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(%error, "a setting keeps the value of streams.toml"),
                None => tracing::warn!(name, "this version cannot change the setting while it runs"),
            }
        }
        self.0.streams.store(Arc::new(streams));
    }
}
