//! Encodes 48 kHz mono samples: AAC-LC for MP4 and MOV, Opus for WebM, MP3 for AVI.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::{ChannelLayout, Dictionary, Packet, Rational, codec, encoder, frame};

use crate::ffmpeg::drain;
use crate::speak::voice::{Pcm, SAMPLE_RATE_HZ};

/// Samples of one AAC frame.
pub const AAC_FRAME_SAMPLES: u64 = 1024;

/// The time base of all packets: samples.
pub const TIME_BASE: Rational = Rational(1, SAMPLE_RATE_HZ as i32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundCodec {
    Aac,
    Opus,
    Mp3,
}

impl SoundCodec {
    fn encoder(self) -> (&'static str, Sample, usize) {
        match self {
            SoundCodec::Aac => ("aac", Sample::F32(Type::Planar), 128_000),
            SoundCodec::Opus => ("libopus", Sample::F32(Type::Packed), 64_000),
            SoundCodec::Mp3 => ("libmp3lame", Sample::F32(Type::Planar), 128_000),
        }
    }
}

/// Encodes a stream of samples, pushed in pieces of any length.
pub struct SoundEncoder {
    encoder: encoder::Audio,
    format: Sample,
    /// Samples that do not fill a frame yet.
    pending: Vec<i16>,
    sent: i64,
}

impl SoundEncoder {
    pub fn open(codec: SoundCodec) -> Result<Self, ffmpeg::Error> {
        crate::ffmpeg::start();
        let (name, format, bits_per_second) = codec.encoder();
        let found = encoder::find_by_name(name).ok_or(ffmpeg::Error::EncoderNotFound)?;
        let mut context = codec::Context::new_with_codec(found);
        // Containers hold the decoder's configuration in their header.
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        let mut audio = context.encoder().audio()?;
        audio.set_rate(SAMPLE_RATE_HZ as i32);
        audio.set_format(format);
        audio.set_channel_layout(ChannelLayout::MONO);
        audio.set_channels(1);
        audio.set_bit_rate(bits_per_second);
        audio.set_time_base(TIME_BASE);
        let mut options = Dictionary::new();
        if codec == SoundCodec::Aac {
            // Half the time of the default, and no worse for a voice at this rate.
            options.set("aac_coder", "fast");
        }
        Ok(Self { encoder: audio.open_as_with(found, options)?, format, pending: vec![], sent: 0 })
    }

    pub fn context(&self) -> &codec::Context {
        &self.encoder
    }

    /// Returns the priming samples that a decoder emits before the first pushed sample.
    pub fn delay(&self) -> usize {
        // SAFETY: the encoder is open, and its context lives as long as it.
        unsafe { usize::try_from((*self.encoder.as_ptr()).initial_padding).unwrap_or(0) }
    }

    /// Encodes samples, and returns the packets that they complete.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<Packet>, ffmpeg::Error> {
        self.pending.extend_from_slice(samples);
        let length = self.encoder.frame_size() as usize;
        let mut packets = vec![];
        let mut consumed = 0;
        while self.pending.len() - consumed >= length {
            let frame = self.frame(consumed, length);
            consumed += length;
            self.encoder.send_frame(&frame)?;
            packets.extend(drain(|packet| self.encoder.receive_packet(packet))?);
        }
        self.pending.drain(..consumed);
        Ok(packets)
    }

    /// Returns the last packets. Nothing can be pushed afterwards.
    pub fn finish(&mut self) -> Result<Vec<Packet>, ffmpeg::Error> {
        if !self.pending.is_empty() {
            let frame = self.frame(0, self.pending.len());
            self.encoder.send_frame(&frame)?;
        }
        self.encoder.send_eof()?;
        drain(|packet| self.encoder.receive_packet(packet))
    }

    fn frame(&mut self, from: usize, length: usize) -> frame::Audio {
        let mut frame = frame::Audio::new(self.format, length, ChannelLayout::MONO);
        frame.set_rate(SAMPLE_RATE_HZ);
        frame.set_pts(Some(self.sent));
        self.sent += length as i64;
        let samples = &self.pending[from..from + length];
        // With one channel, packed and planar samples have the same layout.
        for (to, sample) in frame.plane_mut::<f32>(0).iter_mut().zip(samples) {
            *to = f32::from(*sample) / 32_768.0;
        }
        frame
    }
}

/// A scene's sound as AAC, shared by all of its clips.
pub struct SoundTrack {
    encoder: SoundEncoder,
    packets: Vec<Packet>,
}

// SAFETY: nothing changes once it is made. Its users read the encoder's parameters, and take references to its packets, which
// FFmpeg counts atomically.
unsafe impl Sync for SoundTrack {}

impl SoundTrack {
    pub fn encode(sound: &Pcm) -> Result<Self, ffmpeg::Error> {
        let mut encoder = SoundEncoder::open(SoundCodec::Aac)?;
        let mut packets = encoder.push(&sound.samples)?;
        packets.extend(encoder.finish()?);
        Ok(Self { encoder, packets })
    }

    pub fn context(&self) -> &codec::Context {
        self.encoder.context()
    }

    pub fn packets(&self) -> impl Iterator<Item = Packet> {
        self.packets.iter().cloned()
    }
}
