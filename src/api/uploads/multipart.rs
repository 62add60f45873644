//! Reads `multipart/form-data` (RFC 7578, RFC 2046 section 5.1) as it arrives: never more than a piece of a part is in memory,
//! and everything beside the parts' contents is bounded.

use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use memchr::memmem::Finder;
use tokio::time::timeout;
use tokio_util::bytes::{Buf, Bytes, BytesMut};

/// Bytes that may stand before the first part, and in the headers of one.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// White space behind a boundary (RFC 2046, `transport-padding`).
const MAX_PADDING_BYTES: usize = 128;
/// The longest time in which a client may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the body is no valid multipart/form-data: {0}")]
    Malformed(&'static str),
    #[error("the body ended before its last boundary")]
    Incomplete,
    #[error("nothing of the body came for {} s", IDLE_TIMEOUT.as_secs())]
    Idle,
    #[error("the body cannot be read any further")]
    Broken(#[source] io::Error),
}

/// The headers of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// A part without one is no file.
    pub file_name: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Before the first boundary.
    Preamble,
    /// In the content of a part.
    Content,
    /// Behind a boundary.
    Boundary,
    End,
}

pub struct Multipart<S> {
    source: S,
    /// The line end before a boundary belongs to it.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    place: Place,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Multipart<S> {
    pub fn new(source: S, boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        // The first boundary has no line before it.
        let buffer = BytesMut::from("\r\n");
        let delimiter = Finder::new(delimiter.as_bytes()).into_owned();
        Self { source, delimiter, buffer, place: Place::Preamble }
    }

    /// The next part; what is left of the one before is passed over. `None` after the last.
    pub async fn next_part(&mut self) -> Result<Option<Part>, Error> {
        match self.place {
            Place::Preamble => self.skip_preamble().await?,
            Place::Content => while self.read().await?.is_some() {},
            Place::Boundary => {}
            Place::End => return Ok(None),
        }
        self.fill_to(2).await?;
        if self.buffer.starts_with(b"--") {
            self.place = Place::End;
            return Ok(None);
        }
        let padding = self.take_until(b"\r\n", MAX_PADDING_BYTES, "a boundary is followed by other text");
        if !padding.await?.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(Error::Malformed("a boundary is followed by other text"));
        }
        self.fill_to(2).await?;
        let headers = match self.buffer.starts_with(b"\r\n") {
            true => self.buffer.split_to(2).freeze(),
            false => {
                self.take_until(b"\r\n\r\n", MAX_HEADER_BYTES, "the headers of a part are too long").await?
            }
        };
        self.place = Place::Content;
        parse_headers(&headers).map(Some)
    }

    /// The next piece of the part's content; `None` at its end.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        if self.place != Place::Content {
            return Ok(None);
        }
        let length = self.delimiter.needle().len();
        loop {
            match self.delimiter.find(&self.buffer) {
                Some(0) => {
                    self.buffer.advance(length);
                    self.place = Place::Boundary;
                    return Ok(None);
                }
                Some(at) => return Ok(Some(self.buffer.split_to(at).freeze())),
                // The end of what is there may be the beginning of a boundary.
                None if self.buffer.len() >= length => {
                    let safe = self.buffer.len() - (length - 1);
                    return Ok(Some(self.buffer.split_to(safe).freeze()));
                }
                None => self.fill().await?,
            }
        }
    }

    /// Reads on and forgets, up to `max_bytes` or the end: a client that is still sending would not see an answer.
    pub async fn drain(&mut self, mut max_bytes: usize) {
        self.buffer.clear();
        while max_bytes > 0 && self.fill().await.is_ok() {
            max_bytes = max_bytes.saturating_sub(self.buffer.len());
            self.buffer.clear();
        }
    }

    async fn skip_preamble(&mut self) -> Result<(), Error> {
        let mut passed = 0;
        self.place = Place::Content;
        while let Some(piece) = self.read().await? {
            passed += piece.len();
            if passed > MAX_HEADER_BYTES {
                return Err(Error::Malformed(
                    "it does not begin with the boundary that its Content-Type names",
                ));
            }
        }
        Ok(())
    }

    /// Takes the bytes before `end`, and passes over `end`.
    async fn take_until(
        &mut self,
        end: &'static [u8],
        max_bytes: usize,
        too_long: &'static str,
    ) -> Result<Bytes, Error> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, end) {
                let found = self.buffer.split_to(at).freeze();
                self.buffer.advance(end.len());
                return if found.len() > max_bytes { Err(Error::Malformed(too_long)) } else { Ok(found) };
            }
            if self.buffer.len() > max_bytes {
                return Err(Error::Malformed(too_long));
            }
            self.fill().await?;
        }
    }

    async fn fill_to(&mut self, bytes: usize) -> Result<(), Error> {
        while self.buffer.len() < bytes {
            self.fill().await?;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), Error> {
        match timeout(IDLE_TIMEOUT, self.source.next()).await {
            Ok(Some(Ok(piece))) => {
                self.buffer.extend_from_slice(&piece);
                Ok(())
            }
            Ok(Some(Err(error))) => Err(Error::Broken(error)),
            Ok(None) => Err(Error::Incomplete),
            Err(_) => Err(Error::Idle),
        }
    }
}

/// The boundary that a `Content-Type` names; `None` when it is of another type.
pub fn boundary_of(content_type: &str) -> Option<Result<String, Error>> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters_of(parameters).into_iter().find(|(name, _)| name == "boundary");
    Some(match boundary.map(|(_, value)| value) {
        // RFC 2046, section 5.1.1.
        Some(boundary) if (1..=70).contains(&boundary.len()) && boundary.is_ascii() => Ok(boundary),
        _ => Err(Error::Malformed("its Content-Type must name a boundary of 1 to 70 ASCII characters")),
    })
}

fn parse_headers(headers: &[u8]) -> Result<Part, Error> {
    let headers = String::from_utf8_lossy(headers);
    let disposition = headers.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim().to_owned())
    });
    let disposition = disposition.ok_or(Error::Malformed("a part has no Content-Disposition"))?;
    let (kind, parameters) = disposition.split_once(';').unwrap_or((&disposition, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(Error::Malformed("the Content-Disposition of a part is not form-data"));
    }
    let mut part = Part { name: String::new(), file_name: None };
    for (name, value) in parameters_of(parameters) {
        match name.as_str() {
            "name" => part.name = value,
            "filename" if part.file_name.is_none() => part.file_name = Some(value),
            "filename*" => part.file_name = Some(extended(&value).unwrap_or(value)),
            _ => {}
        }
    }
    Ok(part)
}

/// `; name=value; name="quoted \"value\""`: names in lower case, values without quotes.
fn parameters_of(text: &str) -> Vec<(String, String)> {
    let (mut parameters, mut rest) = (vec![], text);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches(|c: char| c == ';' || c.is_whitespace()).trim().to_lowercase();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        parameters.push((name, value));
        rest = next;
    }
    parameters
}

/// The text up to the closing quote, and what is behind it. Browsers write a quote as `%22`, others as `\"`; any other
/// backslash stands for itself.
fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut characters) = (String::new(), text.char_indices().peekable());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' if characters.peek().is_some_and(|(_, next)| matches!(next, '"' | '\\')) => {
                value.extend(characters.next().map(|(_, escaped)| escaped));
            }
            c => value.push(c),
        }
    }
    (value, "")
}

/// `UTF-8''percent%20encoded` (RFC 8187).
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let (mut bytes, mut rest) = (vec![], encoded.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body that arrives in pieces of `size` bytes: each part's names and content.
    async fn read_in(body: &[u8], size: usize) -> Result<Vec<(String, Option<String>, Vec<u8>)>, Error> {
        let pieces: Vec<io::Result<Bytes>> =
            body.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut multipart = Multipart::new(futures_util::stream::iter(pieces), "XX");
        let mut parts = vec![];
        while let Some(part) = multipart.next_part().await? {
            let mut content = vec![];
            while let Some(piece) = multipart.read().await? {
                assert!(!piece.is_empty());
                content.extend_from_slice(&piece);
            }
            parts.push((part.name, part.file_name, content));
        }
        Ok(parts)
    }

    fn part(disposition: &str, content: &str) -> String {
        format!("--XX\r\nContent-Disposition: {disposition}\r\nContent-Type: a/b\r\n\r\n{content}\r\n")
    }

    #[tokio::test]
    async fn parts_are_read_whole_however_they_arrive() {
        let tricky = "\r\n--X\r\n--XY\r\n\r\n-";
        let body = part("form-data; name=\"files\"; filename=\"a.txt\"", tricky)
            + &part("form-data; name=note", "")
            + "--XX--\r\n";
        for size in [1, 2, 3, 7, 64, 4096] {
            let parts = read_in(body.as_bytes(), size).await.unwrap();
            let file = ("files".to_owned(), Some("a.txt".to_owned()), tricky.as_bytes().to_vec());
            assert_eq!(parts, [file, ("note".to_owned(), None, vec![])], "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn bodies_that_are_not_well_formed_say_why() {
        let file = part("form-data; name=f; filename=a", "x");
        let long = format!("--XX\r\nX: {}", "x".repeat(100_000));
        let preamble = "x".repeat(100_000);
        for (body, expected) in [
            ("", "ended before"),
            (&file, "ended before"),
            ("--XX\r\nContent-Disposition: form-data; name=f", "ended before"),
            ("--XXYY\r\n\r\n", "followed by other text"),
            ("--XX\r\nContent-Type: a/b\r\n\r\nx\r\n--XX--", "no Content-Disposition"),
            ("--XX\r\nContent-Disposition: attachment\r\n\r\nx\r\n--XX--", "not form-data"),
            (&long, "headers of a part are too long"),
            (&preamble, "does not begin with the boundary"),
        ] {
            for size in [1, 1000] {
                let error = read_in(body.as_bytes(), size).await.unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
            }
        }
        assert_eq!(read_in(b"--XX--", 1).await.unwrap(), [], "no part at all");
    }

    #[test]
    fn names_are_read_as_browsers_and_others_write_them() {
        let file_name = |parameters: &str| {
            let headers = format!("content-disposition: form-data; {parameters}");
            parse_headers(headers.as_bytes()).unwrap().file_name
        };
        for (parameters, expected) in [
            (r#"name="f"; filename="a;b=c.txt""#, "a;b=c.txt"),
            (r#"filename="say \"hi\".txt"; name=f"#, r#"say "hi".txt"#),
            (r#"filename="C:\docs\a.txt""#, r"C:\docs\a.txt"),
            ("filename=plain.txt; name=f", "plain.txt"),
            ("filename=\"x\"; filename*=UTF-8''na%C3%AFve%20%zz", "na\u{ef}ve %zz"),
            ("filename=\"unclosed", "unclosed"),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(expected));
        }
        assert_eq!(file_name("name=f"), None);
    }

    #[test]
    fn the_boundary_is_in_the_content_type() {
        let boundary = |text: &str| boundary_of(text).map(Result::ok);
        assert_eq!(boundary("multipart/form-data; boundary=XX"), Some(Some("XX".into())));
        assert_eq!(boundary("Multipart/Form-Data; charset=x; Boundary=\"a b\""), Some(Some("a b".into())));
        assert_eq!(boundary("multipart/form-data"), Some(None));
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), Some(None));
        assert_eq!(boundary("application/json"), None);
    }
}
