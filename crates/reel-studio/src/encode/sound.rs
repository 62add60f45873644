//! Encoding of 48 kHz mono samples: AAC-LC for MP4 and MOV, Opus for WebM, MP3 for AVI.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::{ChannelLayout, Dictionary, Packet, Rational, codec, encoder, frame};

use crate::ffmpeg::drain;
use crate::speak::narration::{Pcm, SAMPLE_RATE_HZ};

/// Samples of one AAC frame.
pub const AAC_FRAME_SAMPLES: u64 = 1024;

/// Timestamps of all packets count samples.
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

/// Encodes a stream that is pushed in pieces of any length.
pub struct SoundEncoder {
    encoder: encoder::Audio,
    format: Sample,
    /// Samples that do not fill a frame yet.
    waiting: Vec<i16>,
    sent: i64,
}

impl SoundEncoder {
    pub fn open(codec: SoundCodec) -> Result<Self, ffmpeg::Error> {
        crate::ffmpeg::start();
        let (name, format, bits_per_second) = codec.encoder();
        let found = encoder::find_by_name(name).ok_or(ffmpeg::Error::EncoderNotFound)?;
        let mut context = codec::Context::new_with_codec(found);
        // Containers keep the decoder's setup in their header, not in the stream.
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
        Ok(Self { encoder: audio.open_as_with(found, options)?, format, waiting: vec![], sent: 0 })
    }

    pub fn context(&self) -> &codec::Context {
        &self.encoder
    }

    /// Samples that a decoder gives before the first that was pushed.
    pub fn delay(&self) -> usize {
        // SAFETY: the encoder is open, and its context lives as long as it.
        unsafe { usize::try_from((*self.encoder.as_ptr()).initial_padding).unwrap_or(0) }
    }

    /// Packets that `samples` complete.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<Packet>, ffmpeg::Error> {
        self.waiting.extend_from_slice(samples);
        let length = self.encoder.frame_size() as usize;
        let mut packets = vec![];
        let mut taken = 0;
        while self.waiting.len() - taken >= length {
            let frame = self.frame(taken, length);
            taken += length;
            self.encoder.send_frame(&frame)?;
            packets.extend(drain(|packet| self.encoder.receive_packet(packet))?);
        }
        self.waiting.drain(..taken);
        Ok(packets)
    }

    /// The last packets; the encoder is done after it.
    pub fn finish(&mut self) -> Result<Vec<Packet>, ffmpeg::Error> {
        if !self.waiting.is_empty() {
            let frame = self.frame(0, self.waiting.len());
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
        let samples = &self.waiting[from..from + length];
        // One channel: packed and planar samples lie the same.
        for (to, sample) in frame.plane_mut::<f32>(0).iter_mut().zip(samples) {
            *to = f32::from(*sample) / 32_768.0;
        }
        frame
    }
}

/// A scene's sound as AAC, encoded once for all of its clips.
pub struct SoundTrack {
    encoder: SoundEncoder,
    packets: Vec<Packet>,
}

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
