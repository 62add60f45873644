//! Turns pictures into a stream: pictures that change go through an encoder, repeats take a few bytes.
//!
//! This module writes repeats itself: in H.264 as a picture of skipped macroblocks ([`crate::encode::h264`]), in VP9 as a
//! frame of one byte with `show_existing_frame` (VP9 bitstream specification, section 6.2). There is a key frame every two
//! seconds; while the picture stays, it is encoded once and written again.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, frame, picture};

use crate::draw::picture::Picture;
use crate::encode::encoder::{EncodeSettings, Error, KEY_FRAME_INTERVAL_S, failed_to};
use crate::encode::h264::Sequence;
use crate::encode::hardware::Hardware;
use crate::encode::surfaces::Surfaces;
use crate::ffmpeg::extradata;
use reel_scene::format::VideoCodec;

/// A VP9 frame header: `frame_marker` 2, profile 0, `show_existing_frame` of slot 0, which holds libvpx's previous frame.
const VP9_SHOW_AGAIN: u8 = 0b1000_1000;

/// One picture of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPicture {
    pub bytes: Vec<u8>,
    /// Set when decoding can begin here.
    pub is_key: bool,
}

/// State of a codec's syntax that repeats depend on.
enum Syntax {
    H264 {
        sequence: Sequence,
        /// Of the previous picture.
        frame_num: u32,
    },
    Vp9,
}

pub struct PictureEncoder {
    pub encoder: encoder::Video,
    syntax: Syntax,
    /// Parameter sets of the encoder and of repeats; empty for VP9.
    pub headers: Vec<u8>,
    pub time_base: Rational,
    /// Pictures from one key frame to the next.
    key_frame_interval: u32,
    since_key_frame: u32,
    /// The previous picture, in the format of the encoder or its surfaces.
    frame: frame::Video,
    surfaces: Option<Surfaces>,
    /// The previous picture as a key frame, once one was needed.
    key_frame: Option<Vec<u8>>,
    sent: i64,
}

impl PictureEncoder {
    pub fn open(settings: &EncodeSettings) -> Result<Self, Error> {
        let surfaces = match settings.hardware {
            Some(Hardware::Vaapi) if settings.codec == VideoCodec::H264 => Some(
                Surfaces::open(settings.width, settings.height)
                    .map_err(failed_to("open the graphics processor's memory"))?,
            ),
            _ => None,
        };
        let encoder = open(settings, surfaces.as_ref()).map_err(failed_to("open the video encoder"))?;
        let (syntax, headers) = match settings.codec {
            VideoCodec::H264 => {
                // SAFETY: the encoder owns its headers and outlives the copy.
                let own = unsafe {
                    let raw = &*encoder.as_ptr();
                    extradata(raw.extradata, raw.extradata_size)
                };
                let sequence = Sequence::parse(&own)?;
                (Syntax::H264 { sequence, frame_num: 0 }, [own, sequence.parameter_set()].concat())
            }
            VideoCodec::Vp9 => (Syntax::Vp9, vec![]),
        };
        let key_frame_interval = settings.fps * KEY_FRAME_INTERVAL_S;
        Ok(Self {
            encoder,
            syntax,
            headers,
            time_base: Rational(1, settings.fps as i32),
            key_frame_interval,
            since_key_frame: key_frame_interval,
            frame: frame::Video::new(pixel_format(settings), settings.width, settings.height),
            surfaces,
            key_frame: None,
            sent: 0,
        })
    }

    pub fn encode(&mut self, picture: &Picture) -> Result<EncodedPicture, Error> {
        copy_planes(picture, &mut self.frame);
        self.key_frame = None;
        if self.is_key_frame_due() {
            return self.encode_key_frame();
        }
        let bytes = self.send(picture::Type::None)?;
        self.since_key_frame += 1;
        let bytes = match &mut self.syntax {
            Syntax::H264 { sequence, frame_num } => {
                *frame_num = sequence.next(*frame_num);
                sequence.set_frame_num(&bytes, *frame_num)?
            }
            Syntax::Vp9 => bytes,
        };
        Ok(EncodedPicture { bytes, is_key: false })
    }

    /// Repeats the previous picture.
    pub fn repeat(&mut self) -> Result<EncodedPicture, Error> {
        if self.is_key_frame_due() {
            return self.encode_key_frame();
        }
        self.since_key_frame += 1;
        let bytes = match &mut self.syntax {
            Syntax::H264 { sequence, frame_num } => {
                *frame_num = sequence.next(*frame_num);
                sequence.repeat(*frame_num)
            }
            Syntax::Vp9 => vec![VP9_SHOW_AGAIN],
        };
        Ok(EncodedPicture { bytes, is_key: false })
    }

    fn is_key_frame_due(&self) -> bool {
        self.since_key_frame >= self.key_frame_interval
    }

    fn encode_key_frame(&mut self) -> Result<EncodedPicture, Error> {
        let bytes = match self.key_frame.take() {
            Some(bytes) => bytes,
            None => self.send(picture::Type::I)?,
        };
        if let Syntax::H264 { frame_num, .. } = &mut self.syntax {
            *frame_num = 0;
        }
        self.since_key_frame = 1;
        self.key_frame = Some(bytes.clone());
        Ok(EncodedPicture { bytes, is_key: true })
    }

    /// Encodes the current frame. The encoder has no lookahead, so each picture comes out at once.
    fn send(&mut self, kind: picture::Type) -> Result<Vec<u8>, Error> {
        self.frame.set_kind(kind);
        self.frame.set_pts(Some(self.sent));
        self.sent += 1;
        let surface = self.surfaces.as_ref().map(|surfaces| surfaces.upload(&self.frame));
        let surface = surface.transpose().map_err(failed_to("give a picture to the graphics processor"))?;
        let picture = surface.as_ref().unwrap_or(&self.frame);
        self.encoder.send_frame(picture).map_err(failed_to("encode a picture"))?;
        let mut packet = Packet::empty();
        self.encoder.receive_packet(&mut packet).map_err(failed_to("encode a picture"))?;
        Ok(packet.data().unwrap_or_default().to_vec())
    }
}

fn open(settings: &EncodeSettings, surfaces: Option<&Surfaces>) -> Result<encoder::Video, ffmpeg::Error> {
    let (name, options) = match (settings.codec, settings.hardware) {
        (VideoCodec::H264, None) => ("libx264", x264_options(settings)),
        (VideoCodec::H264, Some(hardware)) => (hardware.encoder(), hardware_options(hardware, settings)),
        (VideoCodec::Vp9, _) => ("libvpx-vp9", vpx_options(settings)),
    };
    let codec = encoder::find_by_name(name).ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut context = codec::Context::new_with_codec(codec);
    context.set_flags(codec::Flags::GLOBAL_HEADER);
    let threads = settings.threads as usize;
    context.set_threading(codec::threading::Config { count: threads, ..Default::default() });
    let mut video = context.encoder().video()?;
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(pixel_format(settings));
    if let Some(surfaces) = surfaces {
        video.set_format(Pixel::VAAPI);
        // SAFETY: the context is this function's own, and not open yet.
        surfaces.attach(unsafe { video.as_mut_ptr() })?;
    }
    video.set_time_base(Rational(1, settings.fps as i32));
    video.set_frame_rate(Some(Rational(settings.fps as i32, 1)));
    video.set_aspect_ratio(Rational(1, 1));
    // Key frames are requested explicitly.
    video.set_gop(u32::from(u16::MAX));
    video.set_max_b_frames(0);
    video.set_colorspace(color::Space::BT709);
    video.set_color_range(color::Range::MPEG);
    video.set_color_primaries(color::Primaries::BT709);
    video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
    video.open_as_with(codec, options)
}

/// Returns the pixel format that the encoder takes.
fn pixel_format(settings: &EncodeSettings) -> Pixel {
    match (settings.codec, settings.hardware) {
        (VideoCodec::H264, Some(Hardware::Qsv | Hardware::Vaapi)) => Pixel::NV12,
        _ => Pixel::YUV420P,
    }
}

/// Returns options without delay: each picture comes out before the next goes in.
fn hardware_options(hardware: Hardware, settings: &EncodeSettings) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("profile", "high");
    match hardware {
        Hardware::Nvenc => {
            options.set("preset", "p4");
            options.set("rc", "constqp");
            options.set("qp", &settings.crf.to_string());
            options.set("delay", "0");
            options.set("zerolatency", "1");
            options.set("forced-idr", "1");
        }
        Hardware::Qsv => {
            options.set("global_quality", &settings.crf.to_string());
            options.set("async_depth", "1");
            options.set("forced_idr", "1");
        }
        Hardware::Vaapi => {
            options.set("rc_mode", "CQP");
            options.set("qp", &settings.crf.to_string());
            options.set("async_depth", "1");
            options.set("coder", "cabac");
        }
    }
    options
}

fn x264_options(settings: &EncodeSettings) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("preset", "superfast");
    options.set("profile", "high");
    options.set("crf", &settings.crf.to_string());
    options.set("forced-idr", "1");
    // No lookahead, and no analysis that pays off for camera pictures only. The one reference picture is the one that
    // repeats refer to. `stitchable` keeps the headers of all scenes equal.
    options.set(
        "x264-params",
        "ref=1:scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:weightp=0:subme=1:me=dia:force-cfr=1:open-gop=0:stitchable=1:8x8dct=1",
    );
    options
}

/// Returns options without hidden frames and without delay. Each frame decodes independently of the previous frame's
/// motion vectors and statistics, so a repeat between two frames changes nothing.
fn vpx_options(settings: &EncodeSettings) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("deadline", "realtime");
    options.set("cpu-used", "7");
    options.set("crf", &(settings.crf + VPX_CRF_OFFSET).to_string());
    options.set("b", "0");
    options.set("lag-in-frames", "0");
    options.set("auto-alt-ref", "0");
    options.set("error-resilient", "default");
    options
}

/// Difference from x264's rate factor at about the same quality.
const VPX_CRF_OFFSET: u32 = 8;

fn copy_planes(picture: &Picture, frame: &mut frame::Video) {
    if frame.format() == Pixel::NV12 {
        return copy_nv12(picture, frame);
    }
    for (index, (plane, width, _)) in picture.planes().into_iter().enumerate() {
        let stride = frame.stride(index);
        for (to, from) in frame.data_mut(index).chunks_mut(stride).zip(plane.chunks(width)) {
            to[..width].copy_from_slice(from);
        }
    }
}

/// Copies a picture to NV12: interleaved chroma.
fn copy_nv12(picture: &Picture, frame: &mut frame::Video) {
    let [(luma, width, _), (blue, half, _), (red, ..)] = picture.planes();
    let stride = frame.stride(0);
    for (to, from) in frame.data_mut(0).chunks_mut(stride).zip(luma.chunks(width)) {
        to[..width].copy_from_slice(from);
    }
    let stride = frame.stride(1);
    let chroma = blue.chunks(half).zip(red.chunks(half));
    for (to, (blue, red)) in frame.data_mut(1).chunks_mut(stride).zip(chroma) {
        for (pair, (blue, red)) in to.chunks_exact_mut(2).zip(blue.iter().zip(red)) {
            pair.copy_from_slice(&[*blue, *red]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::picture::Rect;

    const SIZE: (usize, usize) = (320, 176);

    /// Returns pictures of a square that moves and rests, with the repeats after each.
    fn sequence_of_pictures() -> Vec<(Picture, u32)> {
        let blank = Picture::filled([250, 248, 240], SIZE.0, SIZE.1);
        let dark = Picture::filled([20, 40, 120], SIZE.0, SIZE.1);
        let at = |left: usize| {
            let mut picture = blank.clone();
            picture.copy(&dark, Rect { left, top: 40, right: left + 60, bottom: 100 });
            picture
        };
        let rests = [0, 0, 0, 130, 0, 0, 45, 7, 0, 0, 0, 200];
        rests.into_iter().enumerate().map(|(step, rest)| (at(8 * step), rest)).collect()
    }

    const CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp9];

    fn settings(codec: VideoCodec) -> EncodeSettings {
        EncodeSettings { codec, ..EncodeSettings::new(SIZE.0 as u32, SIZE.1 as u32, 30) }
    }

    /// Decodes a stream to planes of bytes.
    fn decode(codec: VideoCodec, headers: &[u8], encoded_pictures: &[EncodedPicture]) -> Vec<Vec<u8>> {
        let id = match codec {
            VideoCodec::H264 => codec::Id::H264,
            VideoCodec::Vp9 => codec::Id::VP9,
        };
        let codec = ffmpeg::decoder::find(id).unwrap();
        let mut decoder = codec::Context::new_with_codec(codec).decoder().video().unwrap();
        let mut pictures = vec![];
        let mut take = |decoder: &mut ffmpeg::decoder::Video| {
            let mut picture = frame::Video::empty();
            while decoder.receive_frame(&mut picture).is_ok() {
                let plane = |index: usize| {
                    let (width, height) =
                        (picture.plane_width(index) as usize, picture.plane_height(index) as usize);
                    let rows = picture.data(index).chunks(picture.stride(index)).take(height);
                    rows.flat_map(|row| &row[..width]).copied().collect::<Vec<_>>()
                };
                pictures.push([plane(0), plane(1), plane(2)].concat());
            }
        };
        for (number, encoded) in encoded_pictures.iter().enumerate() {
            let bytes = if number == 0 { [headers, &encoded.bytes].concat() } else { encoded.bytes.clone() };
            decoder.send_packet(&Packet::copy(&bytes)).unwrap();
            take(&mut decoder);
        }
        decoder.send_eof().unwrap();
        take(&mut decoder);
        pictures
    }

    /// Encodes the sequence with repeats, and returns its headers and pictures.
    fn with_repeats(codec: VideoCodec) -> (Vec<u8>, Vec<EncodedPicture>) {
        crate::ffmpeg::start();
        let mut encoder = PictureEncoder::open(&settings(codec)).unwrap();
        let mut encoded_pictures = vec![];
        for (picture, rest) in sequence_of_pictures() {
            encoded_pictures.push(encoder.encode(&picture).unwrap());
            encoded_pictures.extend((0..rest).map(|_| encoder.repeat().unwrap()));
        }
        (encoder.headers.clone(), encoded_pictures)
    }

    fn is_repeat(encoded: &EncodedPicture) -> bool {
        encoded.bytes.len() < 20
    }

    #[test]
    fn repeated_pictures_decode_bit_for_bit_like_a_plain_encode() {
        for codec in CODECS {
            let (headers, encoded_pictures) = with_repeats(codec);
            let pictures = decode(codec, &headers, &encoded_pictures);
            assert_eq!(pictures.len(), encoded_pictures.len(), "every picture is decoded");
            let repeats = encoded_pictures.iter().filter(|encoded| is_repeat(encoded)).count();
            assert!(repeats > 350, "{repeats} of {} are repeats", encoded_pictures.len());
            // The same pictures through the encoder alone, with key frames at the same places and nothing between.
            let mut plain = PictureEncoder::open(&settings(codec)).unwrap();
            let mut plain_encoded: Vec<EncodedPicture> = vec![];
            let mut shown = vec![];
            let mut sequence_of_pictures = sequence_of_pictures().into_iter();
            let mut left = 0;
            for encoded in &encoded_pictures {
                if left == 0 {
                    let (picture, rest) = sequence_of_pictures.next().unwrap();
                    copy_planes(&picture, &mut plain.frame);
                    left = rest + 1;
                }
                left -= 1;
                if !is_repeat(encoded) && !is_repeated_key_frame(encoded, &encoded_pictures, &plain_encoded) {
                    let kind = if encoded.is_key { picture::Type::I } else { picture::Type::None };
                    plain_encoded
                        .push(EncodedPicture { bytes: plain.send(kind).unwrap(), is_key: encoded.is_key });
                }
                shown.push(plain_encoded.len() - 1);
            }
            let plain_pictures = decode(codec, &plain.headers, &plain_encoded);
            for (number, (picture, index)) in pictures.iter().zip(shown).enumerate() {
                assert!(
                    *picture == plain_pictures[index],
                    "{codec:?}: picture {number} differs from the plain encode"
                );
            }
        }
    }

    /// Returns `true` for a key frame that was written again.
    fn is_repeated_key_frame(
        encoded: &EncodedPicture,
        encoded_pictures: &[EncodedPicture],
        plain: &[EncodedPicture],
    ) -> bool {
        encoded_pictures.iter().filter(|other| *other == encoded).count() > 1 && plain.last() == Some(encoded)
    }

    #[test]
    fn key_frames_come_every_two_seconds_and_decoding_can_begin_at_each() {
        for codec in CODECS {
            let (headers, encoded_pictures) = with_repeats(codec);
            let whole = decode(codec, &headers, &encoded_pictures);
            let keys: Vec<usize> = encoded_pictures
                .iter()
                .enumerate()
                .filter(|(_, encoded)| encoded.is_key)
                .map(|(at, _)| at)
                .collect();
            assert_eq!(keys, (0..encoded_pictures.len()).step_by(60).collect::<Vec<_>>());
            for key in keys {
                let tail = decode(codec, &headers, &encoded_pictures[key..]);
                assert_eq!(tail.len(), encoded_pictures.len() - key);
                assert!(tail == whole[key..], "{codec:?}: what is decoded from picture {key} on differs");
            }
        }
    }

    #[test]
    fn nv12_interleaves_chroma() {
        let picture = Picture::filled([200, 30, 60], 16, 16);
        let mut frame = frame::Video::new(Pixel::NV12, 16, 16);
        copy_planes(&picture, &mut frame);
        assert_eq!(frame.data(0)[..16], picture.luma[..16]);
        let pairs: Vec<u8> = std::iter::repeat_n([picture.blue[0], picture.red[0]], 8).flatten().collect();
        assert_eq!(frame.data(1)[..16], pairs);
    }

    #[test]
    fn the_same_pictures_give_the_same_bytes() {
        for codec in CODECS {
            assert!(with_repeats(codec) == with_repeats(codec));
        }
    }
}
