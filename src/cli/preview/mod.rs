//! `reel preview`: a page on this machine that shows the video of a file, and follows each save of it.
//!
//! `files` notices a save, `source` reads and plans the file, `versions` compares the scenes with those before, `workshop`
//! makes stills and clips of those that changed, and `server` tells the page (`page.html`). All files are in a temporary folder,
//! which is removed at the end. Deliberately absent: anything that changes the previewed file.

mod files;
mod json_place;
mod server;
mod source;
mod versions;
mod workshop;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reel_scene::format::Quality;
use reel_scene::look::Look;
use reel_studio::layout;
use reel_studio::layout::images::Images;
use salvo::conn::{Acceptor, TcpListener};
use salvo::prelude::{Listener, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::render::{LookArguments, VoiceArguments, one_of};
use super::say;
use crate::app;
use crate::telemetry::chain;
use files::{Pictures, Stamp, Watched};
use source::{Draft, Problem};
use workshop::{Settings, Workshop};

/// How long answers may go on after the end.
const DRAIN: Duration = Duration::from_millis(500);

#[derive(Args)]
pub struct Preview {
    /// A script in Markdown or plain text, or a scene description (`.json`, see `reel schema`)
    file: PathBuf,
    /// The page's port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// low, medium, high or ultra
    #[arg(long, default_value = "medium")]
    quality: String,
    #[command(flatten)]
    look: LookArguments,
    #[command(flatten)]
    voice: VoiceArguments,
}

/// Serves the page until the process is told to stop.
pub async fn preview(arguments: Preview) -> anyhow::Result<()> {
    let file = &arguments.file;
    let metadata = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?;
    if !metadata.is_file() {
        bail!("{} is no file, expected a script or a scene description", file.display());
    }
    arguments.look.apply(&mut Look::default())?;
    let quality = one_of("--quality", &arguments.quality, &Quality::ALL, Quality::name)?;
    let settings = Settings {
        voice: arguments.voice.voice()?,
        size: quality.dimensions(),
        concurrency: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let stop = stop_on_signals()?;
    let folder = tempfile::Builder::new().prefix("reel-preview-").tempdir();
    let folder = folder.context("no temporary folder can be created")?;
    let workshop = Arc::new(Workshop::new(settings, folder.path().to_owned(), &arguments.file, stop.clone()));
    let (server, address) = listen(arguments.port).await?;
    let handle = server.handle();
    let serving = tokio::spawn(server.serve(server::router(workshop.clone(), address)));
    say(format!("{} is shown at http://{address}/ and follows each save; Ctrl-C ends it", file.display()))?;
    let _loading = tokio::task::spawn_blocking(layout::load_fonts);
    let working = tokio::spawn(workshop.clone().run());
    let follower =
        Follower { file: file.clone(), look: arguments.look, pictures: Pictures::default(), workshop };
    let followed = follower.follow(&stop).await;
    stop.cancel();
    let finished = working.await.context("the workshop stopped unexpectedly");
    handle.stop_graceful(DRAIN);
    let _ended = serving.await;
    folder.close().context("the temporary folder cannot be removed")?;
    finished.and(followed)
}

/// Is cancelled when the process is told to stop, or its terminal is closed.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = app::stop_on_signals()?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let token = stop.clone();
    tokio::spawn(async move {
        hung_up.recv().await;
        token.cancel();
    });
    Ok(stop)
}

async fn listen(port: u16) -> anyhow::Result<(Server<impl Acceptor>, SocketAddr)> {
    let acceptor = TcpListener::new((Ipv4Addr::LOCALHOST, port))
        .try_bind()
        .await
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; is another process using that port?"))?;
    let address = acceptor.local_addr().context("the page has no address")?;
    Ok((Server::new(acceptor), address))
}

/// Reads the file after each save.
struct Follower {
    file: PathBuf,
    look: LookArguments,
    pictures: Pictures,
    workshop: Arc<Workshop>,
}

impl Follower {
    async fn follow(mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut watched = Watched::new(vec![self.file.clone()]);
        loop {
            let (follower, files) = tokio::task::spawn_blocking(move || {
                let files = self.update();
                (self, files)
            })
            .await
            .context("the reading of the file stopped unexpectedly")?;
            self = follower;
            watched.replace(files);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = watched.changed() => {}
            }
        }
    }

    /// Reads the file and shows it, or what is wrong with it. Returns all files that it was read from, with
    /// their stamps from before.
    fn update(&mut self) -> Vec<(PathBuf, Stamp)> {
        let mut files = vec![(self.file.clone(), files::stamp(&self.file))];
        let saved_at = std::fs::metadata(&self.file).and_then(|metadata| metadata.modified()).ok();
        let read = std::panic::catch_unwind(|| source::read(&self.file)).unwrap_or_else(|_| {
            let message = "the planner stopped unexpectedly at this text; please report it".to_owned();
            Err(vec![Problem { message, place: source::Place::default() }])
        });
        let mut draft = match read {
            Ok(draft) => draft,
            Err(problems) => {
                self.workshop.refuse(problems);
                return files;
            }
        };
        if let Err(error) = self.look.apply(&mut draft.description.look) {
            let problem = Problem { message: chain(error.as_ref()), place: source::Place::default() };
            self.workshop.refuse(vec![problem]);
            return files;
        }
        let folder = self.folder();
        let scenes = &draft.description.scenes;
        let pictures = scenes.iter().flat_map(|scene| files::picture_files(scene, &draft.description.look));
        files.extend(pictures.map(|picture| folder.join(picture)).map(|path| {
            let stamp = files::stamp(&path);
            (path, stamp)
        }));
        files.dedup();
        match self.read_pictures(&draft) {
            Ok(images) => {
                self.workshop.show(&draft, images, saved_at);
                self.pictures.retain_used();
            }
            Err(problems) => self.workshop.refuse(problems),
        }
        files
    }

    fn folder(&self) -> PathBuf {
        self.file.parent().unwrap_or(Path::new(".")).to_owned()
    }

    /// Reads the pictures of all scenes, or returns a problem for each scene whose pictures cannot be read.
    fn read_pictures(&mut self, draft: &Draft) -> Result<Vec<Arc<Images>>, Vec<Problem>> {
        let folder = self.folder();
        let (mut images, mut problems) = (vec![], vec![]);
        for (index, scene) in draft.description.scenes.iter().enumerate() {
            match self.pictures.of_scene(scene, &draft.description.look, &folder) {
                Ok(read) => images.push(read),
                Err((file, error)) => {
                    let message = format!("scene {}: {}", index + 1, chain(&error));
                    let problem = Problem { message, place: draft.place_of_picture(&file) };
                    problems.push(problem);
                }
            }
        }
        if problems.is_empty() { Ok(images) } else { Err(problems) }
    }
}
