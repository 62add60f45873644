//! The scenes whose narration is on this machine, where machines share no disk: the machine that spoke a scene renders it
//! without fetching it from the storage.
//!
//! Invariant: this chooses among scenes of the job whose turn it is, and never keeps a slot free.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::events::work::{SceneOrder, TakenWork};
use crate::events::{Lane, Stage};

/// Most scenes that are remembered. More do not wait for one machine.
const MAX_SCENES: usize = 64;

/// Cheap to clone; clones share the scenes.
#[derive(Clone, Default)]
pub struct NearbyScenes(Option<Arc<Mutex<VecDeque<SceneOrder>>>>);

impl NearbyScenes {
    /// Remembers scenes, unless all machines read the same disk.
    pub fn new(has_own_disk: bool) -> Self {
        Self(has_own_disk.then(Arc::default))
    }

    /// Remembers the scene that a piece of work spoke.
    pub fn add(&self, work: &TakenWork) {
        if work.item.stage != Stage::ScenarioCreation || work.item.scene.is_none() {
            return;
        }
        if let Some(mut scenes) = self.scenes() {
            scenes.push_front(work.scene_order());
            scenes.truncate(MAX_SCENES);
        }
    }

    /// Returns the scenes that this machine should rather take, the latest first. Where a viewer waits, the next scene is the
    /// right one, whoever has its files.
    pub fn preferred(&self, stage: Stage, lane: Lane) -> Vec<SceneOrder> {
        if stage != Stage::Rendering || lane <= Lane::NextScene {
            return vec![];
        }
        self.scenes().map_or_else(Vec::new, |scenes| scenes.iter().cloned().collect())
    }

    fn scenes(&self) -> Option<MutexGuard<'_, VecDeque<SceneOrder>>> {
        self.0.as_ref().map(|scenes| scenes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Priority;
    use crate::events::job::WorkItem;
    use crate::events::work::Receipt;
    use crate::ids::{AggregateId, AttemptToken};

    fn work(stage: Stage, scene: u32) -> TakenWork {
        TakenWork {
            aggregate_id: AggregateId(uuid::Uuid::nil()),
            item: WorkItem { stage, scene: Some(scene), attempt: 1 },
            priority: Priority::Normal,
            version: 1,
            requester: "ada".into(),
            began_ms: 1,
            receipt: Receipt {
                stream: String::new(),
                group: String::new(),
                entry_id: String::new(),
                token: AttemptToken(uuid::Uuid::nil()),
            },
        }
    }

    #[test]
    fn scenes_that_were_spoken_here_are_preferred_where_nobody_waits_for_another() {
        let nearby = NearbyScenes::new(true);
        for scene in 0..100 {
            nearby.add(&work(Stage::ScenarioCreation, scene));
        }
        nearby.add(&work(Stage::CodeGeneration, 200));
        let preferred = nearby.preferred(Stage::Rendering, Lane::Normal);
        assert_eq!(preferred.len(), MAX_SCENES);
        assert_eq!(preferred[0], work(Stage::Rendering, 99).scene_order());
        assert_eq!(nearby.preferred(Stage::Rendering, Lane::NextScene), []);
        assert_eq!(nearby.preferred(Stage::Combining, Lane::Normal), []);
        let shared_disk = NearbyScenes::new(false);
        shared_disk.add(&work(Stage::ScenarioCreation, 0));
        assert_eq!(shared_disk.preferred(Stage::Rendering, Lane::Normal), []);
    }
}
