//! The boxes that an MP4 is made of (ISO/IEC 14496-12, section 4.2).

use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of a box's size and name.
pub const HEADER_BYTES: u64 = 8;
/// The same, with a size of 64 bits.
pub const LARGE_HEADER_BYTES: u64 = 16;

/// A box of a file, by its places in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp4Box {
    pub name: [u8; 4],
    /// Where its header begins.
    pub at: u64,
    pub body_at: u64,
    pub end: u64,
}

impl Mp4Box {
    /// Bytes of the box, its header included.
    pub fn bytes(&self) -> u64 {
        self.end - self.at
    }

    /// Reads what is in the box. A box is whole in memory then.
    pub fn read_body(&self, file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(self.body_at))?;
        let mut body = vec![];
        file.take(self.end - self.body_at).read_to_end(&mut body)?;
        Ok(body)
    }
}

/// Most boxes of a file. A video has three, and a part of a stream two for each fragment of some seconds.
const MAX_BOXES: usize = 100_000;

/// Goes through the boxes of a file of `length` bytes. Bytes that are no box, and too many boxes, are an error of the kind
/// `InvalidData`, which is the last item.
pub fn boxes_of(file: &mut (impl Read + Seek), length: u64) -> impl Iterator<Item = io::Result<Mp4Box>> {
    let (mut next, mut found) = (0, 0);
    std::iter::from_fn(move || {
        if next >= length {
            return None;
        }
        found += 1;
        let read = match found <= MAX_BOXES {
            true => read_header(file, next, length),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "a file of too many boxes")),
        };
        next = read.as_ref().map_or(length, |found| found.end);
        Some(read)
    })
}

fn read_header(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Mp4Box> {
    let no_box = |bytes| {
        let message = format!("the box at byte {at} has {bytes} bytes, and the file {length}");
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    if length - at < HEADER_BYTES {
        return Err(no_box(length - at));
    }
    file.seek(SeekFrom::Start(at))?;
    let [mut size, mut name, mut large] = [[0; 4], [0; 4], [0; 4]];
    file.read_exact(&mut size)?;
    file.read_exact(&mut name)?;
    let (bytes, header_bytes) = match u32::from_be_bytes(size) {
        // Its size goes on behind its name.
        1 if length - at >= LARGE_HEADER_BYTES => {
            file.read_exact(&mut size)?;
            file.read_exact(&mut large)?;
            let high = u64::from(u32::from_be_bytes(size));
            (high << 32 | u64::from(u32::from_be_bytes(large)), LARGE_HEADER_BYTES)
        }
        // It goes on to the end.
        0 => (length - at, HEADER_BYTES),
        bytes => (u64::from(bytes), HEADER_BYTES),
    };
    if bytes < header_bytes || bytes > length - at {
        return Err(no_box(bytes));
    }
    Ok(Mp4Box { name, at, body_at: at + header_bytes, end: at + bytes })
}

/// More than the index of a video of a day needs.
const MAX_READS: u64 = 20_000_000;
/// Of no bytes at all.
const FEW_READS: u64 = 1000;

/// Parses `bytes` of a reader with the `mp4` crate. It panics on some damaged boxes, and goes round in circles on others: both are
/// errors here.
pub fn parse<R: Read + Seek, T>(
    reader: R,
    bytes: u64,
    parse: impl FnOnce(&mut Limited<R>) -> Result<T, mp4::Error>,
) -> Result<T, mp4::Error> {
    let mut reader = Limited { reader, reads_left: bytes.saturating_add(FEW_READS).min(MAX_READS) };
    // The reader is dropped after a panic, so its state does not matter.
    let parsed = catch_unwind(AssertUnwindSafe(|| parse(&mut reader)));
    parsed.unwrap_or(Err(mp4::Error::InvalidData("a damaged box")))
}

/// A reader that fails after so many reads.
pub struct Limited<R> {
    reader: R,
    reads_left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.reads_left.checked_sub(1);
        self.reads_left = left.ok_or_else(|| io::Error::other("a damaged box: its reading does not end"))?;
        self.reader.read(buffer)
    }
}

impl<R: Seek> Seek for Limited<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> Result<Vec<Mp4Box>, String> {
        let (mut reader, length) = (io::Cursor::new(file), file.len() as u64);
        boxes_of(&mut reader, length).collect::<io::Result<_>>().map_err(|error| error.to_string())
    }

    #[test]
    fn boxes_follow_each_other_to_the_end_of_the_file() {
        let file = b"\0\0\0\x0aftypis\0\0\0\x01moov\0\0\0\0\0\0\0\x11.\0\0\0\0mdatrest";
        let expected = [(*b"ftyp", 0, 8, 10), (*b"moov", 10, 26, 27), (*b"mdat", 27, 35, 39)];
        let expected = expected.map(|(name, at, body_at, end)| Mp4Box { name, at, body_at, end });
        assert_eq!(read(file).unwrap(), expected);
        assert_eq!(expected[2].read_body(&mut io::Cursor::new(file)).unwrap(), b"rest");
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn a_file_of_nothing_but_headers_is_given_up() {
        let boxes = |count| read(&b"\0\0\0\x08free".repeat(count));
        assert_eq!(boxes(MAX_BOXES).unwrap().len(), MAX_BOXES);
        assert_eq!(boxes(MAX_BOXES + 1).unwrap_err(), "a file of too many boxes");
    }

    #[test]
    fn a_box_that_the_crate_reads_for_ever_or_panics_at_is_an_error() {
        // An unknown box without a size, at which the crate stays.
        let endless = b"\0\0\0\x18moov\0\0\0\0none\0\0\0\x08free";
        let read = |file: &[u8]| {
            parse(io::Cursor::new(file.to_owned()), file.len() as u64, |reader| {
                mp4::Mp4Reader::read_header(reader, file.len() as u64).map(|_| ())
            })
        };
        assert!(read(endless).unwrap_err().to_string().contains("does not end"));
        assert!(
            parse(io::Cursor::new([0]), 1, |_| -> Result<(), _> { panic!("as the crate does") }).is_err()
        );
        assert!(parse(io::Cursor::new([0]), 1, |_| Ok(())).is_ok());
    }

    #[test]
    fn what_is_no_box_is_an_error_and_the_last() {
        for file in [
            &b"none"[..],
            b"\0\0\0\x07ftyp",
            b"\xff\xff\xff\xffftyp",
            b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x0f",
            b"\0\0\0\x01mdat",
            b"\0\0\0\x08free\0\0\0\x09mdat",
        ] {
            assert!(read(file).unwrap_err().starts_with("the box at byte "), "{file:?}");
            let boxes = boxes_of(&mut io::Cursor::new(file), file.len() as u64).count();
            assert!(boxes <= 2, "{file:?}");
        }
    }
}
