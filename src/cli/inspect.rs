//! `reel inspect`: measures the pages of a script or a description, or the streams of a video, and lists the faults.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::{render, say};
use reel_scene::format::OutputFormat;
use reel_studio::encode::encoder::KEY_FRAME_INTERVAL_S;
use reel_studio::inspect::gate::{self, Allowed};
use reel_studio::inspect::streams::{self, StreamDescription};
use reel_studio::layout::images::Images;
use reel_studio::review::{Fault, PageChoice, PageReview, SceneReview, review};

/// Most characters of a title in the table.
const TITLE_CHARS: usize = 28;

#[derive(Args)]
pub struct Inspect {
    /// A script in Markdown or plain text, a scene description (`.json`), or a video
    file: PathBuf,
    /// Print all measurements and the faults as JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(arguments: &Inspect) -> anyhow::Result<()> {
    let extension = arguments.file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_video = OutputFormat::ALL.into_iter().any(|format| format.name() == extension);
    let faults = if is_video { inspect_video(arguments)? } else { inspect_scenes(arguments)? };
    match faults {
        0 => Ok(()),
        1 => bail!("{} has 1 fault", arguments.file.display()),
        count => bail!("{} has {count} faults", arguments.file.display()),
    }
}

/// Reviews all pages. Returns the number of faults.
fn inspect_scenes(arguments: &Inspect) -> anyhow::Result<usize> {
    let description = render::read(&arguments.file, None)?;
    let beside = arguments.file.parent().unwrap_or(Path::new("."));
    let images = Images::read(&description.scenes, &description.look, beside)?;
    let report = review(&description.scenes, &description.look, &images, &[], PageChoice::All)?;
    let faults = report.faults();
    if arguments.json {
        let printed = json!({ "scenes": report.scenes, "faults": faults });
        say(serde_json::to_string_pretty(&printed)?)?;
    } else {
        say(HEADER)?;
        report.scenes.iter().try_for_each(|scene| say(row(scene, &faults)))?;
        faults.iter().try_for_each(say)?;
    }
    Ok(faults.len())
}

const HEADER: &str = "scene  title                         composition    text px  label px  contrast  used %  seconds  still s  words/min  faults";

fn row(scene: &SceneReview, faults: &[Fault]) -> String {
    let title: String = scene.title.chars().take(TITLE_CHARS).collect();
    let smallest = |of: fn(&PageReview) -> Option<f64>| scene.pages.iter().filter_map(of).reduce(f64::min);
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    format!(
        "{:>5}  {title:<TITLE_CHARS$}  {:<13}  {:>7}  {:>8}  {:>8}  {:>6}  {:>7.1}  {:>7.1}  {:>9.0}  {:>6}",
        scene.scene,
        scene.composition,
        number(smallest(|page| page.smallest_text_px), 0),
        number(smallest(|page| page.smallest_label_px), 0),
        number(smallest(|page| page.lowest_contrast), 1),
        number(scene.pages.last().map(|page| page.used_percent), 0),
        scene.pace.duration_s,
        scene.pace.longest_still_s,
        scene.pace.words_per_minute,
        faults.iter().filter(|fault| fault.scene == scene.scene).count(),
    )
}

/// Describes the streams and decodes them. Returns the number of faults.
fn inspect_video(arguments: &Inspect) -> anyhow::Result<usize> {
    let file = &arguments.file;
    let described = streams::describe(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let found = gate::inspect(file).with_context(|| format!("{} cannot be decoded", file.display()))?;
    // There is no plan to compare with: as many pictures as there are, held as long as the video lasts.
    let allowed = Allowed {
        pictures: found.pictures,
        longest_hold_s: found.picture_end,
        key_frame_interval_s: f64::from(KEY_FRAME_INTERVAL_S),
        longest_animation_s: 0.0,
    };
    let faults = gate::find_faults(&found, &allowed);
    if arguments.json {
        let printed = json!({
            "format": described.format_long_name,
            "duration_s": described.duration,
            "size_bytes": described.size,
            "streams": described.streams.iter().map(stream).collect::<Vec<_>>(),
            "pictures": found.pictures,
            "blank_key_frames_in_a_row": found.blank_run,
            "same_key_frames_in_a_row": found.same_run,
            "loudest_sample": found.peak,
            "faults": faults,
        });
        say(serde_json::to_string_pretty(&printed)?)?;
        return Ok(faults.len());
    }
    let megabytes = described.size as f64 / 1e6;
    say(format!("{}, {:.1} s, {megabytes:.1} MB", described.format_long_name, described.duration))?;
    described.streams.iter().map(stream).try_for_each(say)?;
    say(format!(
        "{} pictures; key frames in a row that show nothing: {}, that are the same: {}; loudest sample {:.3} of 1",
        found.pictures, found.blank_run, found.same_run, found.peak
    ))?;
    faults.iter().try_for_each(say)?;
    Ok(faults.len())
}

fn stream(stream: &StreamDescription) -> String {
    let mut facts = vec![format!("{} {}", stream.codec_type, stream.codec_name)];
    facts.extend(stream.profile.clone());
    if let (Some(width), Some(height)) = (stream.width, stream.height) {
        facts.push(format!("{width}x{height}"));
        facts.push(format!("{} frames/s", stream.avg_frame_rate));
    }
    facts.extend(stream.sample_rate.map(|rate| format!("{rate} Hz")));
    facts.extend(stream.channels.map(|channels| format!("{channels} channels")));
    facts.extend(stream.duration.map(|seconds| format!("{seconds:.1} s")));
    facts.join(", ")
}
