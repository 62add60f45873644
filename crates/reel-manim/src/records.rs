//! Reads the records that `scene_runner.py` writes.

use std::io::{self, Read};

use serde::Deserialize;

/// A record of the runner.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// A frame, which is in the buffer now, and stays for so many frames.
    Frame(u32),
    /// The last frame stays for so many further frames.
    Same(u32),
    Fault(Fault),
    Done(Done),
}

/// An error of the code.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// Python's name of the error.
    pub kind: String,
    pub message: String,
    /// The line of the code, from 1.
    pub line: Option<u32>,
    /// Calls within the code, the last one innermost.
    pub traceback: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Done {
    pub frames: u32,
    pub import_s: f64,
    pub scene_s: f64,
}

/// The most bytes of a record's JSON.
const MAX_JSON_BYTES: u32 = 64 * 1024;

/// Reads the next record. A frame goes to `frame`, which has its exact size.
pub fn read(input: &mut impl Read, frame: &mut [u8]) -> io::Result<Record> {
    let mut head = [0; 5];
    input.read_exact(&mut head)?;
    let [tag, number @ ..] = head;
    let number = u32::from_le_bytes(number);
    match tag {
        b'F' => input.read_exact(frame).map(|()| Record::Frame(number)),
        b'S' => Ok(Record::Same(number)),
        b'E' => json(input, number).map(Record::Fault),
        b'D' => json(input, number).map(Record::Done),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn json<T: for<'de> Deserialize<'de>>(input: &mut impl Read, bytes: u32) -> io::Result<T> {
    if bytes > MAX_JSON_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = vec![0; bytes as usize];
    input.read_exact(&mut content)?;
    Ok(serde_json::from_slice(&content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_anything_else_is_an_error() {
        let mut frame = [0; 4];
        let mut read = |bytes: &[u8]| read(&mut &*bytes, &mut frame).ok();
        assert_eq!(read(b"F\x02\0\0\0abcd"), Some(Record::Frame(2)));
        assert_eq!(read(b"S\x01\x01\0\0"), Some(Record::Same(257)));
        let done = br#"{"frames":3,"import_s":1.5,"scene_s":0.25}"#;
        let done = [b"D", &(done.len() as u32).to_le_bytes()[..], done].concat();
        assert_eq!(read(&done), Some(Record::Done(Done { frames: 3, import_s: 1.5, scene_s: 0.25 })));
        for broken in
            [&b""[..], b"F\x01\0\0\0abc", b"X\0\0\0\0", b"D\xff\xff\xff\xff{}", b"E\x02\0\0\0{}", b"E\x01"]
        {
            assert_eq!(read(broken), None, "{broken:?}");
        }
    }
}
