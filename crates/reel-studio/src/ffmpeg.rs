//! Sets FFmpeg up, and holds what all files written through it share.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Once;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::format::stream::StreamMut;
use ffmpeg_next::{Dictionary, Packet, Rational};

use crate::memory;
use reel_scene::format::OutputFormat;

/// Initialises FFmpeg once, and silences its log: errors are returned as values.
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        // `init` only registers network protocols and devices, and fails in no known case.
        let _registered = ffmpeg::init();
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
        memory::return_freed_memory();
    });
}

/// Returns `true` when an error, or one of its sources, means that the disk is full.
pub fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // hound and image do not return the I/O error as their source.
        let file = match (error.downcast_ref(), error.downcast_ref()) {
            (Some(hound::Error::IoError(error)), _) | (_, Some(image::ImageError::IoError(error))) => {
                Some(error)
            }
            _ => error.downcast_ref::<std::io::Error>(),
        };
        let by_file = file.is_some_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        });
        let by_ffmpeg = matches!(
            error.downcast_ref(),
            Some(ffmpeg::Error::Other { errno }) if *errno == ffmpeg::error::ENOSPC
        );
        if by_file || by_ffmpeg {
            return true;
        }
        next = error.source();
    }
    false
}

/// Opens a file of a format for writing, regardless of the path's extension.
pub fn create(path: &Path, format: OutputFormat) -> Result<Output, ffmpeg::Error> {
    start();
    ffmpeg::format::output_as(path, format.name())
}

/// Where an MP4 or MOV has its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// Before the data, so that the file plays while it loads.
    First,
    Last,
}

/// Writes the header.
pub fn write_header(output: &mut Output, format: OutputFormat, index: Index) -> Result<(), ffmpeg::Error> {
    let mut options = Dictionary::new();
    match format {
        OutputFormat::Mp4 | OutputFormat::Mov if index == Index::First => {
            options.set("movflags", "+faststart");
        }
        OutputFormat::Mp4 | OutputFormat::Mov => {}
        OutputFormat::Webm => {
            options.set("cues_to_front", "1");
            // Otherwise tracks get random ids.
            options.set("fflags", "+bitexact");
        }
        OutputFormat::Avi => {}
    }
    if matches!(format, OutputFormat::Webm | OutputFormat::Avi) {
        // Without captions no stream has long gaps, so the muxer may buffer without a limit to interleave them.
        options.set("max_interleave_delta", "0");
    }
    output.write_header_with(options).map(|_unused| ())
}

/// Copies a stream's headers (FFmpeg's extradata).
///
/// # Safety
/// `data` must be null, or point to `size` bytes that do not change during the call.
pub unsafe fn extradata(data: *const u8, size: i32) -> Vec<u8> {
    if data.is_null() {
        return vec![];
    }
    // SAFETY: the caller upholds it.
    unsafe { std::slice::from_raw_parts(data, usize::try_from(size).unwrap_or(0)).to_vec() }
}

/// Replaces the headers of a stream that is about to be written.
pub fn set_headers(stream: &mut StreamMut<'_>, headers: &[u8]) -> Result<(), ffmpeg::Error> {
    let padding = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    // SAFETY: the stream and its parameters live as long as `stream`. The old headers are freed as FFmpeg
    // allocated them; the new ones come from its allocator, zeroed, with the padding that it wants.
    unsafe {
        let parameters = &mut *(*stream.as_mut_ptr()).codecpar;
        let copy = ffi::av_mallocz(headers.len() + padding).cast::<u8>();
        if copy.is_null() {
            return Err(ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM });
        }
        std::ptr::copy_nonoverlapping(headers.as_ptr(), copy, headers.len());
        ffi::av_freep((&raw mut parameters.extradata).cast());
        parameters.extradata = copy;
        parameters.extradata_size = headers.len() as i32;
    }
    Ok(())
}

/// Reads the next packet of any stream; `None` at the end of the file.
///
/// Every packet is a new one, and released when it is dropped: `av_read_frame` overwrites the packet it is given without
/// releasing what it refers to, so a packet that is read into twice leaks the first. Nothing else in the repository
/// reads packets (`clippy.toml`).
#[expect(clippy::disallowed_methods)]
pub fn read_packet(input: &mut Input) -> Result<Option<Packet>, ffmpeg::Error> {
    let mut packet = Packet::empty();
    match packet.read(input) {
        Ok(()) => Ok(Some(packet)),
        Err(ffmpeg::Error::Eof) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a packet with timestamps in `time_base` to a stream.
pub fn write_packet(
    output: &mut Output,
    packet: &mut Packet,
    stream: usize,
    time_base: Rational,
) -> Result<(), ffmpeg::Error> {
    let target = output.stream(stream).map_or(time_base, |stream| stream.time_base());
    packet.set_stream(stream);
    packet.set_position(-1);
    packet.rescale_ts(time_base, target);
    packet.write_interleaved(output)
}

/// Collects all packets that `receive` has ready.
pub fn drain(
    mut receive: impl FnMut(&mut Packet) -> Result<(), ffmpeg::Error>,
) -> Result<Vec<Packet>, ffmpeg::Error> {
    let mut packets = vec![];
    loop {
        let mut packet = Packet::empty();
        match receive(&mut packet) {
            Ok(()) => packets.push(packet),
            Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => {
                return Ok(packets);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Creates a temporary file beside `out`, which is removed unless it is persisted.
pub fn part_file(out: &Path) -> std::io::Result<tempfile::TempPath> {
    let folder = out.parent().unwrap_or(Path::new("."));
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // The usual mode of new files: the umask decides who may read them.
    Ok(tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o666))
        .prefix(&format!("{name}."))
        .suffix(".part")
        .tempfile_in(folder)?
        .into_temp_path())
}
