//! Makes a video with the local voice: `cargo run -p reel-studio --example video -- SCRIPT-OR-DESCRIPTION FILE.mp4`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use reel_planner::{Request, plan};
use reel_scene::description::{self, Description, VERSION};
use reel_scene::format::OutputFormat;
use reel_scene::look::Look;
use reel_studio::encode::encoder::EncodeSettings;
use reel_studio::layout::images::Images;
use reel_studio::speak::voice::Voice;
use reel_studio::studio::{Progress, Studio};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, out] = &arguments[..] else { return Err("usage: video FILE FILE.mp4".into()) };
    let file = Path::new(file);
    let text = std::fs::read_to_string(file)?;
    let description = if file.extension().is_some_and(|extension| extension == "json") {
        description::read(&text).map_err(|faults| format!("{faults:?}"))?
    } else {
        planned(file, &text)?
    };
    let images =
        Images::read(&description.scenes, &description.look, file.parent().unwrap_or(Path::new(".")))?;
    let (width, height) = description.look.aspect.dimensions((1920, 1080));
    let studio = Studio {
        voice: Voice::default(),
        settings: EncodeSettings::new(width, height, 30),
        format: OutputFormat::Mp4,
        images,
        duration_ms: None,
        music: None,
        manim: None,
        concurrency: 1,
    };
    let begin = Instant::now();
    let narrated = std::sync::OnceLock::new();
    let on_progress = |progress| {
        if matches!(progress, Progress::Rendering { .. }) {
            narrated.get_or_init(|| begin.elapsed());
        }
    };
    let made = studio.make(&description, Path::new(out), on_progress, &CancellationToken::new()).await?;
    let all = begin.elapsed();
    let rendering_s = all.saturating_sub(narrated.get().copied().unwrap_or_default()).as_secs_f64();
    println!("{} frames, {} bytes, rendered in {rendering_s:.2} s", made.frames, made.bytes);
    Ok(())
}

fn planned(file: &Path, script: &str) -> Result<Description, Box<dyn Error>> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let plan =
        plan(&Request { topic: &name, context: None, script: Some(script), title: None, duration_ms: None })?;
    Ok(Description { version: VERSION, title: plan.title, look: Look::default(), scenes: plan.scenes })
}
