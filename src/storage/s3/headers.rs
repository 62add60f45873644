//! The headers that an object is stored with, by its name.

use super::super::Key;

/// A finished file never changes under its key, but an erased one must not live on in caches.
const CACHE_CONTROL: &str = "private, max-age=3600";
/// Playlists grow, and are made again when a job is.
const NOT_CACHED: &str = "private, no-cache";

pub(super) fn content_type(key: &Key) -> &'static str {
    match extension(key) {
        "mp4" | "m4s" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "avi" => "video/x-msvideo",
        "m3u8" => "application/vnd.apple.mpegurl",
        "jpg" => "image/jpeg",
        "vtt" => "text/vtt; charset=utf-8",
        "srt" => "application/x-subrip",
        "wav" => "audio/wav",
        "json" => "application/json",
        "zst" => "application/zstd",
        _ => "application/octet-stream",
    }
}

pub(super) fn cache_control(key: &Key) -> &'static str {
    if extension(key) == "m3u8" { NOT_CACHED } else { CACHE_CONTROL }
}

fn extension(key: &Key) -> &str {
    key.as_str()
        .rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'))
        .map_or("", |(_, extension)| extension)
}
