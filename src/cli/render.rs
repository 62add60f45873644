//! `reel render`: a video from a description or a script, without servers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::say;
use crate::config::{DEFAULT_CORRECTIONS, MANIM_ROOT, VoiceConfig, process_environment};
use crate::consumers::voices;
use reel_manim::Engine;
use reel_scene::description::{self, Description, VERSION};
use reel_scene::format::{OutputFormat, Quality};
use reel_scene::look::{Aspect, Look, Theme};
use reel_studio::encode::encoder::EncodeSettings;
use reel_studio::layout::images::Images;
use reel_studio::layout::{self, Pages};
use reel_studio::speak::music::Music;
use reel_studio::speak::voice::Voice;
use reel_studio::studio::{Progress, Studio};

#[derive(Args)]
pub struct Render {
    /// A scene description (`.json`, see `reel schema`), or a script in Markdown or plain text
    file: PathBuf,
    /// Where the video goes: `.mp4`, `.mov`, `.webm` or `.avi` [default: the file's name with `.mp4`]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// low, medium, high or ultra
    #[arg(long, default_value = "high")]
    quality: String,
    /// 24, 25, 30, 50 or 60
    #[arg(long, default_value_t = 30)]
    fps: u32,
    #[command(flatten)]
    look: LookArguments,
    #[command(flatten)]
    voice: VoiceArguments,
    /// A sound file that plays under the voice, quieter while it speaks
    #[arg(long, value_name = "FILE")]
    music: Option<PathBuf>,
    /// Seconds that the video should last, from 30 to 600: of a script that takes longer, a part is said
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(30..=600))]
    duration: Option<u64>,
    /// Write a picture of each scene's end into this folder, and make no video
    #[arg(long, value_name = "DIR")]
    stills: Option<PathBuf>,
    /// Print the description that the script becomes, and make no video
    #[arg(long)]
    plan: bool,
}

/// What replaces a description's look.
#[derive(Args)]
pub(super) struct LookArguments {
    /// A theme, in place of the description's: paper, midnight, chalkboard, sunrise, gallery, meadow, plum or whiteboard
    #[arg(long)]
    theme: Option<String>,
    /// 16:9, 9:16 or 1:1, in place of the description's
    #[arg(long)]
    aspect: Option<String>,
}

impl LookArguments {
    pub(super) fn apply(&self, look: &mut Look) -> anyhow::Result<()> {
        if let Some(name) = &self.theme {
            look.theme = one_of("--theme", name, &Theme::ALL, Theme::name)?;
        }
        if let Some(name) = &self.aspect {
            look.aspect = one_of("--aspect", name, &Aspect::ALL, Aspect::name)?;
        }
        Ok(())
    }
}

#[derive(Args)]
pub(super) struct VoiceArguments {
    /// espeak-ng, piper (see scripts/piper), kokoro or kokoro:NAME (see scripts/kokoro), or openai: the server at SPEECH_URL, which
    /// speaks OpenAI's protocol. `reel voices` lists them
    #[arg(long, default_value = "espeak-ng")]
    voice: String,
    /// Words a minute
    #[arg(long, default_value_t = 165)]
    speed: u32,
}

pub async fn render(arguments: Render) -> anyhow::Result<()> {
    let duration_ms = arguments.duration.map(|seconds| seconds * 1000);
    let mut description = read(&arguments.file, duration_ms)?;
    arguments.look.apply(&mut description.look)?;
    if arguments.plan {
        return say(serde_json::to_string_pretty(&description)?);
    }
    let quality = one_of("--quality", &arguments.quality, &Quality::ALL, Quality::name)?;
    if ![24, 25, 30, 50, 60].contains(&arguments.fps) {
        bail!("--fps is {}, but must be one of 24, 25, 30, 50, 60", arguments.fps);
    }
    let voice = arguments.voice.voice()?;
    let (width, height) = description.look.aspect.dimensions(quality.dimensions());
    let beside = arguments.file.parent().unwrap_or(Path::new("."));
    let images = Images::read(&description.scenes, &description.look, beside)?;
    if let Some(folder) = &arguments.stills {
        return stills(&description, &images, folder, (width, height));
    }
    let out = arguments.out.clone().unwrap_or_else(|| arguments.file.with_extension("mp4"));
    let extension = out.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let format = one_of("the ending of --out", &extension, &OutputFormat::ALL, OutputFormat::name)?;
    let manim = prepare_animations(&mut description, (width, height), arguments.fps);
    let studio = Studio {
        voice,
        settings: EncodeSettings::new(width, height, arguments.fps),
        format,
        images,
        duration_ms,
        music: arguments.music.as_deref().map(Music::read).transpose()?,
        manim,
        concurrency: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let started = Instant::now();
    let bar =
        ProgressBar::new(1000).with_style(ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}")?);
    let made =
        studio.make(&description, &out, |progress| show(&bar, progress), &CancellationToken::new()).await;
    bar.finish_and_clear();
    let made = made?;
    let (video, took) = (made.duration_ms as f64 / 1000.0, started.elapsed().as_secs_f64());
    say(format!(
        "{}: {width}x{height}, {video:.1} s, {:.1} MB, in {took:.1} s ({:.1} times as fast as it plays)",
        out.display(),
        made.bytes as f64 / 1e6,
        video / took
    ))
}

/// Measures the animations of all scenes, and corrects their code. Says which cannot be drawn. Returns the engine that draws them.
fn prepare_animations(description: &mut Description, size: (u32, u32), fps: u32) -> Option<Engine> {
    if description.scenes.iter().all(|scene| scene.manim().is_none()) {
        return None;
    }
    let engine = Engine::find(Path::new(MANIM_ROOT));
    let look = description.look.clone();
    for (index, scene) in description.scenes.iter_mut().enumerate() {
        let engine = engine.as_ref().map_err(ToString::to_string);
        let frame = (&look, size.0, size.1, fps);
        let prepared =
            reel_manim::prepare(engine, scene, frame, DEFAULT_CORRECTIONS, &|_, _| None, &|| false);
        let Some(prepared) = prepared else { continue };
        for error in prepared.attempts.iter().filter_map(|attempt| attempt.error.as_ref()) {
            eprintln!("reel: the code of scene {} fails: {error}", index + 1);
        }
        if let Some(reason) = prepared.not_drawn {
            eprintln!("reel: scene {} has a page in place of its animation, because {reason}", index + 1);
        }
    }
    engine.ok()
}

pub(super) fn one_of<T: Copy>(
    option: &str,
    given: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> anyhow::Result<T> {
    all.iter().copied().find(|one| name(*one) == given).with_context(|| {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        format!("{option} is `{given}`, but must be one of {}", names.join(", "))
    })
}

impl VoiceArguments {
    pub(super) fn voice(&self) -> anyhow::Result<Voice> {
        let words_per_minute = self.speed;
        if !(80..=450).contains(&words_per_minute) {
            bail!("--speed is {words_per_minute}, but must be from 80 to 450 words a minute");
        }
        let config = VoiceConfig::named("--voice", &self.voice, &process_environment)?;
        Ok(voices::voice(&config, Path::new("espeak-ng"), words_per_minute))
    }
}

/// A description as it is, or what the planner makes of a script.
pub(super) fn read(file: &Path, duration_ms: Option<u64>) -> anyhow::Result<Description> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    if file.extension().is_some_and(|extension| extension == "json") {
        return description::read(&text).map_err(|faults| {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{} is no sound description:\n  {}", file.display(), told.join("\n  "))
        });
    }
    plan_script(file, &text, duration_ms)
}

/// Plans a script. Its title comes from its content.
pub(super) fn plan_script(file: &Path, text: &str, duration_ms: Option<u64>) -> anyhow::Result<Description> {
    let plan = super::plan::plan_text(file, text, duration_ms)?;
    Ok(Description { version: VERSION, title: plan.title, look: Look::default(), scenes: plan.scenes })
}

fn stills(
    description: &Description,
    images: &Images,
    folder: &Path,
    (width, height): (u32, u32),
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (index, scene) in description.scenes.iter().enumerate() {
        let pages = Pages::compile(&layout::source(scene, &description.look), images)
            .with_context(|| format!("scene {} cannot be typeset", index + 1))?;
        let page = pages.rasterize(pages.count().saturating_sub(1), width, height)?;
        let file = folder.join(format!("{:02}.png", index + 1));
        image::save_buffer(&file, &page.rgba, width, height, image::ExtendedColorType::Rgba8)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    say(format!("{} pictures in {}", description.scenes.len(), folder.display()))
}

fn show(bar: &ProgressBar, progress: Progress) {
    let share = |done: u64, total: u64| done as f64 / total.max(1) as f64;
    let (permille, what) = match progress {
        Progress::Narrating { done, total } => (share(done, total) * 150.0, "speaking"),
        Progress::Rendering { frames, total } => (150.0 + share(frames, total) * 820.0, "rendering"),
        Progress::Combining => (970.0, "combining"),
    };
    bar.set_position(permille as u64);
    bar.set_message(what);
}
