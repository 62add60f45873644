//! The HTTP Live Stream of a job (RFC 8216): playlists over the scenes that are rendered.
//!
//! A stream begins with the first segment of the first scene and grows scene by scene, in the order of the video, whatever
//! order they are rendered in. Its segments are stored when a scene is rendered and never change: only the playlists do. The
//! first segment is stored twice: while its scene is rendered as a file that the whole scene's begins with and has the name of.
//!
//! Once the video is stored, its file has all segments inside, and their own files go. Viewers who began
//! before keep their playlist and its names. Viewers who begin later get a playlist of ranges of the video's file.

use std::fmt::Write;

use super::state::Job;
use crate::events::Rendition;
use crate::events::job::{FileRole, SceneStream, StoredFile, StreamPart, StreamSegment};

/// Seconds that no segment exceeds; a player asks for a growing playlist again about as often.
const TARGET_SECONDS: u64 = 4;

/// What can be streamed of a job. Borrows it.
#[derive(Debug)]
pub struct Stream<'a> {
    job: &'a Job,
    /// Of the scenes from the first on, without a gap; never empty.
    scenes: Vec<&'a [SceneStream]>,
    fps: u32,
    is_ended: bool,
    /// Videos that have the parts of their streams inside.
    videos: &'a [(Rendition, Vec<StreamPart>)],
}

/// A playlist, under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playlist {
    pub name: String,
    /// `None` for the master playlist.
    pub rendition: Option<Rendition>,
    pub text: String,
}

/// The videos among stored files that have the parts of their streams inside.
pub fn videos_with_streams(files: &[StoredFile]) -> Vec<(Rendition, Vec<StreamPart>)> {
    let videos = files.iter().filter(|file| file.role == FileRole::Video && !file.stream.is_empty());
    videos.filter_map(|file| Some((file.rendition?, file.stream.clone()))).collect()
}

impl Job {
    /// Returns the stream so far; `None` before the first scene is rendered, where nothing is streamed, and once the files
    /// are removed.
    pub fn stream(&self) -> Option<Stream<'_>> {
        if self.are_files_removed || self.is_erased {
            return None;
        }
        let fps = self.request.as_ref()?.fps;
        let clips = self.scenes.iter().map_while(|scene| scene.clip.as_ref());
        let mut scenes: Vec<_> =
            clips.map(|clip| clip.streams.as_slice()).take_while(|streams| !streams.is_empty()).collect();
        let is_first_rendered = self.scenes.first().is_some_and(|scene| scene.clip.is_some());
        if !is_first_rendered && !self.beginning.is_empty() {
            scenes = vec![&self.beginning];
        }
        (!scenes.is_empty()).then_some(Stream {
            job: self,
            scenes,
            fps,
            is_ended: self.has_ended(),
            videos: &[],
        })
    }
}

impl<'a> Stream<'a> {
    /// The stream of a whole video, in one file for each rendition.
    pub fn of_whole_files(job: &'a Job, files: &'a [SceneStream]) -> Option<Self> {
        let fps = job.request.as_ref()?.fps;
        (!files.is_empty()).then(|| Self { job, scenes: vec![files], fps, is_ended: true, videos: &[] })
    }

    /// The same stream, with nothing to follow, and parts inside of videos.
    pub fn ended_in(self, videos: &'a [(Rendition, Vec<StreamPart>)]) -> Self {
        Self { is_ended: true, videos, ..self }
    }
}

impl Stream<'_> {
    /// Whether it has all scenes, each in all renditions.
    pub fn is_whole(&self) -> bool {
        let renditions = self.scenes[0].len();
        self.scenes.len() == self.job.scenes.len()
            && self.scenes.iter().all(|parts| parts.len() == renditions)
    }

    /// The renditions, the best first.
    pub fn renditions(&self) -> Vec<Rendition> {
        let mut renditions: Vec<_> = self.scenes[0].iter().map(|part| part.rendition).collect();
        renditions.sort_by_key(|rendition| std::cmp::Reverse(rendition.quality));
        renditions
    }

    /// The file of a scene, by its name such as `720p-03.m4s`.
    pub fn file(&self, name: &str) -> Option<&SceneStream> {
        self.scenes.iter().copied().flatten().find(|part| part.name() == name)
    }

    /// All files, scene by scene.
    pub fn files(&self) -> impl Iterator<Item = &SceneStream> {
        self.scenes.iter().copied().flatten()
    }

    /// The parts of a rendition, scene by scene.
    pub fn parts(&self, rendition: Rendition) -> impl Iterator<Item = &SceneStream> {
        let scenes = self.scenes.iter();
        scenes.map_while(move |parts| parts.iter().find(|part| part.rendition == rendition))
    }

    /// All playlists. The master playlist is the last: where it is stored, the others are, too.
    pub fn playlists(&self) -> Vec<Playlist> {
        let mut playlists = vec![];
        for rendition in self.renditions() {
            let level = rendition.quality.level();
            let mut add = |name, text| playlists.push(Playlist { name, rendition: Some(rendition), text });
            add(format!("{level}.m3u8"), self.playlist_of(rendition));
            if let Some(parts) = self.in_video(rendition) {
                add(format!("{level}-vod.m3u8"), self.playlist_in_video(rendition, parts));
            }
        }
        playlists.push(Playlist {
            name: "master.m3u8".to_owned(),
            rendition: None,
            text: self.master_playlist(),
        });
        playlists
    }

    /// The playlist from which a player chooses.
    pub fn master_playlist(&self) -> String {
        let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
        if let Some(seconds) = self.planned_seconds() {
            let id = "com.reelstream.planned-duration";
            let _infallible = writeln!(text, "#EXT-X-SESSION-DATA:DATA-ID=\"{id}\",VALUE=\"{seconds:.3}\"");
        }
        for rendition in self.renditions() {
            let parts: Vec<_> = self.parts(rendition).collect();
            let Some(codecs) = parts.first().map(|part| &part.codecs) else { continue };
            let segments: Vec<_> = parts.iter().flat_map(|part| &part.segments).collect();
            let (peak, average) = self.bits_per_second(&segments);
            let request = self.job.request.as_ref();
            let (width, height) = request.map_or((0, 0), |request| request.dimensions(rendition.quality));
            let (fps, level) = (f64::from(self.fps), rendition.quality.level());
            let suffix = if self.in_video(rendition).is_some() { "-vod" } else { "" };
            let _infallible = writeln!(
                text,
                "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},RESOLUTION={width}x{height},\
                 FRAME-RATE={fps:.3},CODECS=\"{codecs}\"\n{level}{suffix}.m3u8"
            );
        }
        text
    }

    /// The playlist of a rendition, by its level such as `720p`. Grows until the job has ended.
    pub fn playlist(&self, level: &str) -> Option<String> {
        let rendition = self.renditions().into_iter().find(|rendition| rendition.quality.level() == level)?;
        Some(self.playlist_of(rendition))
    }

    fn playlist_of(&self, rendition: Rendition) -> String {
        self.playlist_with(self.parts(rendition).map(|part| (part, part.name(), 0)))
    }

    /// The same segments, as ranges of the file that also is the video.
    fn playlist_in_video(&self, rendition: Rendition, parts: &[StreamPart]) -> String {
        let file = rendition.file_name();
        let parts = self.parts(rendition).zip(parts);
        self.playlist_with(parts.map(|(part, inside)| (part, file.as_str(), inside.offset)))
    }

    /// Each part with the name of a file, and where it begins there.
    fn playlist_with<'p>(&self, parts: impl Iterator<Item = (&'p SceneStream, &'p str, u64)>) -> String {
        let kind = if self.is_ended { "VOD" } else { "EVENT" };
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{TARGET_SECONDS}\n#EXT-X-PLAYLIST-TYPE:{kind}\n\
             #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-START:TIME-OFFSET=0\n"
        );
        for (scene, (part, name, begins)) in parts.enumerate() {
            if scene == 0 {
                let setup = part.setup_bytes;
                let _infallible = writeln!(text, "#EXT-X-MAP:URI=\"{name}\",BYTERANGE=\"{setup}@{begins}\"");
            }
            let mut offset = begins + part.setup_bytes;
            for segment in &part.segments {
                let (seconds, bytes) = (self.seconds(segment), segment.bytes);
                let _infallible =
                    write!(text, "#EXTINF:{seconds:.6},\n#EXT-X-BYTERANGE:{bytes}@{offset}\n{name}\n");
                offset += bytes;
            }
        }
        if self.is_ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        text
    }

    fn in_video(&self, rendition: Rendition) -> Option<&[StreamPart]> {
        let video = self.videos.iter().find(|(other, _)| *other == rendition)?;
        Some(&video.1)
    }

    fn seconds(&self, segment: &StreamSegment) -> f64 {
        f64::from(segment.frames) / f64::from(self.fps.max(1))
    }

    /// How long the whole video will be; `None` until all scenes are narrated.
    fn planned_seconds(&self) -> Option<f64> {
        let narrated = self.job.narrated_scenes();
        let (scenes, ms) =
            narrated.fold((0, 0), |(scenes, ms), (_, timeline)| (scenes + 1, ms + timeline.duration_ms()));
        (scenes == self.job.scenes.len()).then_some(ms as f64 / 1000.0)
    }

    /// Of the segment with the most, and of all.
    fn bits_per_second(&self, segments: &[&StreamSegment]) -> (u64, u64) {
        let peak =
            segments.iter().map(|segment| segment.bytes as f64 * 8.0 / self.seconds(segment).max(0.001));
        let seconds: f64 = segments.iter().map(|segment| self.seconds(segment)).sum();
        let bits: f64 = segments.iter().map(|segment| segment.bytes as f64 * 8.0).sum();
        (peak.fold(0.0, f64::max).ceil() as u64, (bits / seconds.max(0.001)).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{SceneProgress, Status};
    use crate::events::job::Clip;
    use crate::events::{OutputFormat, Quality, VideoRequest};
    use reel_scene::Scene;

    fn part(scene: u32) -> SceneStream {
        SceneStream {
            rendition: Rendition { quality: Quality::Medium, format: OutputFormat::Mp4 },
            key: format!("videos/x/720p-{scene:02}.m4s"),
            bytes: 3100,
            blake3: String::new(),
            codecs: "avc1.640028,mp4a.40.2".to_owned(),
            setup_bytes: 100,
            segments: vec![
                StreamSegment { frames: 60, bytes: 2000 },
                StreamSegment { frames: 30, bytes: 1000 },
            ],
        }
    }

    /// A job of which some scenes are rendered.
    fn job(rendered: [bool; 3]) -> Job {
        let clip = |scene| Clip {
            artifact: None,
            file: String::new(),
            frames: 90,
            duration_ms: 3000,
            bytes: 1,
            reused: false,
            renditions: vec![],
            streams: vec![part(scene)],
        };
        let scenes = (0..).zip(rendered).map(|(scene, is_rendered)| SceneProgress {
            description: Scene::default(),
            narrated: None,
            code: None,
            clip: is_rendered.then(|| clip(scene)),
        });
        Job {
            status: Status::Processing,
            request: Some(VideoRequest::of_script("A topic", "A script.")),
            scenes: scenes.collect(),
            ..Job::default()
        }
    }

    #[test]
    fn a_stream_begins_with_the_first_scene_and_has_no_gaps() {
        assert!(job([false, true, true]).stream().is_none());
        let names = |job: &Job| -> Vec<String> {
            let stream = job.stream().unwrap();
            stream.files().map(|part| part.name().to_owned()).collect()
        };
        assert_eq!(names(&job([true, false, true])), ["720p-00.m4s"]);
        assert_eq!(names(&job([true, true, false])), ["720p-00.m4s", "720p-01.m4s"]);
        let (part_rendered, all) = (job([true, false, true]), job([true, true, true]));
        assert!(part_rendered.stream().unwrap().file("720p-02.m4s").is_none());
        assert!(all.stream().unwrap().file("720p-02.m4s").is_some());
        assert!(all.stream().unwrap().is_whole() && !job([true, true, false]).stream().unwrap().is_whole());
    }

    #[test]
    fn until_the_first_scene_is_rendered_a_stream_has_its_first_segment() {
        let begun = |rendered| {
            let mut beginning = part(0);
            beginning.key = "users/x/jobs/y/beginning/720p-00.m4s".to_owned();
            beginning.segments.truncate(1);
            Job { beginning: vec![beginning], ..job(rendered) }
        };
        let (early, later) = (begun([false, true, true]), begun([true, false, true]));
        let early = early.stream().unwrap();
        assert!(!early.is_whole());
        assert_eq!(early.file("720p-00.m4s").unwrap().key, "users/x/jobs/y/beginning/720p-00.m4s");
        let (early, later) =
            (early.playlist("720p").unwrap(), later.stream().unwrap().playlist("720p").unwrap());
        assert_eq!(early.matches("#EXTINF").count(), 1, "{early}");
        assert!(later.starts_with(&early), "{later}");
    }

    #[test]
    fn a_playlist_grows_until_the_job_ends() {
        let (first, all) = (job([true, false, false]), job([true, true, true]));
        let growing = first.stream().unwrap().playlist("720p").unwrap();
        let whole = all.stream().unwrap().ended_in(&[]).playlist("720p").unwrap();
        let segments = |text: &str| text.split_once("#EXT-X-MAP").unwrap().1.to_owned();
        assert!(growing.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && !growing.contains("ENDLIST"), "{growing}");
        assert!(whole.contains("#EXT-X-PLAYLIST-TYPE:VOD") && whole.ends_with("#EXT-X-ENDLIST\n"), "{whole}");
        assert!(segments(&whole).starts_with(&segments(&growing)), "what was there stays as it was");
        assert_eq!(whole.matches("#EXTINF:2.000000,\n#EXT-X-BYTERANGE:2000@100\n").count(), 3, "{whole}");
        assert_eq!(whole.matches("#EXTINF:1.000000,\n#EXT-X-BYTERANGE:1000@2100\n").count(), 3, "{whole}");
        assert_eq!(first.stream().unwrap().playlist("1080p"), None);
    }

    #[test]
    fn a_stream_in_the_video_has_a_playlist_for_each_kind_of_viewer() {
        let job = job([true, true, true]);
        let inside = |scene: u32| StreamPart {
            name: format!("720p-{scene:02}.m4s"),
            offset: 5000 + u64::from(scene) * 3100,
            bytes: 3100,
            blake3: String::new(),
        };
        let videos = [(part(0).rendition, (0..3).map(inside).collect())];
        let playlists = job.stream().unwrap().ended_in(&videos).playlists();
        let names: Vec<&str> = playlists.iter().map(|playlist| playlist.name.as_str()).collect();
        assert_eq!(names, ["720p.m3u8", "720p-vod.m3u8", "master.m3u8"]);
        let [begun, later, master] = [0, 1, 2].map(|at: usize| playlists[at].text.clone());
        assert_eq!(begun, job.stream().unwrap().ended_in(&[]).playlist("720p").unwrap());
        assert!(master.ends_with("\n720p-vod.m3u8\n"), "{master}");
        assert!(later.contains("#EXT-X-MAP:URI=\"720p.mp4\",BYTERANGE=\"100@5000\"\n"), "{later}");
        for range in ["2000@5100", "1000@7100", "2000@8200", "1000@10200", "2000@11300", "1000@13300"] {
            assert!(later.contains(&format!("#EXT-X-BYTERANGE:{range}\n720p.mp4\n")), "{range} in {later}");
        }
        let times = |text: &str| {
            text.lines().filter(|line| line.starts_with("#EXTINF")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(times(&later), times(&begun));
    }

    #[test]
    fn the_master_playlist_tells_the_bandwidth() {
        let master = job([true, true, true]).stream().unwrap().master_playlist();
        assert!(master.contains("BANDWIDTH=8000,AVERAGE-BANDWIDTH=8000,RESOLUTION=1280x720"), "{master}");
        assert!(!master.contains("planned-duration"), "not all scenes are narrated");
    }
}
