//! Makes the stills and clips of the previewed video, and tells the page how far they are.
//!
//! Files are named by the version of their scene, so what was made once is there again when an edit is undone. Stills go
//! before clips: clips stand still while a still is made. The newest change goes first; clips of scenes that are gone are
//! cancelled.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use reel_scene::Scene;
use reel_scene::format::OutputFormat;
use reel_scene::look::Look;
use reel_studio::encode::encoder::EncodeSettings;
use reel_studio::layout;
use reel_studio::layout::images::Images;
use reel_studio::speak::voice::Voice;
use reel_studio::studio::Studio;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::source::{Draft, Place, Problem};
use super::versions;
use crate::cli::say;
use crate::telemetry::chain;

/// Frames per second of clips.
pub const FPS: u32 = 30;
/// Versions of scenes whose files are kept, those that are shown included.
const MAX_VERSIONS: usize = 300;

/// How scenes are made.
#[derive(Debug, Clone)]
pub struct Settings {
    pub voice: Voice,
    /// The size of a 16:9 picture in pixels.
    pub size: (u32, u32),
    /// Scenes that are made at a time.
    pub concurrency: usize,
}

impl Settings {
    /// Names what the files of a scene depend on, beside the scene.
    pub fn describe(&self) -> String {
        format!("{} {:?} {FPS}", self.voice, self.size)
    }
}

pub struct Workshop {
    settings: Settings,
    folder: PathBuf,
    model: Mutex<Model>,
    /// Is told when a still or a clip may be missing.
    wake: Notify,
    /// Clips wait for it while stills are missing.
    stills_done: Condvar,
    states: watch::Sender<Arc<str>>,
    stop: CancellationToken,
}

/// What the page shows, and what is made for it.
#[derive(Default)]
struct Model {
    file: String,
    title: String,
    revision: u64,
    saved_at: Option<SystemTime>,
    look: Look,
    scenes: Vec<Entry>,
    next_id: u64,
    /// The scene that the last change was in.
    edited: Option<u64>,
    /// Why the file cannot be shown; the scenes are those of the last good one.
    problems: Vec<Problem>,
    made: HashMap<String, Made>,
    /// Keys of `made`, the oldest first.
    versions: VecDeque<String>,
    running_stills: Vec<String>,
    running_clips: HashMap<String, CancellationToken>,
}

/// A scene of the video.
struct Entry {
    id: u64,
    version: String,
    scene: Arc<Scene>,
    images: Arc<Images>,
    place: Place,
    /// Places of the formulas, by their blocks.
    formulas: Vec<(usize, Place)>,
    /// The revision that brought its version.
    changed_in: u64,
}

/// The files of a version of a scene.
#[derive(Default)]
struct Made {
    has_still: bool,
    clip_ms: Option<u64>,
    /// Blocks with a formula that cannot be read.
    unreadable: Vec<usize>,
    still_failure: Option<String>,
    clip_failure: Option<String>,
}

impl Made {
    fn needs_still(&self) -> bool {
        !self.has_still && self.still_failure.is_none()
    }

    fn needs_clip(&self) -> bool {
        self.clip_ms.is_none() && self.clip_failure.is_none() && self.still_failure.is_none()
    }
}

/// One scene to make something of.
struct Task {
    id: u64,
    index: usize,
    version: String,
    scene: Arc<Scene>,
    look: Look,
    images: Arc<Images>,
}

/// What the page is told.
#[derive(Serialize)]
struct State<'a> {
    revision: u64,
    file: &'a str,
    title: &'a str,
    width: u32,
    height: u32,
    saved_at_ms: Option<u64>,
    edited: Option<u64>,
    /// Whether the scenes are those of the file as it is.
    is_current: bool,
    problems: Vec<Told<'a>>,
    scenes: Vec<SceneState<'a>>,
}

#[derive(Serialize)]
struct SceneState<'a> {
    id: u64,
    version: &'a str,
    title: &'a str,
    line: Option<usize>,
    has_still: bool,
    has_clip: bool,
    duration_ms: Option<u64>,
}

#[derive(Serialize)]
struct Told<'a> {
    message: String,
    #[serde(flatten)]
    place: &'a Place,
    /// The scene's number, from 1.
    scene: Option<usize>,
}

impl<'a> Told<'a> {
    fn of_file(problem: &'a Problem) -> Self {
        Self { message: problem.message.clone(), place: &problem.place, scene: None }
    }
}

impl Workshop {
    pub fn new(settings: Settings, folder: PathBuf, file: &Path, stop: CancellationToken) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = Model { file: name, ..Model::default() };
        let (states, _) = watch::channel(Arc::from(model.state(settings.size)));
        let (wake, stills_done) = (Notify::new(), Condvar::new());
        Self { settings, folder, model: Mutex::new(model), wake, stills_done, states, stop }
    }

    /// Returns what the page is told, now and from now on.
    pub fn states(&self) -> watch::Receiver<Arc<str>> {
        self.states.subscribe()
    }

    /// Ends streams of states.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Returns the still of a version, if it is there.
    pub fn still(&self, version: &str) -> Option<PathBuf> {
        let model = self.lock();
        model.made.get(version).filter(|made| made.has_still).map(|_| self.still_file(version))
    }

    /// Returns the clip of a version, if it is there.
    pub fn clip(&self, version: &str) -> Option<PathBuf> {
        let model = self.lock();
        model.made.get(version).filter(|made| made.clip_ms.is_some()).map(|_| self.clip_file(version))
    }

    fn still_file(&self, version: &str) -> PathBuf {
        self.folder.join(format!("{version}.png"))
    }

    fn clip_file(&self, version: &str) -> PathBuf {
        self.folder.join(format!("{version}.mp4"))
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, model: &Model) {
        self.states.send_replace(Arc::from(model.state(self.settings.size)));
        self.stills_done.notify_all();
    }

    /// Shows why the file cannot be shown, above the last good video.
    pub fn refuse(&self, problems: Vec<Problem>) {
        let mut model = self.lock();
        model.problems = problems;
        self.publish(&model);
    }

    /// Shows a new version of the video. `images` are the pictures of each scene; `saved_at` is the time of the file.
    pub fn show(&self, draft: &Draft, images: Vec<Arc<Images>>, saved_at: Option<SystemTime>) {
        let look = &draft.description.look;
        let settings = self.settings.describe();
        let scenes = draft.description.scenes.iter().zip(&images);
        let versions: Vec<String> =
            scenes.map(|(scene, images)| versions::version(scene, look, images, &settings)).collect();
        let mut model = self.lock();
        model.replace_scenes(draft, &versions, images);
        model.saved_at = saved_at;
        model.problems.clear();
        for removed in model.forget_old() {
            let _gone_already = std::fs::remove_file(self.still_file(&removed));
            let _gone_already = std::fs::remove_file(self.clip_file(&removed));
        }
        self.publish(&model);
        drop(model);
        self.wake.notify_waiters();
    }

    /// Makes what is missing until the preview ends.
    pub async fn run(self: Arc<Self>) {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..self.settings.concurrency {
            workers.spawn(self.clone().make_stills());
            workers.spawn(self.clone().make_clips());
        }
        while workers.join_next().await.is_some() {}
    }

    async fn make_stills(self: Arc<Self>) {
        loop {
            let woken = self.wake.notified();
            let next = self.lock().take_still();
            let Some(task) = next else {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = woken => continue,
                }
            };
            if self.stop.is_cancelled() {
                return;
            }
            let workshop = self.clone();
            let version = task.version.clone();
            let finished = tokio::task::spawn_blocking(move || workshop.make_still(&task)).await;
            if finished.is_err() {
                let mut model = self.lock();
                model.end_still(&version, Err("the typesetter stopped unexpectedly".to_owned()));
                self.publish(&model);
            }
            self.wake.notify_waiters();
        }
    }

    fn make_still(&self, task: &Task) {
        let drawn = draw_still(task, self.settings.size, &self.still_file(&task.version));
        let mut model = self.lock();
        let is_edit = model.edited == Some(task.id) && model.is_current(&task.version);
        model.end_still(&task.version, drawn.map_err(|error| chain(error.as_ref())));
        self.publish(&model);
        let saved_at = model.saved_at.filter(|_| is_edit && model.revision > 1);
        drop(model);
        if let Some(after) = saved_at.and_then(|saved_at| saved_at.elapsed().ok()) {
            let number = task.index + 1;
            let _nobody_reads = say(format!(
                "scene {number}: its still is on the page {} ms after the save",
                after.as_millis()
            ));
        }
        // It compiles each formula, and nobody waits for it.
        let unreadable = layout::unreadable_formulas(&task.scene);
        if !unreadable.is_empty() {
            let mut model = self.lock();
            if let Some(made) = model.made.get_mut(&task.version) {
                made.unreadable = unreadable;
            }
            self.publish(&model);
        }
    }

    async fn make_clips(self: Arc<Self>) {
        loop {
            let woken = self.wake.notified();
            let next = self.lock().take_clip(&self.stop);
            let Some((task, cancel)) = next else {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = woken => continue,
                }
            };
            if self.stop.is_cancelled() {
                return;
            }
            self.make_clip(task, &cancel).await;
            self.wake.notify_waiters();
        }
    }

    async fn make_clip(self: &Arc<Self>, task: Task, cancel: &CancellationToken) {
        let (width, height) = task.look.aspect.dimensions(self.settings.size);
        let studio = Studio {
            voice: self.settings.voice.clone(),
            settings: EncodeSettings::new(width, height, FPS),
            format: OutputFormat::Mp4,
            images: (*task.images).clone(),
            duration_ms: None,
            music: None,
            manim: None,
            concurrency: self.settings.concurrency,
        };
        let out = self.clip_file(&task.version);
        let (workshop, stop) = (self.clone(), cancel.clone());
        let (id, index, version) = (task.id, task.index, task.version.clone());
        let making = tokio::spawn(async move {
            let on_frame = || workshop.let_stills_go_first(&stop);
            let scene = (task.index, &*task.scene);
            studio.make_clip(scene, &task.look, &workshop.folder, &out, on_frame, &stop).await
        });
        let made = match making.await {
            Ok(Ok(timeline)) => Some(Ok(timeline.duration_ms())),
            _ if cancel.is_cancelled() => None,
            Ok(Err(error)) => Some(Err(chain(&error))),
            Err(_) => Some(Err("the renderer stopped unexpectedly".to_owned())),
        };
        let mut model = self.lock();
        model.running_clips.remove(&version);
        let is_edit = model.edited == Some(id) && model.is_current(&version) && model.revision > 1;
        let saved_at = model.saved_at.filter(|_| is_edit && matches!(made, Some(Ok(_))));
        if let Some(made) = made {
            let entry = model.made.entry(version).or_default();
            match made {
                Ok(duration_ms) => entry.clip_ms = Some(duration_ms),
                Err(failure) => entry.clip_failure = Some(failure),
            }
        }
        self.publish(&model);
        drop(model);
        if let Some(after) = saved_at.and_then(|saved_at| saved_at.elapsed().ok()) {
            let _nobody_reads =
                say(format!("scene {}: its clip follows after {:.1} s", index + 1, after.as_secs_f64()));
        }
    }

    /// Blocks while a still is missing.
    fn let_stills_go_first(&self, cancel: &CancellationToken) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let mut model = self.lock();
        while model.lacks_still() && !cancel.is_cancelled() {
            let waited = self.stills_done.wait_timeout(model, LOOK_EVERY);
            (model, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Model {
    fn is_current(&self, version: &str) -> bool {
        self.scenes.iter().any(|entry| entry.version == version)
    }

    fn replace_scenes(&mut self, draft: &Draft, versions: &[String], images: Vec<Arc<Images>>) {
        self.revision += 1;
        let scenes = &draft.description.scenes;
        let before: Vec<(&str, &Scene)> =
            self.scenes.iter().map(|entry| (entry.version.as_str(), &*entry.scene)).collect();
        let now: Vec<(&str, &Scene)> = versions.iter().map(String::as_str).zip(scenes).collect();
        let matched = versions::match_scenes(&before, &now);
        let edited = versions::find_edited(&before, &now, &matched);
        let mut entries = Vec::with_capacity(scenes.len());
        for (index, ((scene, images), version)) in scenes.iter().zip(images).zip(versions).enumerate() {
            let old = matched[index].map(|old| &self.scenes[old]);
            let id = old.map_or_else(
                || {
                    self.next_id += 1;
                    self.next_id
                },
                |old| old.id,
            );
            let changed_in = match old.filter(|old| old.version == *version) {
                Some(old) => old.changed_in,
                None => self.revision,
            };
            let is_formula = |block: &usize| {
                let block = &scene.blocks[*block];
                matches!(block, reel_scene::Block::Formula { .. } | reel_scene::Block::Derivation { .. })
            };
            let formulas = (0..scene.blocks.len())
                .filter(is_formula)
                .map(|block| (block, draft.place_of_formula(index, scene, block)))
                .collect();
            entries.push(Entry {
                id,
                version: version.clone(),
                scene: Arc::new(scene.clone()),
                images,
                place: draft.place_of_scene(index, scene),
                formulas,
                changed_in,
            });
            if !self.made.contains_key(version) {
                self.made.insert(version.clone(), Made::default());
                self.versions.push_back(version.clone());
            }
        }
        // The first version has no edit: all of it is new.
        self.edited = edited.filter(|_| self.revision > 1).map(|index| entries[index].id);
        self.scenes = entries;
        self.title.clone_from(&draft.description.title);
        self.look = draft.description.look.clone();
        // A failure may have been mended outside the file: a voice was installed, or the disk has room again.
        self.made.values_mut().for_each(|made| made.clip_failure = None);
        for (version, cancel) in &self.running_clips {
            if !self.is_current(version) {
                cancel.cancel();
            }
        }
    }

    /// Forgets the oldest versions that are not shown, and returns them.
    fn forget_old(&mut self) -> Vec<String> {
        let mut forgotten = vec![];
        for _ in 0..self.versions.len().saturating_sub(MAX_VERSIONS) {
            let Some(version) = self.versions.pop_front() else { break };
            let is_running =
                self.running_stills.contains(&version) || self.running_clips.contains_key(&version);
            if is_running || self.is_current(&version) {
                self.versions.push_back(version);
            } else {
                self.made.remove(&version);
                forgotten.push(version);
            }
        }
        forgotten
    }

    /// Finds the scene to work on next: the newest change first, and of one change the edited scene, and then in order.
    fn next(&self, is_missing: impl Fn(&str, &Made) -> bool) -> Option<Task> {
        let missing = self.scenes.iter().enumerate().filter(|(_, entry)| {
            self.made.get(&entry.version).is_some_and(|made| is_missing(&entry.version, made))
        });
        let (index, entry) = missing.min_by_key(|(index, entry)| {
            (u64::MAX - entry.changed_in, self.edited != Some(entry.id), *index)
        })?;
        Some(Task {
            id: entry.id,
            index,
            version: entry.version.clone(),
            scene: entry.scene.clone(),
            look: self.look.clone(),
            images: entry.images.clone(),
        })
    }

    fn take_still(&mut self) -> Option<Task> {
        let is_running = |version: &str| self.running_stills.iter().any(|running| running == version);
        let task = self.next(|version, made| made.needs_still() && !is_running(version))?;
        self.running_stills.push(task.version.clone());
        Some(task)
    }

    fn take_clip(&mut self, stop: &CancellationToken) -> Option<(Task, CancellationToken)> {
        if self.lacks_still() {
            return None;
        }
        let task =
            self.next(|version, made| made.needs_clip() && !self.running_clips.contains_key(version))?;
        let cancel = stop.child_token();
        self.running_clips.insert(task.version.clone(), cancel.clone());
        Some((task, cancel))
    }

    fn end_still(&mut self, version: &str, drawn: Result<(), String>) {
        self.running_stills.retain(|running| running != version);
        let made = self.made.entry(version.to_owned()).or_default();
        match drawn {
            Ok(()) => made.has_still = true,
            Err(failure) => made.still_failure = Some(failure),
        }
    }

    fn lacks_still(&self) -> bool {
        self.scenes.iter().any(|entry| self.made.get(&entry.version).is_some_and(Made::needs_still))
    }

    fn state(&self, size: (u32, u32)) -> String {
        let (width, height) = self.look.aspect.dimensions(size);
        let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let none = Made::default();
        let made = |entry: &Entry| self.made.get(&entry.version).unwrap_or(&none);
        let scenes = self.scenes.iter().map(|entry| SceneState {
            id: entry.id,
            version: &entry.version,
            title: &entry.scene.title,
            line: entry.place.line,
            has_still: made(entry).has_still,
            has_clip: made(entry).clip_ms.is_some(),
            duration_ms: made(entry).clip_ms,
        });
        let state = State {
            revision: self.revision,
            file: &self.file,
            title: &self.title,
            width,
            height,
            saved_at_ms: self.saved_at.and_then(since_epoch).map(|time| time.as_millis() as u64),
            edited: self.edited,
            is_current: self.problems.is_empty(),
            problems: self.told(),
            scenes: scenes.collect(),
        };
        // It has no map with keys that are no strings, and nothing else fails.
        serde_json::to_string(&state).unwrap_or_default()
    }

    /// Lists the problems of the file, and those of its scenes. Many scenes with one failure are told once.
    fn told(&self) -> Vec<Told<'_>> {
        let mut told: Vec<Told<'_>> = self.problems.iter().map(Told::of_file).collect();
        let mut failures: Vec<(String, &Place, usize, usize)> = vec![];
        for (index, entry) in self.scenes.iter().enumerate() {
            let Some(made) = self.made.get(&entry.version) else { continue };
            for block in &made.unreadable {
                let formula = entry.formulas.iter().find(|(formula, _)| formula == block);
                let place = formula.map_or(&entry.place, |(_, place)| place);
                let message = "a formula cannot be read, and is shown as it is written".to_owned();
                told.push(Told { message, place, scene: Some(index + 1) });
            }
            for failure in made.still_failure.iter().chain(&made.clip_failure) {
                // The number of the scene is told beside it, and would keep equal failures apart.
                let prefix = format!("scene {}: ", index + 1);
                let failure = failure.strip_prefix(&prefix).unwrap_or(failure);
                match failures.iter_mut().find(|(message, ..)| message == failure) {
                    Some((.., others)) => *others += 1,
                    None => failures.push((failure.to_owned(), &entry.place, index + 1, 0)),
                }
            }
        }
        told.extend(failures.into_iter().map(|(message, place, scene, others)| {
            let message = if others > 0 { format!("{message} (and {others} more scenes)") } else { message };
            Told { message, place, scene: Some(scene) }
        }));
        told
    }
}

/// Draws the scene's end. The file appears when it is whole.
fn draw_still(task: &Task, size: (u32, u32), out: &Path) -> anyhow::Result<()> {
    let png = layout::still(&task.scene, &task.look, &task.images, size)?;
    let folder = out.parent().context("the still has no folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder).context("its still cannot be written")?;
    file.write_all(&png).context("its still cannot be written")?;
    file.persist(out).context("its still cannot be written")?;
    Ok(())
}
