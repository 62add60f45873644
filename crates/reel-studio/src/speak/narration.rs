//! Speaks all scenes of a video and times their steps. The measured durations are the only clock of all later stages.
//!
//! When the request sets a duration, the voice speaks faster or slower within a natural range, and the pauses take up the
//! rest.

use std::future::Future;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::encode::encoder::animation_frames;
use crate::speak::loudness;
use crate::speak::music::{Mixer, Music};
use crate::speak::timeline;
use crate::speak::voice::{Pcm, SAMPLE_RATE_HZ, SpokenLine, Voice};
use crate::threads::{self, Stopped};
use reel_scene::timing::{LEAD_IN_MS, Pauses};
use reel_scene::{Scene, SceneTimeline};

/// Range of the tempo, relative to the voice's own.
const TEMPO_RANGE: std::ops::RangeInclusive<f64> = 0.8..=1.25;
/// Smallest change of tempo for which all lines are spoken again. Below it, pauses alone make up the difference.
const MIN_TEMPO_CHANGE: f64 = 0.03;
/// Range of the length of pauses, relative to the default.
const PAUSE_SCALE_RANGE: std::ops::RangeInclusive<f64> = 0.45..=2.5;
/// Largest relative deviation from the requested duration.
const TOLERANCE: f64 = 0.05;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the video would last from {} to {} s, as fast or slow as the voice can speak, but {} s were asked for",
        min_ms.div_ceil(1000), max_ms / 1000, target_ms / 1000
    )]
    DurationOutOfRange { target_ms: u64, min_ms: u64, max_ms: u64 },
    #[error("the narration cannot be written or read back")]
    Sound(#[from] timeline::Error),
    #[error("the narration stopped unexpectedly")]
    Stopped(#[from] Stopped),
}

/// The input of [`narrate`].
#[derive(Debug, Clone, Copy)]
pub struct Narration<'a> {
    pub scenes: &'a [Scene],
    pub voice: &'a Voice,
    /// Frames per second; must divide the sample rate.
    pub fps: u32,
    /// The voice's gain, as [`crate::speak::calibration::gain`] returns it.
    pub gain: f64,
    /// Requested duration of the video.
    pub duration_ms: Option<u64>,
    /// Music under the voice.
    pub music: Option<&'a Music>,
    /// The folder for the scenes' sounds, each as long as its scene.
    pub folder: &'a Path,
    /// Lines spoken concurrently.
    pub concurrency: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NarratedScene {
    pub timeline: SceneTimeline,
    pub sound: PathBuf,
}

/// Speaks all lines with `speak`, which receives the voice, the number of the line in its scene, and the line. Returns the
/// voice at its final tempo, and the scenes in order. `on_line` receives the lines done and their total.
pub async fn narrate<E, F>(
    narration: Narration<'_>,
    speak: impl Fn(Voice, usize, String) -> F,
    mut on_line: impl FnMut(u64, u64) + Send,
) -> Result<(Voice, Vec<NarratedScene>), E>
where
    E: From<Error>,
    F: Future<Output = Result<SpokenLine, E>>,
{
    let Narration { scenes, voice, fps, gain, duration_ms, music, folder, concurrency } = narration;
    let lines: u64 = scenes.iter().map(|scene| scene.steps.len() as u64).sum();
    let speak_scene =
        async |voice: &Voice, scene: &Scene| speak_lines(voice, scene, concurrency, &speak).await;
    let (mut voice, mut pauses, mut done, mut total) = (voice.clone(), Pauses::default(), 0, lines);
    if let Some(target_ms) = duration_ms {
        // Sounds are dropped at once: memory must not grow with the length of the video.
        let measure =
            async |voice: &Voice, done: &mut u64, total: u64, on_line: &mut (dyn FnMut(u64, u64) + Send)| {
                let mut speech_ms = 0;
                for scene in scenes {
                    let spoken = speak_scene(voice, scene).await?;
                    speech_ms += spoken.iter().map(|line| u64::from(line.duration_ms())).sum::<u64>();
                    *done += spoken.len() as u64;
                    on_line(*done, total);
                }
                Ok::<u64, E>(speech_ms)
            };
        total = 3 * lines;
        let usual = measure(&voice, &mut done, total, &mut on_line).await?;
        let plan = DurationPlan { scenes: scenes.len() as u64, lines, target_ms };
        let tempo = plan.tempo(usual);
        let speech_ms = match (tempo - 1.0).abs() < MIN_TEMPO_CHANGE {
            true => usual,
            false => {
                voice = voice.with_tempo(tempo);
                measure(&voice, &mut done, total, &mut on_line).await?
            }
        };
        done = 2 * lines;
        pauses = plan.pauses(usual, speech_ms)?;
    }
    let mut narrated = Vec::with_capacity(scenes.len());
    for (index, scene) in scenes.iter().enumerate() {
        let spoken = speak_scene(&voice, scene).await?;
        done += spoken.len() as u64;
        narrated.push(write_scene(spoken, scene, fps, pauses, gain, folder.join(sound_file(index))).await?);
        on_line(done, total);
    }
    let Some(music) = music else { return Ok((voice, narrated)) };
    // The music fades out at the end of the video, which is known only now.
    let frames: u64 = narrated.iter().map(|scene| u64::from(scene.timeline.frames)).sum();
    let samples = frames * u64::from(SAMPLE_RATE_HZ) / u64::from(fps);
    let mut mixer = Mixer::new(music, samples);
    for NarratedScene { sound: file, .. } in &narrated {
        let mut sound = read_sound(file).await?;
        mixer.mix(&mut sound);
        write_sound(file.clone(), sound).await?;
    }
    Ok((voice, narrated))
}

/// The input of [`narrate_scene`].
#[derive(Debug, Clone, Copy)]
pub struct SceneNarration<'a> {
    pub scene: &'a Scene,
    /// The scene's place in the video, from 0.
    pub index: usize,
    pub voice: &'a Voice,
    /// Frames per second; must divide the sample rate.
    pub fps: u32,
    /// The voice's gain, as [`crate::speak::calibration::gain`] returns it.
    pub gain: f64,
    /// The folder for the scene's sound.
    pub folder: &'a Path,
    /// Lines spoken concurrently.
    pub concurrency: usize,
}

/// Speaks the lines of one scene with `speak`, at the voice's own tempo and with default pauses.
pub async fn narrate_scene<E, F>(
    narration: SceneNarration<'_>,
    speak: impl Fn(Voice, usize, String) -> F,
) -> Result<NarratedScene, E>
where
    E: From<Error>,
    F: Future<Output = Result<SpokenLine, E>>,
{
    let SceneNarration { scene, index, voice, fps, gain, folder, concurrency } = narration;
    let spoken = speak_lines(voice, scene, concurrency, &speak).await?;
    Ok(write_scene(spoken, scene, fps, Pauses::default(), gain, folder.join(sound_file(index))).await?)
}

async fn speak_lines<E, F>(
    voice: &Voice,
    scene: &Scene,
    concurrency: usize,
    speak: &impl Fn(Voice, usize, String) -> F,
) -> Result<Vec<SpokenLine>, E>
where
    F: Future<Output = Result<SpokenLine, E>>,
{
    let voice = &voice.for_language(&scene.language);
    let lines: Vec<(Voice, String)> =
        scene.steps.iter().map(|step| (voice.for_speaker(step.speaker), step.narration.clone())).collect();
    let lines = stream::iter(lines).enumerate().map(|(index, (voice, line))| speak(voice, index, line));
    lines.buffered(concurrency.max(1)).try_collect().await
}

fn sound_file(scene: usize) -> String {
    format!("{scene:02}.wav")
}

/// Times the steps of a scene, and writes its sound to `sound`. A scene lasts at least as long as its animation.
async fn write_scene(
    spoken: Vec<SpokenLine>,
    scene: &Scene,
    fps: u32,
    pauses: Pauses,
    gain: f64,
    sound: PathBuf,
) -> Result<NarratedScene, Error> {
    let animation_ms = scene.manim().and_then(|(_, duration_ms)| duration_ms);
    let write = move || {
        let mut timeline = timeline::time_steps(&spoken, fps, pauses);
        if let Some(duration_ms) = animation_ms {
            timeline::extend(&mut timeline, animation_frames(duration_ms, fps));
        }
        let mut mixed = timeline::mix(&timeline, &spoken);
        loudness::amplify(&mut mixed, gain);
        timeline::write_wav(&sound, &mixed)?;
        Ok(NarratedScene { timeline, sound })
    };
    threads::run(write).await?
}

async fn read_sound(file: &Path) -> Result<Pcm, Error> {
    let file = file.to_owned();
    Ok(threads::run(move || timeline::read_wav(&file)).await??)
}

async fn write_sound(file: PathBuf, sound: Pcm) -> Result<(), Error> {
    Ok(threads::run(move || timeline::write_wav(&file, &sound)).await??)
}

/// Computes the tempo and the pauses for a requested duration.
#[derive(Debug, Clone, Copy)]
struct DurationPlan {
    scenes: u64,
    lines: u64,
    target_ms: u64,
}

impl DurationPlan {
    /// Returns the silence before the first lines of all scenes.
    fn lead_in_ms(self) -> f64 {
        (self.scenes * LEAD_IN_MS) as f64
    }

    fn pauses_ms(self) -> f64 {
        let Pauses { between_ms, last_ms } = Pauses::default();
        ((self.lines - self.scenes) * between_ms + self.scenes * last_ms) as f64
    }

    /// Returns the tempo with which default pauses fit, within [`TEMPO_RANGE`].
    fn tempo(self, speech_ms: u64) -> f64 {
        let room = self.target_ms as f64 - self.lead_in_ms() - self.pauses_ms();
        let tempo = if room > 0.0 { speech_ms as f64 / room } else { f64::MAX };
        tempo.clamp(*TEMPO_RANGE.start(), *TEMPO_RANGE.end())
    }

    /// Returns the pauses that fill the time beside speech. `usual_ms` is the length of the speech at the voice's own tempo.
    fn pauses(self, usual_ms: u64, speech_ms: u64) -> Result<Pauses, Error> {
        let room = self.target_ms as f64 - self.lead_in_ms() - speech_ms as f64;
        let scale = (room / self.pauses_ms()).clamp(*PAUSE_SCALE_RANGE.start(), *PAUSE_SCALE_RANGE.end());
        let lasts = self.lead_in_ms() + speech_ms as f64 + self.pauses_ms() * scale;
        if (lasts / self.target_ms as f64 - 1.0).abs() <= TOLERANCE {
            return Ok(Pauses::default().scaled(scale));
        }
        let at = |tempo: f64, pauses: f64| {
            (self.lead_in_ms() + usual_ms as f64 / tempo + self.pauses_ms() * pauses) as u64
        };
        Err(Error::DurationOutOfRange {
            target_ms: self.target_ms,
            min_ms: at(*TEMPO_RANGE.end(), *PAUSE_SCALE_RANGE.start()),
            max_ms: at(*TEMPO_RANGE.start(), *PAUSE_SCALE_RANGE.end()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::{Block, Reveal, RichText, Step};

    fn scenes(count: usize, lines: usize) -> Vec<Scene> {
        let scene = |_| Scene {
            title: "A".into(),
            blocks: vec![Block::Paragraph { text: RichText::plain("x") }],
            steps: (0..lines).map(|_| Step::new("x", vec![Reveal { block: 0, part: None }])).collect(),
            ..Scene::default()
        };
        (0..count).map(scene).collect()
    }

    /// Narrates with a voice that takes `ms` for every line at its own tempo; returns the duration and the final voice.
    async fn narrated_duration(ms: f64, target_ms: Option<u64>) -> Result<(u64, String), Error> {
        let folder = tempfile::tempdir().unwrap();
        let scenes = scenes(3, 4);
        let narration = Narration {
            scenes: &scenes,
            voice: &Voice::default(),
            fps: 30,
            gain: 1.0,
            duration_ms: target_ms,
            music: None,
            folder: folder.path(),
            concurrency: 2,
        };
        let speak = |voice: Voice, _, _| async move {
            let Voice::Espeak(espeak) = voice else { unreachable!() };
            let ms = ms * 165.0 / f64::from(espeak.words_per_minute);
            let sound = Pcm { samples: vec![3000; (ms * 48.0) as usize] };
            Ok(SpokenLine { sound, words: vec![] })
        };
        let mut last = (0, 1);
        let (voice, narrated) =
            narrate::<Error, _>(narration, speak, |done, total| last = (done, total)).await?;
        assert_eq!(last.0, last.1, "progress comes to its end");
        let frames: u64 = narrated.iter().map(|scene| u64::from(scene.timeline.frames)).sum();
        for scene in &narrated {
            let sound = timeline::read_wav(&scene.sound).unwrap();
            assert_eq!(sound.samples.len() as u64, u64::from(scene.timeline.frames) * 1600);
        }
        Ok((frames * 1000 / 30, voice.to_string()))
    }

    #[tokio::test]
    async fn a_wanted_duration_is_met_by_tempo_and_pauses() {
        // 12 lines of 3 s, and 6.45 s of pauses: 42.45 s.
        let (usual, _) = narrated_duration(3000.0, None).await.unwrap();
        assert!((42_400..43_000).contains(&usual), "{usual}");
        for target in [36_000_u64, 40_000, 42_000, 45_000, 52_000] {
            let (lasts, voice) = narrated_duration(3000.0, Some(target)).await.unwrap();
            assert!(lasts.abs_diff(target) * 50 <= target, "{lasts} ms, target {target}");
            assert_eq!(voice.contains(" 165 "), target == 42_000, "{target}: {voice}");
        }
    }

    #[tokio::test]
    async fn each_speaker_of_a_scene_has_a_voice() {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = scenes(1, 3).remove(0);
        scene.steps[1].speaker = 2;
        let narration = SceneNarration {
            scene: &scene,
            index: 0,
            voice: &Voice::default(),
            fps: 30,
            gain: 1.0,
            folder: folder.path(),
            concurrency: 1,
        };
        let heard = std::sync::Mutex::new(vec![]);
        let speak = |voice: Voice, _, _| {
            heard.lock().unwrap().push(voice.to_string());
            async { Ok(SpokenLine { sound: Pcm { samples: vec![3000; 48_000] }, words: vec![] }) }
        };
        narrate_scene::<Error, _>(narration, speak).await.unwrap();
        let heard = heard.into_inner().unwrap();
        assert_eq!(heard[0], heard[2]);
        assert!(heard[1].starts_with("espeak-ng en-us+f2 "), "{heard:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_met_is_refused_with_what_can() {
        let error = narrated_duration(3000.0, Some(90_000)).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "the video would last from 33 to 59 s, as fast or slow as the voice can speak, but 90 s were asked for"
        );
        assert!(narrated_duration(3000.0, Some(30_000)).await.is_err());
    }
}
