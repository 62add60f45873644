//! One file for a video and for its HTTP Live Stream, so that the same pictures are not stored twice.
//!
//! The media data (`mdat`) of such an MP4 are the parts of the stream, whole and one after the other, as `stream::write` made
//! them. A player of the file finds its samples by the index (`moov`) and skips the bytes between them. A player of the stream
//! asks for ranges of the file. Samples that only the file has (captions, chapters, the first frame of the sound) come before
//! the parts.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use mp4::{MoofBox, MoovBox, ReadBox};

use crate::mp4_boxes::{self, HEADER_BYTES, LARGE_HEADER_BYTES, Limited, Mp4Box, boxes_of};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not made of boxes", path.display())]
    Boxes { path: PathBuf, source: mp4::Error },
    #[error("{} has no `{name}` box", path.display())]
    Missing { path: PathBuf, name: &'static str },
    #[error(
        "track {track} of the video is not what its stream has: {samples} samples, {streamed} of them streamed"
    )]
    Differs { track: u32, samples: usize, streamed: usize },
}

/// Consecutive samples in the file to be written. The offset counts from the beginning of its media data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    offset: u64,
    samples: u32,
}

/// Samples of a track that a fragment has.
struct Run {
    track: u32,
    /// From the beginning of the first part.
    offset: u64,
    sizes: Vec<u32>,
}

/// Rewrites `video` to `out`, with the parts of its stream as media data. They must hold the same pictures and sound.
pub(crate) fn write(video: &Path, parts: &[PathBuf], out: &Path) -> Result<(), Error> {
    let of_video = |source| Error::File { path: video.to_owned(), source };
    let of_out = |source| Error::File { path: out.to_owned(), source };
    let (mut runs, mut parts_bytes) = (vec![], 0);
    for part in parts {
        runs.extend(read_runs(part, parts_bytes)?);
        parts_bytes += std::fs::metadata(part).map_err(|source| file_error(part, source))?.len();
    }
    let plain = Plain::read(video)?;
    let mut source = File::open(video).map_err(of_video)?;
    let (mut extra, mut streamed) = (vec![], vec![]);
    for track in &plain.tracks {
        let runs = track.find(&runs)?;
        let only_here = track.samples.len() - runs.iter().map(|run| run.sizes.len()).sum::<usize>();
        let chunk = Chunk { offset: extra.len() as u64, samples: only_here as u32 };
        for sample in &track.samples[..only_here] {
            copy_sample(&mut source, *sample, &mut extra).map_err(of_video)?;
        }
        streamed.push(((only_here > 0).then_some(chunk), runs));
    }
    let parts_at = extra.len() as u64;
    let of_run = |run: &Run| Chunk { offset: parts_at + run.offset, samples: run.sizes.len() as u32 };
    let tables = streamed.into_iter();
    let tables = tables.map(|(own, runs)| own.into_iter().chain(runs.into_iter().map(of_run)).collect());
    let tables: Vec<Vec<Chunk>> = tables.collect();
    let media_bytes = parts_at + parts_bytes;
    // The index grows by less than a sample has.
    let is_large = plain.bytes + media_bytes > u64::from(u32::MAX);
    let index = |media_at| index_with(&plain.index, &tables, media_at, is_large);
    let header_bytes = if is_large { LARGE_HEADER_BYTES } else { HEADER_BYTES };
    // Its length does not depend on the offsets in it.
    let media_at = plain.kind.len() as u64 + index(0).len() as u64 + header_bytes;
    let mut written = BufWriter::new(File::create(out).map_err(of_out)?);
    let head = [plain.kind.clone(), index(media_at), header(*b"mdat", media_bytes, is_large), extra].concat();
    written.write_all(&head).map_err(of_out)?;
    let mut written = written.into_inner().map_err(|error| of_out(error.into_error()))?;
    for part in parts {
        let mut part = File::open(part).map_err(|source| file_error(part, source))?;
        io::copy(&mut part, &mut written).map_err(of_out)?;
    }
    Ok(())
}

fn file_error(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

/// Opens a file and lists its boxes.
fn list_boxes(path: &Path) -> Result<(BufReader<File>, Vec<Mp4Box>), Error> {
    let listed = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let boxes = boxes_of(&mut file, length).collect::<io::Result<_>>()?;
        Ok((file, boxes))
    };
    listed().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::InvalidData => Error::Boxes { path: path.to_owned(), source: source.into() },
        _ => file_error(path, source),
    })
}

fn parse_box<T>(
    path: &Path,
    body: &[u8],
    parse: impl FnOnce(&mut Limited<Cursor<&[u8]>>, u64) -> Result<T, mp4::Error>,
) -> Result<T, Error> {
    // The crate reads behind a header, and goes back to it.
    let with_header = [&[0; HEADER_BYTES as usize], body].concat();
    let mut reader = Cursor::new(&with_header[..]);
    reader.set_position(HEADER_BYTES);
    let bytes = with_header.len() as u64;
    let parsed = mp4_boxes::parse(reader, bytes, |reader| parse(reader, bytes));
    parsed.map_err(|source| Error::Boxes { path: path.to_owned(), source })
}

/// Reads where the samples of a part are; `part_at` is where the part begins.
fn read_runs(part: &Path, part_at: u64) -> Result<Vec<Run>, Error> {
    let (mut file, boxes) = list_boxes(part)?;
    let part_bytes = boxes.last().map_or(0, |last| last.end);
    let mut runs = vec![];
    for fragment in boxes.iter().filter(|found| found.name == *b"moof") {
        let body = fragment.read_body(&mut file).map_err(|source| file_error(part, source))?;
        let fragment_at = part_at + fragment.at;
        let found = parse_box(part, &body, |reader, bytes| {
            runs_of(MoofBox::read_box(reader, bytes)?, fragment_at, part_bytes)
        })?;
        runs.extend(found);
    }
    Ok(runs)
}

fn runs_of(fragment: MoofBox, fragment_at: u64, part_bytes: u64) -> Result<Vec<Run>, mp4::Error> {
    let runs = fragment.trafs.into_iter().map(|traf| {
        let run = traf.trun.ok_or(mp4::Error::InvalidData("a fragment without samples"))?;
        // Offsets of `default-base-is-moof`.
        let offset = run.data_offset.and_then(|offset| u64::try_from(offset).ok());
        let offset = offset.ok_or(mp4::Error::InvalidData("a fragment without an offset"))?;
        let sizes = match traf.tfhd.default_sample_size {
            Some(size) if run.sample_sizes.is_empty() => {
                let bytes = u64::from(run.sample_count) * u64::from(size.max(1));
                // A damaged count would take as much memory as it says.
                if bytes > part_bytes {
                    return Err(mp4::Error::InvalidData("more samples than the file has bytes"));
                }
                vec![size; run.sample_count as usize]
            }
            _ => run.sample_sizes,
        };
        Ok(Run { track: traf.tfhd.track_id, offset: fragment_at + offset, sizes })
    });
    runs.collect()
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    offset: u64,
    bytes: u32,
}

struct Track {
    id: u32,
    samples: Vec<Sample>,
}

impl Track {
    /// The runs that the last samples of the track are in.
    fn find<'a>(&self, runs: &'a [Run]) -> Result<Vec<&'a Run>, Error> {
        let own: Vec<&Run> = runs.iter().filter(|run| run.track == self.id).collect();
        let sizes: Vec<u32> = own.iter().flat_map(|run| &run.sizes).copied().collect();
        let is_same = self.samples.len().checked_sub(sizes.len()).is_some_and(|before| {
            self.samples[before..].iter().map(|sample| sample.bytes).eq(sizes.iter().copied())
        });
        let differs =
            || Error::Differs { track: self.id, samples: self.samples.len(), streamed: sizes.len() };
        if is_same { Ok(own) } else { Err(differs()) }
    }
}

/// A video as FFmpeg writes it.
struct Plain {
    /// The `ftyp` box.
    kind: Vec<u8>,
    /// The body of the `moov` box.
    index: Vec<u8>,
    tracks: Vec<Track>,
    bytes: u64,
}

impl Plain {
    fn read(path: &Path) -> Result<Self, Error> {
        let (mut file, boxes) = list_boxes(path)?;
        let mut read = |name: &'static str| {
            let found = boxes.iter().find(|found| found.name == name.as_bytes());
            let found = found.ok_or_else(|| Error::Missing { path: path.to_owned(), name })?;
            found.read_body(&mut file).map_err(|source| file_error(path, source))
        };
        let (kind, index) = (boxed(*b"ftyp", &read("ftyp")?), read("moov")?);
        let bytes = boxes.last().map_or(0, |last| last.end);
        let tracks = parse_box(path, &index, |reader, length| {
            read_tracks(&MoovBox::read_box(reader, length)?, bytes)
        })?;
        Ok(Self { kind, index, tracks, bytes })
    }
}

/// Reads where the samples of each track are (ISO/IEC 14496-12, section 8.7), in a file of so many bytes.
fn read_tracks(index: &MoovBox, file_bytes: u64) -> Result<Vec<Track>, mp4::Error> {
    let tracks = index.traks.iter().map(|track| {
        let table = &track.mdia.minf.stbl;
        let offsets: Vec<u64> = match (&table.stco, &table.co64) {
            (Some(offsets), _) => offsets.entries.iter().copied().map(u64::from).collect(),
            (None, Some(offsets)) => offsets.entries.clone(),
            (None, None) => return Err(mp4::Error::InvalidData("a track without offsets")),
        };
        let sizes = &table.stsz;
        let size_of = |sample| match sizes.sample_size {
            0 => sizes.sample_sizes.get(sample).copied(),
            size => Some(size),
        };
        let count = sizes.sample_count as usize;
        // A damaged count would take as much memory as it says.
        if u64::from(sizes.sample_count) * u64::from(sizes.sample_size.max(1)) > file_bytes {
            return Err(mp4::Error::InvalidData("more samples than the file has bytes"));
        }
        let mut samples = Vec::with_capacity(count);
        for (chunk, mut offset) in (1..).zip(offsets) {
            // An entry holds from its first chunk to that of the next.
            let entry = table.stsc.entries.iter().rev().find(|entry| entry.first_chunk <= chunk);
            for _ in 0..entry.map_or(0, |entry| entry.samples_per_chunk) {
                let bytes = Some(samples.len()).filter(|sample| *sample < count).and_then(size_of);
                let bytes = bytes.ok_or(mp4::Error::InvalidData("a sample without a size"))?;
                samples.push(Sample { offset, bytes });
                offset = offset.saturating_add(u64::from(bytes));
            }
        }
        if samples.len() != count {
            return Err(mp4::Error::InvalidData("samples that are in no chunk"));
        }
        Ok(Track { id: track.tkhd.track_id, samples })
    });
    tracks.collect()
}

fn copy_sample(file: &mut File, sample: Sample, to: &mut Vec<u8>) -> io::Result<()> {
    file.seek(SeekFrom::Start(sample.offset))?;
    let copied = file.take(u64::from(sample.bytes)).read_to_end(to)?;
    if copied < sample.bytes as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// The `moov` box with other places of the samples; all else stays as it is.
fn index_with(index: &[u8], tables: &[Vec<Chunk>], media_at: u64, is_large: bool) -> Vec<u8> {
    let mut tables = tables.iter();
    boxed(*b"moov", &replace_tables(index, &mut tables, &[], media_at, is_large))
}

/// `chunks` are those of the track that `boxes` are in.
fn replace_tables<'a>(
    boxes: &[u8],
    tables: &mut impl Iterator<Item = &'a Vec<Chunk>>,
    chunks: &[Chunk],
    media_at: u64,
    is_large: bool,
) -> Vec<u8> {
    let mut written = vec![];
    for (name, body) in children(boxes) {
        let replaced = match &name {
            b"trak" => {
                let chunks = tables.next().map_or(&[][..], Vec::as_slice);
                replace_tables(body, tables, chunks, media_at, is_large)
            }
            b"mdia" | b"minf" | b"stbl" => replace_tables(body, tables, chunks, media_at, is_large),
            b"stsc" => samples_per_chunk(chunks),
            b"stco" | b"co64" => {
                let offsets = chunks.iter().map(|chunk| media_at + chunk.offset);
                let name = if is_large { *b"co64" } else { *b"stco" };
                written.extend(boxed(name, &chunk_offsets(offsets, is_large)));
                continue;
            }
            _ => body.to_vec(),
        };
        written.extend(boxed(name, &replaced));
    }
    written
}

/// The boxes that follow each other, each as its name and what is in it. Ends at what is no box.
fn children(mut boxes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = boxes.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let bytes = (u32::from_be_bytes(*size) as usize).checked_sub(HEADER_BYTES as usize)?;
        let (body, next) = rest.split_at_checked(bytes)?;
        boxes = next;
        Some((*name, body))
    })
}

/// Writes the body of an `stsc` box: an entry for each change in the number of samples.
fn samples_per_chunk(chunks: &[Chunk]) -> Vec<u8> {
    let mut entries: Vec<[u32; 3]> = vec![];
    for (number, chunk) in (1..).zip(chunks) {
        if entries.last().is_none_or(|[_, samples, _]| *samples != chunk.samples) {
            entries.push([number, chunk.samples, 1]);
        }
    }
    let numbers = entries.iter().flatten().flat_map(|number| number.to_be_bytes());
    counted(entries.len()).into_iter().chain(numbers).collect()
}

/// Writes the body of an `stco` or `co64` box.
fn chunk_offsets(offsets: impl ExactSizeIterator<Item = u64>, is_large: bool) -> Vec<u8> {
    let mut written = counted(offsets.len());
    for offset in offsets {
        let bytes = offset.to_be_bytes();
        written.extend(if is_large { &bytes[..] } else { &bytes[4..] });
    }
    written
}

/// Version and flags, and the number of entries.
fn counted(entries: usize) -> Vec<u8> {
    [0, entries as u32].iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn boxed(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    [header(name, body.len() as u64, false), body.to_vec()].concat()
}

fn header(name: [u8; 4], body_bytes: u64, is_large: bool) -> Vec<u8> {
    if is_large {
        return [&1_u32.to_be_bytes()[..], &name, &(body_bytes + LARGE_HEADER_BYTES).to_be_bytes()].concat();
    }
    [((body_bytes + HEADER_BYTES) as u32).to_be_bytes(), name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, samples: u32) -> Chunk {
        Chunk { offset, samples }
    }

    #[test]
    fn an_index_gets_other_places_and_keeps_all_else() {
        let table = |stsc: &[u8], offsets: Vec<u8>| {
            let boxes = [boxed(*b"stsd", b"codec"), boxed(*b"stsc", stsc), offsets].concat();
            boxed(*b"trak", &boxed(*b"mdia", &boxed(*b"minf", &boxed(*b"stbl", &boxes))))
        };
        let old = table(
            &samples_per_chunk(&[chunk(0, 9)]),
            boxed(*b"stco", &chunk_offsets([7].into_iter(), false)),
        );
        let index = [boxed(*b"mvhd", b"times"), old, boxed(*b"udta", b"title")].concat();
        let chunks = vec![chunk(0, 1), chunk(5, 4), chunk(90, 4), chunk(200, 2)];
        for is_large in [false, true] {
            let media_at = if is_large { 1 << 33 } else { 1000 };
            let written = index_with(&index, std::slice::from_ref(&chunks), media_at, is_large);
            let entries = [[1, 1, 1], [2, 4, 1], [4, 2, 1]].as_flattened().iter();
            let stsc = [counted(3), entries.flat_map(|number: &u32| number.to_be_bytes()).collect()].concat();
            let offsets = chunks.iter().map(|chunk| media_at + chunk.offset);
            let offsets = match is_large {
                true => boxed(*b"co64", &[counted(4), offsets.flat_map(u64::to_be_bytes).collect()].concat()),
                false => {
                    let offsets = offsets.flat_map(|offset| (offset as u32).to_be_bytes());
                    boxed(*b"stco", &[counted(4), offsets.collect()].concat())
                }
            };
            let expected = [boxed(*b"mvhd", b"times"), table(&stsc, offsets), boxed(*b"udta", b"title")];
            assert_eq!(written, boxed(*b"moov", &expected.concat()));
        }
    }

    #[test]
    fn a_large_box_has_a_size_of_64_bits() {
        let large = header(*b"mdat", 1 << 32, true);
        assert_eq!(mp4::BoxHeader::read(&mut large.as_slice()).unwrap().size, (1 << 32) + HEADER_BYTES);
        assert_eq!(mp4::BoxHeader::read(&mut header(*b"mdat", 10, false).as_slice()).unwrap().size, 18);
    }

    #[test]
    fn what_is_streamed_must_be_what_the_video_has() {
        let samples = [3, 5, 5, 8].map(|bytes| Sample { offset: 0, bytes }).to_vec();
        let track = Track { id: 2, samples };
        let run = |track, sizes: &[u32]| Run { track, offset: 0, sizes: sizes.to_vec() };
        let find = |runs: &[Run]| track.find(runs).map(|runs| runs.len()).map_err(|error| error.to_string());
        assert_eq!(find(&[run(1, &[9]), run(2, &[5, 5]), run(2, &[8])]), Ok(2));
        assert_eq!(find(&[run(1, &[9])]), Ok(0), "nothing of it is streamed");
        let differs = |streamed| {
            Err(format!(
                "track 2 of the video is not what its stream has: 4 samples, {streamed} of them streamed"
            ))
        };
        assert_eq!(find(&[run(2, &[5, 5])]), differs(2));
        assert_eq!(find(&[run(2, &[3, 3, 5, 5, 8])]), differs(5));
    }

    #[test]
    fn what_is_no_mp4_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let written = |bytes: &[u8]| {
            std::fs::write(path("video"), bytes).unwrap();
            write(&path("video"), &[], &path("out")).unwrap_err().to_string()
        };
        for bytes in
            [&b"none"[..], b"\xff\xff\xff\xffftyp", b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert!(written(bytes).ends_with("is not made of boxes"), "{bytes:?}");
        }
        assert!(written(&[0; 64]).ends_with("has no `ftyp` box"));
        assert!(written(&boxed(*b"ftyp", b"isom")).ends_with("has no `moov` box"));
        assert!(write(&path("absent"), &[], &path("out")).unwrap_err().to_string().starts_with("cannot use"));
    }
}
