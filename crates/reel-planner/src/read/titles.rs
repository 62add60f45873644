//! The title that a script gives itself, other than by a heading: front matter, a "Title:" line, or a first line that stands alone.

/// Lines of front matter at most.
const MAX_FRONT_LINES: usize = 60;
/// Words of a first line that is a title.
const MAX_WORDS: usize = 14;
/// Characters of it, for scripts without spaces.
const MAX_CHARS: usize = 80;

/// Takes YAML front matter off a script, and returns its title. Text between two lines of dashes is front matter only if each of its
/// lines is a key with a value, a list item, or indented.
pub(crate) fn take_front_matter(source: &str) -> (Option<String>, &str) {
    let text = source.trim_start_matches('\u{feff}');
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else { return (None, source) };
    let (mut at, mut title, mut keys) = (first.len(), None, 0);
    for line in lines.take(MAX_FRONT_LINES) {
        at += line.len();
        let bare = line.trim_end();
        if bare == "---" || bare == "..." {
            return if keys > 0 { (title, &text[at..]) } else { (None, source) };
        }
        if bare.is_empty() || bare.starts_with([' ', '\t', '#', '-']) {
            continue;
        }
        let Some((key, value)) = bare.split_once(':') else { break };
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_ ".contains(c));
        if !is_key || !value.is_empty() && !value.starts_with(' ') {
            break;
        }
        keys += 1;
        if key.trim().eq_ignore_ascii_case("title") {
            title = Some(unquote(value.trim()).to_owned()).filter(|title| !title.is_empty());
        }
    }
    (None, source)
}

fn unquote(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

/// Words that begin the salutation of a message, in lower case.
const SALUTATIONS: [&str; 12] = [
    "hi",
    "hello",
    "hey",
    "dear",
    "greetings",
    "good",
    "hallo",
    "liebe",
    "lieber",
    "sehr",
    "bonjour",
    "hola",
];

/// Takes the header of a message off a script, "To: … From: … Subject: …", and returns its subject. A subject alone needs a salutation
/// behind it.
pub(crate) fn take_message_header(source: &str) -> Option<(&str, &str)> {
    const NAMES: [&str; 12] =
        ["to", "from", "cc", "bcc", "date", "subject", "re", "sent", "an", "von", "datum", "betreff"];
    const MAX_LINES: usize = 10;
    let text = source.trim_start_matches(['\u{feff}', '\n', '\r']);
    let (mut at, mut subject, mut fields) = (0, None, 0);
    for line in text.split_inclusive('\n').take(MAX_LINES) {
        let bare = line.trim();
        if bare.is_empty() {
            break;
        }
        let (name, value) = bare.split_once(':')?;
        let name = name.trim_matches('*').to_lowercase();
        if !NAMES.contains(&name.as_str()) {
            return None;
        }
        let value = value.trim().trim_start_matches('*').trim();
        if matches!(name.as_str(), "subject" | "re" | "betreff") && !value.is_empty() {
            subject = Some(value);
        }
        (at, fields) = (at + line.len(), fields + 1);
    }
    let rest = &text[at..];
    let has_salutation = || {
        let line = rest.trim_start().lines().next().unwrap_or_default().trim_end();
        let first = line.split([' ', ',']).next().unwrap_or_default().to_lowercase();
        SALUTATIONS.contains(&first.as_str()) && line.ends_with([',', '!', ':'])
    };
    Some((subject?, rest)).filter(|_| !rest.trim().is_empty() && (fields > 1 || has_salutation()))
}

/// Takes the first line off a script if it says "Title: …", or if it stands alone before a blank line and more text, is short, and has
/// no stop at its end. What it says may have Markdown in it.
pub(crate) fn take_title_line(source: &str) -> Option<(&str, &str)> {
    let body = source.trim_start_matches('\u{feff}').trim_start_matches(['\n', '\r']);
    let mut lines = body.split_inclusive('\n');
    let line = lines.next()?;
    let rest = &body[line.len()..];
    if rest.trim().is_empty() {
        return None;
    }
    let text = line.trim_end();
    if let Some(label) = text.get(..6).filter(|label| label.eq_ignore_ascii_case("title:")) {
        let title = text[label.len()..].trim();
        return (!title.is_empty()).then_some((unquote(title), rest));
    }
    let stands_alone = lines.next().is_some_and(|next| next.trim().is_empty());
    (stands_alone && is_title(text)).then_some((text, rest))
}

fn is_title(line: &str) -> bool {
    let words = line.split_whitespace().count();
    let begins_well = line.starts_with(|c: char| {
        c.is_alphabetic() && !c.is_lowercase()
            || c.is_ascii_digit()
            || matches!(c, '"' | '“' | '¿' | '„' | '«')
    });
    // "1. Item", "10) Item"
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let is_item = digits > 0 && line[digits..].starts_with(['.', ')']);
    let is_table = line.contains('|');
    let ends_open = line.ends_with([
        '.', ',', ';', ':', '!', '。', '，', '；', '：', '！', '、', '…', '-', '=', '"', '”', '»', '“',
    ]) || line.ends_with(')') && line.contains("](");
    let divided = [". ", "! ", "? ", "; "].iter().any(|mark| line.contains(mark));
    (1..=MAX_WORDS).contains(&words)
        && line.chars().count() <= MAX_CHARS
        && begins_well
        && !is_item
        && !is_table
        && !ends_open
        && !divided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_is_taken_off() {
        let (title, rest) = take_front_matter("---\ntitle: \"Why bread rises\"\ntags:\n  - a\n---\nText.\n");
        assert_eq!((title.as_deref(), rest), (Some("Why bread rises"), "Text.\n"));
        let (title, rest) = take_front_matter("---\nauthor: Jo\n---\nText.");
        assert_eq!((title, rest), (None, "Text."));
        for same in [
            "---\n\nText.\n\n---\n",
            "---\nA line of text\n---\n",
            "---\n",
            "",
            "Text",
            "---\ntitle: x",
            "---\nSee https://a.b\n---\n",
        ] {
            assert_eq!(take_front_matter(same), (None, same));
        }
    }

    #[test]
    fn the_header_of_a_message_is_taken_off_and_its_subject_kept() {
        let message = "To: All staff\nFrom: Dana\nSubject: Moving house\n\nDear all,\n";
        assert_eq!(take_message_header(message), Some(("Moving house", "\nDear all,\n")));
        let alone = "Subject: We're moving on March 31\n\nHi everyone,\n\nPack.";
        assert_eq!(take_message_header(alone).map(|(subject, _)| subject), Some("We're moving on March 31"));
        for script in [
            "Subject: Rain\n\nIt falls.",
            "Subject: Rain\n\nHello is a word.",
            "To: all\nIt falls.\n\nSubject: x",
            "To: a\nFrom: b\n\nText.",
            "To: a\nSubject: b\n",
            "",
        ] {
            assert_eq!(take_message_header(script), None, "{script}");
        }
    }

    #[test]
    fn a_first_line_that_stands_alone_is_a_title() {
        for (script, title) in [
            ("Why bread rises\n\nFor most of history.", Some("Why bread rises")),
            ("\n\nWhy does bread rise?\n\nNobody knew.", Some("Why does bread rise?")),
            ("Title: Bread\nIt rises.", Some("Bread")),
            ("title: \"Bread\"\n\nIt rises.", Some("Bread")),
            ("Bread rises.\n\nIt does.", None),
            ("Why bread rises", None),
            ("Why bread rises\n\n", None),
            ("Why bread\nrises\n\nText.", None),
            ("- item\n\nText.", None),
            ("1. item\n\nText.", None),
            ("# Heading\n\nText.", None),
            ("and so on\n\nText.", None),
            ("We are here: \n\nText.", None),
            ("状態とは\n\n状態です。", Some("状態とは")),
            ("It rains. It pours\n\nText.", None),
            ("🎉 Party\n\nText.", None),
            ("titlé:x\n\nText.", None),
            ("", None),
        ] {
            assert_eq!(take_title_line(script).map(|(title, _)| title), title, "{script:?}");
        }
        assert_eq!(take_title_line("A b\n\nText.").map(|(_, rest)| rest), Some("\nText."));
    }
}
