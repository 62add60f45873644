//! Lines and labels of diagram sources.

/// Longest label that is kept whole. A diagram with a longer one is prose.
const MAX_LABEL_CHARS: usize = 200;

/// Returns the trimmed lines without comments, front matter and blank lines.
pub(super) fn lines(source: &str) -> Vec<&str> {
    let mut lines = source.lines().map(str::trim).skip_while(|line| line.is_empty()).peekable();
    if lines.peek() == Some(&"---") {
        lines.next();
        lines.by_ref().find(|line| *line == "---");
    }
    lines.filter(|line| !line.is_empty() && !line.starts_with("%%")).collect()
}

/// Splits at a character outside of quotes and brackets.
pub(super) fn split_outside(text: &str, at: char) -> Vec<&str> {
    let (mut pieces, mut from, mut depth, mut quoted) = (vec![], 0, 0_i32, false);
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            c if c == at && depth <= 0 => {
                pieces.push(&text[from..index]);
                from = index + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(&text[from..]);
    pieces
}

/// Cleans a label: without quotes, tags and characters that steer; `<br>` and `\n` become line feeds. `None` when it is
/// too long for a diagram.
pub(super) fn label(text: &str) -> Option<String> {
    let text = unquote(text.trim());
    let text = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')).unwrap_or(text);
    if text.len() > 8 * MAX_LABEL_CHARS {
        return None;
    }
    let plain = without_tags(&text.replace("\\n", "\n").replace("**", ""));
    let plain = entities(&plain);
    let lines = plain.split('\n').map(|line| {
        let visible = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        visible.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let label = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    (label.chars().count() <= MAX_LABEL_CHARS).then_some(label)
}

/// Removes a pair of quotes around a text, or a single one that was never closed.
pub(super) fn unquote(text: &str) -> &str {
    let text = text.strip_prefix('"').unwrap_or(text);
    text.strip_suffix('"').unwrap_or(text)
}

/// Removes `<b>`, `</i>` and the like; `<br>` becomes a line feed. Other angle brackets stay.
fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.bytes().take(40).position(|byte| byte == b'>');
        let name = end.map(|end| after[..end].trim_matches(['/', ' ']).split(' ').next().unwrap_or_default());
        match (end, name.unwrap_or_default().to_ascii_lowercase().as_str()) {
            (Some(end), "br") => {
                plain.push('\n');
                rest = &after[end + 1..];
            }
            (
                Some(end),
                "b" | "i" | "u" | "em" | "strong" | "sub" | "sup" | "small" | "span" | "div" | "p" | "code"
                | "font",
            ) => {
                rest = &after[end + 1..];
            }
            _ => {
                plain.push('<');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Replaces the entities that diagrams use, such as `#quot;` and `&amp;`.
fn entities(text: &str) -> String {
    const NAMED: [(&str, &str); 8] = [
        ("quot;", "\""),
        ("amp;", "&"),
        ("lt;", "<"),
        ("gt;", ">"),
        ("nbsp;", " "),
        ("35;", "#"),
        ("59;", ";"),
        ("apos;", "'"),
    ];
    if !text.contains(['#', '&']) {
        return text.to_owned();
    }
    let mut text = text.to_owned();
    for (name, character) in NAMED {
        for sign in ['#', '&'] {
            text = text.replace(&format!("{sign}{name}"), character);
        }
    }
    text
}

/// Takes a name from the start of a text: in quotes, or up to white space or one of `ends`.
pub(super) fn take_name<'a>(text: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    let text = text.trim_start();
    if let Some((name, rest)) = text.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
        return (name, rest);
    }
    let end = text.find(|c: char| c.is_whitespace() || ends.contains(&c)).unwrap_or(text.len());
    (&text[..end], &text[end..])
}

/// Reads a finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && number.abs() <= 1e12)
}
