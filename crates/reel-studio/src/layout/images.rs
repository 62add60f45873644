//! Reads the pictures of a description from files beside it. Damaged files and files too large for memory are refused up
//! front.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::{Component, Path, PathBuf};

use image::imageops::FilterType;
use image::{ImageError, ImageFormat, ImageReader};

use crate::named_file;
use reel_scene::look::Look;
use reel_scene::{Block, Scene};

/// Largest picture: about 300 MB while it is decoded.
const MAX_PIXELS: u64 = 80_000_000;
/// Longest side after scaling down: more than a video shows.
const MAX_SIDE: u32 = 2560;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{file}` is no file beside the description: give a relative path without `..`")]
    Outside { file: String },
    #[error("the picture {} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the picture {} is {width}x{height} pixels, but may have {} million", path.display(), MAX_PIXELS / 1_000_000)]
    TooLarge { path: PathBuf, width: u32, height: u32 },
    #[error("the picture {} is damaged, or neither PNG nor JPEG", path.display())]
    Damaged { path: PathBuf, source: ImageError },
}

/// The pictures of a video as PNG, by the names that scenes use.
#[derive(Debug, Clone, Default)]
pub struct Images(HashMap<String, Vec<u8>>);

impl Images {
    /// Reads every picture that the scenes show, and the look's logo, from files in `folder`.
    pub fn read(scenes: &[Scene], look: &Look, folder: &Path) -> Result<Self, Error> {
        let mut images = HashMap::new();
        for block in scenes.iter().flat_map(|scene| &scene.blocks) {
            if let Block::Image { file, .. } = block
                && !images.contains_key(file)
            {
                images.insert(file.clone(), read_beside(file, folder)?);
            }
        }
        if let Some(logo) = &look.logo {
            images.insert(logo.clone(), read_beside(logo, folder)?);
        }
        Ok(Self(images))
    }

    /// Reads a logo by name from a folder of logos, regardless of its extension. A name without a folder is an error.
    pub fn read_logo(name: Option<&str>, folder: Option<&Path>) -> Result<Self, Error> {
        let Some(name) = name else { return Ok(Self::default()) };
        let path = named_file::find(folder, name)
            .map_err(|source| Error::File { path: folder.unwrap_or(Path::new("")).join(name), source })?;
        Ok(Self(HashMap::from([(name.to_owned(), read_file(path)?)])))
    }

    /// Adds a picture, a PNG or JPEG in memory.
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let open = || Ok(Cursor::new(bytes.as_slice()));
        self.0.insert(name.to_owned(), convert(Path::new(name), open)?);
        Ok(())
    }

    /// Iterates over the contents, in the order of the names.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let mut names: Vec<&String> = self.0.keys().collect();
        names.sort();
        names.into_iter().map(|name| self.0[name].as_slice())
    }

    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

fn read_beside(file: &str, folder: &Path) -> Result<Vec<u8>, Error> {
    let relative = Path::new(file);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::Outside { file: file.to_owned() });
    }
    read_file(folder.join(relative))
}

fn read_file(path: PathBuf) -> Result<Vec<u8>, Error> {
    convert(&path, || File::open(&path).map(BufReader::new))
}

/// Reads a picture, scales it down to what a video shows, and encodes it as PNG. `open` is called twice; `path` names the picture in errors.
fn convert<R: BufRead + Seek>(path: &Path, open: impl Fn() -> io::Result<R>) -> Result<Vec<u8>, Error> {
    let path = || path.to_owned();
    let open = || -> Result<_, Error> {
        let reader = open().and_then(|source| ImageReader::new(source).with_guessed_format());
        reader.map_err(|source| Error::File { path: path(), source })
    };
    let damaged = |source| Error::Damaged { path: path(), source };
    let (width, height) = open()?.into_dimensions().map_err(damaged)?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Error::TooLarge { path: path(), width, height });
    }
    let mut picture = open()?.decode().map_err(damaged)?;
    if width.max(height) > MAX_SIDE {
        picture = picture.resize(MAX_SIDE, MAX_SIDE, FilterType::CatmullRom);
    }
    let mut png = Cursor::new(vec![]);
    picture.write_to(&mut png, ImageFormat::Png).map_err(damaged)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::Step;

    fn scene(file: &str) -> Vec<Scene> {
        vec![Scene {
            title: "T".into(),
            blocks: vec![Block::Image { file: file.into(), caption: String::new() }],
            steps: vec![Step::new("x.", vec![])],
            ..Scene::default()
        }]
    }

    fn read_error(file: &str, folder: &Path) -> String {
        Images::read(&scene(file), &Look::default(), folder).unwrap_err().to_string()
    }

    #[test]
    fn pictures_are_read_and_large_ones_made_smaller() {
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::new(5000, 100).save(folder.path().join("wide.png")).unwrap();
        let images = Images::read(&scene("wide.png"), &Look::default(), folder.path()).unwrap();
        let small = image::load_from_memory(images.get("wide.png").unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (2560, 51));
    }

    #[test]
    fn what_cannot_be_shown_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(read_error("../x.png", folder.path()).contains("no file beside the description"));
        assert!(read_error("/etc/passwd", folder.path()).contains("no file beside the description"));
        assert!(read_error("none.png", folder.path()).contains("none.png cannot be read"));
        std::fs::write(path("text.png"), "no picture at all").unwrap();
        assert!(read_error("text.png", folder.path()).contains("is damaged, or neither PNG nor JPEG"));
        // Half a picture.
        image::RgbImage::new(300, 300).save(path("half.png")).unwrap();
        let bytes = std::fs::read(path("half.png")).unwrap();
        std::fs::write(path("half.png"), &bytes[..bytes.len() / 2]).unwrap();
        assert!(read_error("half.png", folder.path()).contains("half.png is damaged"));
        // A header that promises 50,000 by 50,000 pixels, and nothing else.
        let mut huge = bytes;
        huge[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        let checksum = crc32(&huge[12..29]);
        huge[29..33].copy_from_slice(&checksum.to_be_bytes());
        std::fs::write(path("huge.png"), huge).unwrap();
        let said = read_error("huge.png", folder.path());
        assert!(said.contains("is 50000x50000 pixels, but may have 80 million"), "{said}");
    }

    /// The checksum of PNG chunks.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }
}
