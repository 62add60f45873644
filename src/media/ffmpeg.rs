//! The one place that sets FFmpeg up, and what every file written through it shares.

use std::path::Path;
use std::sync::Once;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Dictionary, Packet};

/// Starts the library once and keeps its log lines from the terminal: errors reach us as values.
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        // `init` only registers network protocols and devices, and fails in no known case.
        let _registered = ffmpeg::init();
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    });
}

/// Whether an FFmpeg call failed because the disk is full.
pub fn is_disk_full(error: &ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno } if *errno == ffmpeg::error::ENOSPC)
}

/// Opens an MP4 for writing, whatever the path's extension.
pub fn create_mp4(path: &Path) -> Result<Output, ffmpeg::Error> {
    start();
    ffmpeg::format::output_as(path, "mp4")
}

/// Writes the header of a file that ends with `moov` before `mdat`, so that it plays while it loads.
pub fn write_fast_start_header(output: &mut Output) -> Result<(), ffmpeg::Error> {
    let mut options = Dictionary::new();
    options.set("movflags", "+faststart");
    output.write_header_with(options).map(|_unused| ())
}

/// All packets that `receive` has ready.
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

/// A path in the folder of `out` that is removed unless it is persisted.
pub fn part_file(out: &Path) -> std::io::Result<tempfile::TempPath> {
    let folder = out.parent().unwrap_or(Path::new("."));
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .suffix(".part")
        .tempfile_in(folder)?
        .into_temp_path())
}
