//! All scenes of a video spoken and laid out in time: the measured durations are the only clock of what follows.
//!
//! Where the video is to last as long as somebody asked for, the voice speaks faster or slower, within what sounds
//! natural, and the pauses take up the rest.

use std::future::Future;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::speak::loudness::{self, Meter};
use crate::speak::music::{Mixer, Music};
use crate::speak::narration::{Pcm, SAMPLE_RATE_HZ, Voice};
use crate::speak::timeline;
use crate::usage::metered;
use reel_scene::timing::{LEAD_IN_MS, Pauses};
use reel_scene::{Scene, SceneTimeline};

/// How much faster or slower than usual the voice may speak.
const TEMPOS: std::ops::RangeInclusive<f64> = 0.8..=1.25;
/// A tempo nearer to the usual than this is not worth speaking everything again: pauses do.
const LEAST_CHANGE: f64 = 0.03;
/// How much longer or shorter than usual pauses may be.
const PAUSES: std::ops::RangeInclusive<f64> = 0.45..=2.5;
/// How far the video's duration may be from what was asked for.
const TOLERANCE: f64 = 0.05;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the video would last from {} to {} s, as fast or slow as the voice can speak, but {} s were asked for",
        least_ms.div_ceil(1000), most_ms / 1000, wanted_ms / 1000
    )]
    OutOfReach { wanted_ms: u64, least_ms: u64, most_ms: u64 },
    #[error("the narration cannot be kept")]
    Sound(#[from] timeline::Error),
    #[error("the loudness of the narration cannot be measured")]
    Loudness(#[from] ebur128::Error),
    #[error("the narration's work was stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// What to say, and how.
#[derive(Debug, Clone, Copy)]
pub struct Narration<'a> {
    pub scenes: &'a [Scene],
    pub voice: &'a Voice,
    /// Divides the sample rate.
    pub fps: u32,
    /// How long the video should last, if somebody cares.
    pub duration_ms: Option<u64>,
    /// What plays under the voice.
    pub music: Option<&'a Music>,
    /// Where the scenes' sounds go, each as long as its scene.
    pub folder: &'a Path,
    /// Lines spoken at a time.
    pub at_a_time: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NarratedScene {
    pub timeline: SceneTimeline,
    pub sound: PathBuf,
}

/// Speaks all lines with `speak`, which gets a voice, the line's number in its scene, and the line. Returns who spoke, and
/// the scenes in their order. `on_line` counts lines.
pub async fn narrate<E, F>(
    narration: Narration<'_>,
    speak: impl Fn(Voice, usize, String) -> F,
    mut on_line: impl FnMut(u64, u64) + Send,
) -> Result<(Voice, Vec<NarratedScene>), E>
where
    E: From<Error>,
    F: Future<Output = Result<Pcm, E>>,
{
    let Narration { scenes, voice, fps, duration_ms, music, folder, at_a_time } = narration;
    let lines: u64 = scenes.iter().map(|scene| scene.steps.len() as u64).sum();
    let speak_scene = async |voice: &Voice, scene: &Scene| -> Result<Vec<Pcm>, E> {
        let lines: Vec<String> = scene.steps.iter().map(|step| step.narration.clone()).collect();
        let spoken = stream::iter(lines).enumerate().map(|(index, line)| speak(voice.clone(), index, line));
        spoken.buffered(at_a_time.max(1)).try_collect().await
    };
    let (mut voice, mut pauses, mut done, mut total) = (voice.clone(), Pauses::default(), 0, lines);
    if let Some(wanted_ms) = duration_ms {
        // Sounds are not kept: a long video must not take more memory than a short one.
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
        let shape = Shape { scenes: scenes.len() as u64, lines, wanted_ms };
        let tempo = shape.tempo(usual);
        let speech_ms = match (tempo - 1.0).abs() < LEAST_CHANGE {
            true => usual,
            false => {
                voice = voice.at_tempo(tempo);
                measure(&voice, &mut done, total, &mut on_line).await?
            }
        };
        done = 2 * lines;
        pauses = shape.pauses(usual, speech_ms)?;
    }
    let mut meter = Meter::new().map_err(Error::from)?;
    let mut narrated = Vec::with_capacity(scenes.len());
    for (index, scene) in scenes.iter().enumerate() {
        let spoken = speak_scene(&voice, scene).await?;
        let timeline = timeline::lay_out(&spoken, fps, pauses);
        let mixed = timeline::mix(&timeline, &spoken);
        meter.add(&mixed).map_err(Error::from)?;
        let sound = folder.join(format!("{index:02}.wav"));
        let file = sound.clone();
        blocking(move || timeline::write_wav(&file, &mixed)).await?;
        done += spoken.len() as u64;
        on_line(done, total);
        narrated.push(NarratedScene { timeline, sound });
    }
    // All scenes of a voice get the same gain: how it speaks is its own.
    let gain = meter.gain();
    let frames: u64 = narrated.iter().map(|scene| u64::from(scene.timeline.frames)).sum();
    let samples = frames * u64::from(SAMPLE_RATE_HZ) / u64::from(fps);
    let mut mixer = music.map(|music| Mixer::new(music, samples));
    for NarratedScene { sound: file, .. } in &narrated {
        let mut sound = read(file).await?;
        loudness::amplify(&mut sound, gain);
        if let Some(mixer) = &mut mixer {
            mixer.mix(&mut sound);
        }
        let file = file.clone();
        blocking(move || timeline::write_wav(&file, &sound)).await?;
    }
    Ok((voice, narrated))
}

async fn read(file: &Path) -> Result<Pcm, Error> {
    let file = file.to_owned();
    Ok(tokio::task::spawn_blocking(metered(move || timeline::read_wav(&file))).await??)
}

async fn blocking(work: impl FnOnce() -> Result<(), timeline::Error> + Send + 'static) -> Result<(), Error> {
    Ok(tokio::task::spawn_blocking(metered(work)).await??)
}

/// How much a video says, and how long it should last.
#[derive(Debug, Clone, Copy)]
struct Shape {
    scenes: u64,
    lines: u64,
    wanted_ms: u64,
}

impl Shape {
    /// The silence before the scenes' first lines.
    fn lead_ms(self) -> f64 {
        (self.scenes * LEAD_IN_MS) as f64
    }

    fn pauses_ms(self) -> f64 {
        let Pauses { between_ms, last_ms } = Pauses::default();
        ((self.lines - self.scenes) * between_ms + self.scenes * last_ms) as f64
    }

    /// How much faster than usual, so that usual pauses fit.
    fn tempo(self, speech_ms: u64) -> f64 {
        let room = self.wanted_ms as f64 - self.lead_ms() - self.pauses_ms();
        let tempo = if room > 0.0 { speech_ms as f64 / room } else { f64::MAX };
        tempo.clamp(*TEMPOS.start(), *TEMPOS.end())
    }

    /// Pauses that take up what speech leaves; `usual_ms` is how long it takes at the usual tempo.
    fn pauses(self, usual_ms: u64, speech_ms: u64) -> Result<Pauses, Error> {
        let room = self.wanted_ms as f64 - self.lead_ms() - speech_ms as f64;
        let scale = (room / self.pauses_ms()).clamp(*PAUSES.start(), *PAUSES.end());
        let lasts = self.lead_ms() + speech_ms as f64 + self.pauses_ms() * scale;
        if (lasts / self.wanted_ms as f64 - 1.0).abs() <= TOLERANCE {
            return Ok(Pauses::default().scaled(scale));
        }
        let at = |tempo: f64, pauses: f64| {
            (self.lead_ms() + usual_ms as f64 / tempo + self.pauses_ms() * pauses) as u64
        };
        Err(Error::OutOfReach {
            wanted_ms: self.wanted_ms,
            least_ms: at(*TEMPOS.end(), *PAUSES.start()),
            most_ms: at(*TEMPOS.start(), *PAUSES.end()),
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

    /// A voice of which every line takes `ms` at the usual tempo.
    async fn lasting(ms: f64, wanted_ms: Option<u64>) -> Result<(u64, String), Error> {
        let folder = tempfile::tempdir().unwrap();
        let scenes = scenes(3, 4);
        let narration = Narration {
            scenes: &scenes,
            voice: &Voice::default(),
            fps: 30,
            duration_ms: wanted_ms,
            music: None,
            folder: folder.path(),
            at_a_time: 2,
        };
        let speak = |voice: Voice, _, _| async move {
            let Voice::Espeak(espeak) = voice else { unreachable!() };
            let ms = ms * 165.0 / f64::from(espeak.words_per_minute);
            Ok(Pcm { samples: vec![3000; (ms * 48.0) as usize] })
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
        let (usual, _) = lasting(3000.0, None).await.unwrap();
        assert!((42_400..43_000).contains(&usual), "{usual}");
        for wanted in [36_000_u64, 40_000, 42_000, 45_000, 52_000] {
            let (lasts, voice) = lasting(3000.0, Some(wanted)).await.unwrap();
            assert!(lasts.abs_diff(wanted) * 50 <= wanted, "{lasts} ms, wanted {wanted}");
            assert_eq!(voice.contains(" 165 "), wanted == 42_000, "{wanted}: {voice}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_met_is_refused_with_what_can() {
        let error = lasting(3000.0, Some(90_000)).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "the video would last from 33 to 59 s, as fast or slow as the voice can speak, but 90 s were asked for"
        );
        assert!(lasting(3000.0, Some(30_000)).await.is_err());
    }
}
