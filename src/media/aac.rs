//! AAC-LC from 48 kHz mono samples.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::sample::{Sample, Type};
use ffmpeg_next::{ChannelLayout, Dictionary, Packet, Rational, codec, encoder, frame};

use super::ffmpeg::drain;
use super::narration::SAMPLE_RATE_HZ;

const BITS_PER_SECOND: usize = 128_000;

/// Samples of one frame.
pub const FRAME_SAMPLES: u64 = 1024;

/// Timestamps of its packets count samples.
pub const TIME_BASE: Rational = Rational(1, SAMPLE_RATE_HZ as i32);

/// Encodes a stream that is pushed in pieces of any length.
pub struct AacEncoder {
    encoder: encoder::Audio,
    /// Samples that do not fill a frame yet.
    waiting: Vec<i16>,
    sent: i64,
}

impl AacEncoder {
    pub fn open() -> Result<Self, ffmpeg::Error> {
        let codec = encoder::find(codec::Id::AAC).ok_or(ffmpeg::Error::EncoderNotFound)?;
        let mut context = codec::Context::new_with_codec(codec);
        // MP4 keeps the decoder's setup in its header, not in the stream.
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        let mut audio = context.encoder().audio()?;
        audio.set_rate(SAMPLE_RATE_HZ as i32);
        audio.set_format(Sample::F32(Type::Planar));
        audio.set_channel_layout(ChannelLayout::MONO);
        audio.set_channels(1);
        audio.set_bit_rate(BITS_PER_SECOND);
        audio.set_time_base(TIME_BASE);
        let mut options = Dictionary::new();
        // Half the time of the default, and no worse for a voice at this rate.
        options.set("aac_coder", "fast");
        Ok(Self { encoder: audio.open_as_with(codec, options)?, waiting: vec![], sent: 0 })
    }

    pub fn context(&self) -> &codec::Context {
        &self.encoder
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
        let mut frame = frame::Audio::new(Sample::F32(Type::Planar), length, ChannelLayout::MONO);
        frame.set_rate(SAMPLE_RATE_HZ);
        frame.set_pts(Some(self.sent));
        self.sent += length as i64;
        let samples = &self.waiting[from..from + length];
        for (to, sample) in frame.plane_mut::<f32>(0).iter_mut().zip(samples) {
            *to = f32::from(*sample) / 32_768.0;
        }
        frame
    }
}
