//! When a viewer needs which scene. Somebody who watches from the first moment on comes to a scene when those before it
//! have played.

use chrono::{DateTime, TimeDelta, Utc};

use super::state::{Job, SceneProgress};
use crate::events::job::WorkItem;
use crate::events::{Priority, Stage};

/// From the beginning of a job to its first scene, on an idle machine: as long as the first scene is not there, the viewer is taken to
/// begin then.
const START_UP: TimeDelta = TimeDelta::seconds(2);
/// Speech, where it is not made yet: about 15 characters a second.
const MS_PER_CHARACTER: usize = 65;

impl Job {
    /// When a viewer comes to the scene that a piece of work is about. `None` for the first scene, which goes ahead anyway, for
    /// work on no scene, and where nobody waits for the video.
    pub fn needed_at(&self, item: WorkItem) -> Option<DateTime<Utc>> {
        let scene = item.scene.filter(|scene| *scene > 0)? as usize;
        let is_watched = match item.stage {
            Stage::ScenarioCreation | Stage::CodeGeneration | Stage::Rendering => self.is_narrated_by_scene(),
            Stage::Initializing | Stage::Planning | Stage::Combining | Stage::Storage => false,
        };
        let priority = self.request.as_ref()?.priority;
        if !is_watched || priority == Priority::Low {
            return None;
        }
        let begins = self.playable_at.or_else(|| self.began_at().map(|began| began + START_UP))?;
        let plays_before: u64 = self.scenes.iter().take(scene).map(SceneProgress::plays_for_ms).sum();
        Some(begins + TimeDelta::milliseconds(plays_before as i64))
    }
}

impl SceneProgress {
    fn plays_for_ms(&self) -> u64 {
        match &self.narrated {
            Some(narrated) => narrated.timeline.duration_ms(),
            None => {
                let characters: usize =
                    self.description.steps.iter().map(|step| step.narration.chars().count()).sum();
                (characters * MS_PER_CHARACTER) as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::StageProgress;
    use crate::events::VideoRequest;
    use crate::events::job::NarratedScene;
    use reel_scene::{Scene, SceneTimeline, Step};

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(ms)
    }

    /// A job that began after 10 s, of three scenes of 100 characters, of which the first is narrated and plays for 5 s.
    fn job() -> Job {
        let narrated = NarratedScene {
            artifact: None,
            scene: 0,
            narration: String::new(),
            timeline: SceneTimeline { fps: 30, frames: 150, steps: vec![] },
        };
        let scene = |narrated| SceneProgress {
            description: Scene { steps: vec![Step::new("a".repeat(100), vec![])], ..Scene::default() },
            narrated,
            code: None,
            clip: None,
        };
        let began = StageProgress { started_at: Some(at(10_000)), ..StageProgress::default() };
        Job {
            request: Some(VideoRequest::of_script("Topic", "Words.")),
            stages: [(Stage::Initializing, began)].into(),
            scenes: vec![scene(Some(narrated)), scene(None), scene(None)],
            ..Job::default()
        }
    }

    fn needed(job: &Job, stage: Stage, scene: Option<u32>) -> Option<i64> {
        job.needed_at(WorkItem { stage, scene, attempt: 1 }).map(|at| at.timestamp_millis())
    }

    #[test]
    fn a_scene_is_needed_when_those_before_it_have_played() {
        let mut job = job();
        assert_eq!(needed(&job, Stage::Rendering, Some(0)), None, "it goes ahead anyway");
        assert_eq!(needed(&job, Stage::Rendering, Some(1)), Some(10_000 + 2_000 + 5_000));
        assert_eq!(needed(&job, Stage::ScenarioCreation, Some(2)), Some(17_000 + 6_500), "as it is expected");
        job.playable_at = Some(at(30_000));
        assert_eq!(needed(&job, Stage::CodeGeneration, Some(1)), Some(35_000), "the viewer began later");
    }

    #[test]
    fn nobody_waits_for_work_on_no_scene_and_for_jobs_of_low_priority() {
        let mut job = job();
        for stage in [Stage::Initializing, Stage::Planning, Stage::Combining, Stage::Storage] {
            assert_eq!(needed(&job, stage, None), None, "{stage}");
        }
        job.request.as_mut().unwrap().priority = Priority::Low;
        assert_eq!(needed(&job, Stage::Rendering, Some(1)), None);
        assert_eq!(needed(&Job::default(), Stage::Rendering, Some(1)), None, "a job that is not there");
    }

    #[test]
    fn a_timeline_that_nothing_plays_at_stops_nobody() {
        let mut job = job();
        job.scenes[0].narrated.as_mut().unwrap().timeline =
            SceneTimeline { fps: 0, frames: u32::MAX, steps: vec![] };
        assert!(needed(&job, Stage::Rendering, Some(1)).is_some());
    }
}
