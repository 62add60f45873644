//! Erases the users who asked for it, as an effect of the event that says so.

use async_trait::async_trait;

use super::{Erased, Erasure};
use crate::consumers::outbox::{Carried, Due, Effect, NotCarriedOut};
use crate::events::{Recorded, UserEvent};
use crate::execute::Executor;
use crate::ids::UserId;

/// Erases users. What cannot be erased yet is tried again until it is.
pub struct RequestedErasures {
    pub executor: Executor,
    pub erasure: Erasure,
}

#[derive(Debug, thiserror::Error)]
#[error("{} of the user's jobs are not erased yet: {}", lines.len(), lines.join("; "))]
struct Unfinished {
    lines: Vec<String>,
}

#[async_trait]
impl Effect for RequestedErasures {
    type Source = UserId;

    const NAME: &'static str = "erasures";
    const MAX_IN_FLIGHT: usize = 2;

    fn due(&self, recorded: &Recorded<UserEvent>) -> Due {
        match &recorded.event {
            UserEvent::ErasureRequested { .. } => Due::At(recorded.recorded_at),
            UserEvent::UserErased { .. } => Due::Never,
        }
    }

    async fn carry_out(&self, id: UserId) -> Result<Carried, NotCarriedOut> {
        let loaded = self.executor.load(id).await?;
        let Some(user_id) = &loaded.state.erasure_requested_of else { return Ok(Carried::Settled) };
        let erased = self.erasure.erase(user_id).await?;
        if !erased.failed.is_empty() {
            return Err(Unfinished { lines: erased.failed }.into());
        }
        let Erased { keys, jobs, .. } = &erased;
        self.erasure.record(user_id, &erased).await?;
        tracing::info!(%id, keys, jobs = jobs.len(), "a user who asked for it was erased");
        Ok(Carried::Recorded)
    }
}
