//! Writes H.264 pictures that repeat the previous one, without an encoder.
//!
//! A picture of skipped macroblocks only takes about twelve bytes. It is a P slice that refers to a second picture
//! parameter set (id 1) with CAVLC entropy coding, so that the whole picture is one `mb_skip_run`. Sections and tables are
//! those of ITU-T Rec. H.264.
//!
//! Picture order count type 2 forbids two consecutive non-reference pictures, so every repeat is a reference picture. The
//! encoder's own pictures after it must be renumbered: [`Sequence::set_frame_num`].

/// The start code before each NAL unit of a byte stream (annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];
const NAL_SLICE: u8 = 1;
const NAL_SPS: u8 = 7;
/// `nal_ref_idc` of a P picture, and of parameter sets.
const REFERENCE: u8 = 2 << 5;
const PARAMETERS: u8 = 3 << 5;
/// `log2_max_frame_num_minus4` is at most 12 (section 7.4.2.1.1).
const MAX_FRAME_NUM_BITS: u32 = 16;
/// Largest picture of the highest level, 6.2 (table A-1).
const MAX_MACROBLOCKS: u32 = 139_264;
/// Id of the parameter set that repeats refer to; x264's own has id 0.
const REPEAT_PPS: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the stream has no sequence parameter set")]
    NoParameterSet,
    #[error("the stream's parameters end early")]
    Truncated,
    #[error("the stream has {0}, which repeats cannot follow")]
    Unsupported(&'static str),
}

/// The fields of a sequence parameter set that repeats need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Length of `frame_num`.
    frame_num_bits: u32,
    macroblocks: u32,
}

impl Sequence {
    /// Parses an encoder's headers, a byte stream (section 7.3.2.1.1).
    pub fn parse(headers: &[u8]) -> Result<Self, Error> {
        let nal = nal_units(headers).find(|nal| nal.first().is_some_and(|byte| byte & 31 == NAL_SPS));
        let payload = unescape(nal.ok_or(Error::NoParameterSet)?.get(1..).unwrap_or_default());
        let mut bits = BitReader::new(&payload);
        let profile = bits.read(8)?;
        bits.read(16)?;
        bits.unsigned()?;
        if matches!(profile, 100 | 110 | 122 | 244) {
            if bits.unsigned()? == 3 {
                bits.read(1)?;
            }
            bits.unsigned()?;
            bits.unsigned()?;
            bits.read(1)?;
            if bits.read(1)? == 1 {
                return Err(Error::Unsupported("scaling matrices"));
            }
        }
        let frame_num_bits = bits.unsigned()?.saturating_add(4);
        if frame_num_bits > MAX_FRAME_NUM_BITS {
            return Err(Error::Unsupported("picture numbers of more than 16 bits"));
        }
        if bits.unsigned()? != 2 {
            return Err(Error::Unsupported("pictures out of order"));
        }
        bits.unsigned()?;
        bits.read(1)?;
        let (columns, rows) = (bits.unsigned()?.saturating_add(1), bits.unsigned()?.saturating_add(1));
        if bits.read(1)? == 0 {
            return Err(Error::Unsupported("interlaced pictures"));
        }
        let macroblocks = columns.saturating_mul(rows);
        if macroblocks > MAX_MACROBLOCKS {
            return Err(Error::Unsupported("pictures larger than any level allows"));
        }
        Ok(Self { frame_num_bits, macroblocks })
    }

    /// Returns the picture parameter set of repeats, which stands beside the encoder's own (section 7.3.2.2).
    pub fn parameter_set(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.unsigned(REPEAT_PPS);
        bits.unsigned(0); // seq_parameter_set_id
        bits.write(0, 1); // entropy_coding_mode_flag: CAVLC
        bits.write(0, 1); // bottom_field_pic_order_in_frame_present_flag
        bits.unsigned(0); // num_slice_groups_minus1
        bits.unsigned(0); // num_ref_idx_l0_default_active_minus1
        bits.unsigned(0); // num_ref_idx_l1_default_active_minus1
        bits.write(0, 1); // weighted_pred_flag
        bits.write(0, 2); // weighted_bipred_idc
        bits.unsigned(0); // pic_init_qp_minus26, signed
        bits.unsigned(0); // pic_init_qs_minus26, signed
        bits.unsigned(0); // chroma_qp_index_offset, signed
        bits.write(1, 1); // deblocking_filter_control_present_flag
        bits.write(0, 1); // constrained_intra_pred_flag
        bits.write(0, 1); // redundant_pic_cnt_present_flag
        nal_unit(PARAMETERS | 8, &bits.finish())
    }

    /// Returns a picture that repeats the previous one (sections 7.3.3 and 7.3.4).
    pub fn repeat(&self, frame_num: u32) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.unsigned(0); // first_mb_in_slice
        bits.unsigned(5); // slice_type: P, and all slices of the picture are
        bits.unsigned(REPEAT_PPS);
        bits.write(frame_num, self.frame_num_bits);
        bits.write(0, 1); // num_ref_idx_active_override_flag
        bits.write(0, 1); // ref_pic_list_modification_flag_l0
        bits.write(0, 1); // adaptive_ref_pic_marking_mode_flag
        bits.unsigned(0); // slice_qp_delta, signed
        bits.unsigned(1); // disable_deblocking_filter_idc: off
        bits.unsigned(self.macroblocks); // mb_skip_run
        nal_unit(REFERENCE | NAL_SLICE, &bits.finish())
    }

    /// Returns the number after `frame_num`.
    pub fn next(&self, frame_num: u32) -> u32 {
        (frame_num + 1) & ((1 << self.frame_num_bits) - 1)
    }

    /// Returns the access unit with its pictures renumbered. The field has a fixed length, so nothing else changes. An IDR
    /// picture has number 0 and stays as it is.
    pub fn set_frame_num(&self, access_unit: &[u8], frame_num: u32) -> Result<Vec<u8>, Error> {
        let mut renumbered = Vec::with_capacity(access_unit.len() + 16);
        for nal in nal_units(access_unit) {
            let Some((&header, escaped)) = nal.split_first() else { continue };
            if header & 31 != NAL_SLICE {
                renumbered.extend_from_slice(&START_CODE);
                renumbered.extend_from_slice(nal);
                continue;
            }
            let mut payload = unescape(escaped);
            let mut bits = BitReader::new(&payload);
            bits.unsigned()?;
            bits.unsigned()?;
            bits.unsigned()?;
            let at = bits.at;
            overwrite_bits(&mut payload, at, frame_num, self.frame_num_bits)?;
            renumbered.extend_from_slice(&nal_unit(header, &payload));
        }
        Ok(renumbered)
    }
}

/// Converts an access unit of an MP4 file to a byte stream, after the parameter sets of `header` if there is one
/// (ISO/IEC 14496-15, sections 5.3.3.1 and 5.3.4.2). Lengths must have four bytes, as all known writers use.
pub fn byte_stream(access_unit: &[u8], header: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let mut stream = Vec::with_capacity(access_unit.len() + 64);
    if let Some(header) = header {
        // Version, profile, compatibility, level and the size of a length take the first five bytes.
        let mut rest = header.get(5..).ok_or(Error::Truncated)?;
        for mask in [31, 255] {
            let (count, mut sets) = rest.split_first().ok_or(Error::Truncated)?;
            for _ in 0..count & mask {
                sets = append_nal_unit::<2>(&mut stream, sets)?;
            }
            rest = sets;
        }
    }
    let mut rest = access_unit;
    while !rest.is_empty() {
        rest = append_nal_unit::<4>(&mut stream, rest)?;
    }
    Ok(stream)
}

/// Appends the length-prefixed unit at the beginning of `from`, and returns the rest.
fn append_nal_unit<'a, const LENGTH: usize>(stream: &mut Vec<u8>, from: &'a [u8]) -> Result<&'a [u8], Error> {
    let (length, rest) = from.split_first_chunk::<LENGTH>().ok_or(Error::Truncated)?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (unit, rest) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    stream.extend_from_slice(&START_CODE);
    stream.extend_from_slice(unit);
    Ok(rest)
}

/// Iterates over the NAL units of a byte stream, without their start codes.
fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let (start, length) = start_code(rest)?;
        let unit = &rest[start + length..];
        let end = start_code(unit).map_or(unit.len(), |(at, _)| at);
        rest = &unit[end..];
        Some(&unit[..end])
    })
}

/// Finds the next start code, and returns its offset and length.
fn start_code(stream: &[u8]) -> Option<(usize, usize)> {
    let at = stream.windows(3).position(|window| window == [0, 0, 1])?;
    if at > 0 && stream[at - 1] == 0 { Some((at - 1, 4)) } else { Some((at, 3)) }
}

/// Wraps a payload in a NAL unit, with emulation prevention bytes (section 7.4.1).
fn nal_unit(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(payload.len() + 16);
    nal.extend_from_slice(&START_CODE);
    nal.push(header);
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        nal.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    nal
}

/// Removes emulation prevention bytes.
fn unescape(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        bytes.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    bytes
}

fn overwrite_bits(bytes: &mut [u8], at: usize, value: u32, length: u32) -> Result<(), Error> {
    for bit in 0..length as usize {
        let place = at + bit;
        let byte = bytes.get_mut(place / 8).ok_or(Error::Truncated)?;
        let mask = 128 >> (place % 8);
        if value >> (length as usize - 1 - bit) & 1 == 1 {
            *byte |= mask;
        } else {
            *byte &= !mask;
        }
    }
    Ok(())
}

/// Reads bits, most significant first.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn read(&mut self, length: usize) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..length {
            let byte = self.bytes.get(self.at / 8).ok_or(Error::Truncated)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    /// Reads an Exp-Golomb code, ue(v) (section 9.1).
    fn unsigned(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Truncated);
            }
        }
        Ok((1 << zeros) - 1 + self.read(zeros)?)
    }
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    length: usize,
}

impl BitWriter {
    fn write(&mut self, value: u32, length: u32) {
        for bit in (0..length).rev() {
            if self.length.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.length % 8);
            }
            self.length += 1;
        }
    }

    fn unsigned(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros();
        self.write(0, length - 1);
        self.write(value + 1, length);
    }

    /// Ends the payload with a stop bit.
    fn finish(mut self) -> Vec<u8> {
        self.write(1, 1);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: Sequence = Sequence { frame_num_bits: 4, macroblocks: 8160 };

    #[test]
    fn codes_read_back_as_written() {
        let values = [0, 1, 2, 3, 7, 8, 254, 255, 8159, 8160, 65_535];
        let mut bits = BitWriter::default();
        values.iter().for_each(|value| bits.unsigned(*value));
        let bytes = bits.finish();
        let mut reader = BitReader::new(&bytes);
        for value in values {
            assert_eq!(reader.unsigned(), Ok(value));
        }
        assert_eq!(BitReader::new(&[0; 3]).unsigned(), Err(Error::Truncated));
    }

    #[test]
    fn a_repeat_is_a_dozen_bytes_and_has_its_number() {
        let repeat = SEQUENCE.repeat(9);
        assert!(repeat.len() <= 14, "{repeat:?}");
        let payload = unescape(&repeat[5..]);
        let mut bits = BitReader::new(&payload);
        let header = [bits.unsigned(), bits.unsigned(), bits.unsigned(), bits.read(4)];
        assert_eq!(header, [Ok(0), Ok(5), Ok(1), Ok(9)]);
    }

    #[test]
    fn a_picture_keeps_all_but_its_number() {
        let (one, two) = (SEQUENCE.repeat(1), SEQUENCE.repeat(2));
        assert_ne!(one, two);
        assert_eq!(SEQUENCE.set_frame_num(&one, 2).unwrap(), two);
        let idr = nal_unit(PARAMETERS | 5, &[1, 2, 3]);
        assert_eq!(SEQUENCE.set_frame_num(&idr, 5).unwrap(), idr, "an IDR picture is number 0");
        assert_eq!((SEQUENCE.next(14), SEQUENCE.next(15)), (15, 0));
    }

    #[test]
    fn units_with_lengths_become_a_byte_stream() {
        let header = [1, 100, 0, 40, 255, 0xe1, 0, 2, 0x67, 9, 1, 0, 1, 0x68];
        let unit = [0, 0, 0, 3, 0x65, 7, 8];
        let picture = [0, 0, 0, 1, 0x65, 7, 8];
        assert_eq!(byte_stream(&unit, None).unwrap(), picture);
        let parameters = [0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68];
        assert_eq!(byte_stream(&unit, Some(&header)).unwrap(), [parameters.as_slice(), &picture].concat());
        assert_eq!(byte_stream(&unit[..5], None), Err(Error::Truncated));
        assert_eq!(byte_stream(&unit, Some(&header[..12])), Err(Error::Truncated));
    }

    #[test]
    fn no_start_code_stands_inside_a_unit() {
        let payload = [0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 9];
        let nal = nal_unit(1, &payload);
        assert_eq!(nal_units(&nal).count(), 1);
        assert_eq!(unescape(&nal[5..]), payload);
    }

    #[test]
    fn headers_that_do_not_suit_are_refused() {
        assert_eq!(Sequence::parse(&[]), Err(Error::NoParameterSet));
        assert_eq!(Sequence::parse(&nal_unit(7, &[100, 0, 40])), Err(Error::Truncated));
    }
}
