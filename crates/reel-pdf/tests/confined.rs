//! The helper as a process: what it reads, what it refuses, and what it cannot do.

// Tests state what must hold; an unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reel_pdf::{Error, Pdf, Text, read_text, set_program};

fn program() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_reel-pdf-helper"));
    set_program(program.clone());
    program
}

/// A PDF of these objects, numbered from 1; the first is the catalog.
fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let (mut pdf, mut places) = (b"%PDF-1.7\n".to_vec(), vec![]);
    for (index, object) in objects.iter().enumerate() {
        places.push(pdf.len());
        pdf.extend(format!("{} 0 obj\n", index + 1).bytes());
        pdf.extend(object);
        pdf.extend(b"\nendobj\n");
    }
    let table = pdf.len();
    pdf.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for place in places {
        pdf.extend(format!("{place:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    pdf.extend(format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n").bytes());
    pdf
}

fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("<< {dictionary} /Length {} >>\nstream\n", content.len());
    [head.as_bytes(), content, b"\nendstream"].concat()
}

/// A PDF with one page for each content stream.
fn pages(contents: Vec<Vec<u8>>) -> Vec<u8> {
    let kids: Vec<String> = (0..contents.len()).map(|index| format!("{} 0 R", 4 + 2 * index)).collect();
    let mut objects: Vec<Vec<u8>> = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".into(),
        format!("<< /Type /Pages /Count {} /Kids [{}] >>", kids.len(), kids.join(" ")).into(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".into(),
    ];
    for (index, content) in contents.into_iter().enumerate() {
        objects.push(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R \
                 /Resources << /Font << /F1 3 0 R >> >> >>",
                5 + 2 * index
            )
            .into(),
        );
        objects.push(content);
    }
    pdf(&objects)
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Reads, and checks that it does not take long.
async fn read_soon(pdf: &[u8], max_bytes: usize) -> Result<Text, Error> {
    program();
    let begun = Instant::now();
    let read = read_text(Pdf::Bytes(pdf), max_bytes).await;
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    read
}

const LETTER: &[u8] = b"BT /F1 12 Tf 72 720 Td (Ions move through the sep-) Tj 0 -14 Td (arator.) Tj \
    0 -40 Td [(W) 80 (ater) -400 (stays.)] TJ ET";

#[tokio::test]
async fn the_text_of_a_pdf_comes_back_in_lines_and_paragraphs() {
    let second = stream("/Filter /FlateDecode", &deflate(b"BT /F1 9 Tf 72 720 Td (Caf\xe9 2.) Tj ET"));
    let read = read_soon(&pages(vec![stream("", LETTER), second]), 1000).await.unwrap();
    let expected = "Ions move through the separator.\n\nWater stays.\n\nCafé 2.";
    assert_eq!(read, Text { text: expected.into(), is_cut: false });
}

#[tokio::test]
async fn a_file_is_read_from_the_disk() {
    program();
    let path = std::env::temp_dir().join(format!("reel-pdf-{}.pdf", std::process::id()));
    std::fs::write(&path, pages(vec![stream("", LETTER)])).unwrap();
    let read = read_text(Pdf::File(std::fs::File::open(&path).unwrap()), 1000).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(read.text.ends_with("Water stays."), "{read:?}");
}

#[tokio::test]
async fn long_text_is_cut_between_characters() {
    let content = stream("", b"BT /F1 12 Tf 72 720 Td (\xe9\xe9\xe9\xe9) Tj ET");
    let read = read_soon(&pages(vec![content]), 5).await.unwrap();
    assert_eq!(read, Text { text: "éé".into(), is_cut: true });
}

#[tokio::test]
async fn a_page_without_text_is_empty() {
    let read = read_soon(&pages(vec![stream("", b"0 0 100 100 re f")]), 1000).await.unwrap();
    assert_eq!(read, Text { text: String::new(), is_cut: false });
}

#[tokio::test]
async fn what_is_no_pdf_has_no_pages() {
    for file in [&b""[..], b"%PDF-1.7\n", b"hello", &[0xff; 5000], b"%PDF-1.7\n%%EOF\nstartxref\n9\n%%EOF"] {
        assert!(matches!(read_soon(file, 1000).await, Err(Error::NoPages)), "{file:?}");
    }
    let too_large = vec![b' '; reel_pdf::MAX_PDF_BYTES as usize + 1];
    assert!(matches!(read_soon(&too_large, 1000).await, Err(Error::TooLarge)));
}

/// A stream of 4 GiB of blanks in a few kilobytes, compressed twice. A part of it is repeated as it is: compressing all of it
/// would take minutes.
fn bomb() -> Vec<u8> {
    const PART_BYTES: usize = 1 << 20;
    const PARTS: usize = 4096;
    let mut encoder = flate2::Compress::new(flate2::Compression::best(), false);
    let mut part = Vec::with_capacity(PART_BYTES);
    encoder.compress_vec(&vec![b' '; PART_BYTES], &mut part, flate2::FlushCompress::Full).unwrap();
    // A zlib stream (RFC 1950): its header, blocks, an empty last block, and a checksum.
    let bytes = (PARTS * PART_BYTES) as u128;
    let (low, high) = (1 + 32 * bytes, bytes + 32 * bytes * (bytes + 1) / 2);
    let checksum = (((high % 65521) << 16) | (low % 65521)) as u32;
    let once = [b"\x78\xda", &*part.repeat(PARTS), b"\x03\x00", &checksum.to_be_bytes()].concat();
    deflate(&once)
}

#[tokio::test]
async fn a_stream_that_swells_is_refused() {
    let content = bomb();
    assert!(content.len() < 100_000, "{}", content.len());
    let file = pages(vec![stream("/Filter [/FlateDecode /FlateDecode]", &content)]);
    assert!(matches!(read_soon(&file, 1000).await, Err(Error::Killed)));
}

#[tokio::test]
async fn a_page_that_is_drawn_for_ever_is_refused() {
    // Each form draws the next one ten times.
    let mut objects: Vec<Vec<u8>> = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".into(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".into(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R \
          /Resources << /XObject << /X 5 0 R >> >> >>"
            .into(),
        stream("", b"/X Do"),
    ];
    for next in 6..40 {
        let form = format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X {next} 0 R >> >>"
        );
        objects.push(stream(&form, &b"/X Do ".repeat(10)));
    }
    assert!(matches!(read_soon(&pdf(&objects), 1000).await, Err(Error::Killed)));
}

#[tokio::test]
async fn loops_and_depths_end() {
    let depth = 1_000_000;
    let nested = [b"[".repeat(depth), b"]".repeat(depth)].concat();
    let dictionaries = [b"<< /A ".repeat(depth), b" >>".repeat(depth)].concat();
    let in_content = stream("", &nested);
    let catalog = b"<< /Type /Catalog /Pages 2 0 R >>".to_vec();
    let kids = |kids: &[u8]| [b"<< /Type /Pages /Count 1 /Kids ", kids, b" >>"].concat();
    for (name, file) in [
        ("a tree of pages that is its own child", pdf(&[catalog.clone(), kids(b"[2 0 R]")])),
        ("two that are each other's", pdf(&[catalog.clone(), kids(b"[3 0 R]"), kids(b"[2 0 R 2 0 R]")])),
        ("an object that is itself", pdf(&[catalog.clone(), b"2 0 R".to_vec()])),
        ("arrays in arrays", pdf(&[catalog.clone(), kids(&nested)])),
        ("dictionaries in dictionaries", pdf(&[catalog, dictionaries])),
        ("arrays in a page", pages(vec![in_content])),
    ] {
        match read_soon(&file, 1000).await {
            Err(error) => assert!(error.is_fault_of_file(), "{name}: {error}"),
            Ok(read) => assert_eq!(read.text, "", "{name}"),
        }
    }
}

/// Returns the signal that ended a helper which was told to do something else, and what it said.
fn try_to_escape(attempt: &str) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    let output = command.args(["read-pdf", "1000", attempt]).stdin(Stdio::null()).output().unwrap();
    (output.status.signal(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_process_can_do_nothing_else() {
    for attempt in ["open", "create", "connect", "start", "thread"] {
        assert_eq!(try_to_escape(attempt), (None, format!("{attempt}: refused\n")));
    }
    // It is killed, or ends itself, before it can say that it succeeded.
    for attempt in ["memory", "time"] {
        let (signal, answer) = try_to_escape(attempt);
        assert!(signal.is_some() && answer.is_empty(), "{attempt}: {signal:?}, {answer}");
    }
}
