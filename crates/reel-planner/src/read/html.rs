//! HTML in Markdown: what a reader of the page would see of it. Pages on code hosts have pictures, line breaks and comments as HTML.

/// Elements whose tags are removed and whose text is kept. Any other name in angle brackets is text, as in `Vec<T>`.
const ELEMENTS: &str = " a abbr b big blockquote br caption center cite code col colgroup dd del details div dl dt em figcaption figure font \
    footer h1 h2 h3 h4 h5 h6 head header hr i img input ins kbd li main mark nav ol p picture pre q s samp section small source \
    span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var video audio iframe svg path wbr ";
/// Elements that go with all that is in them.
const HIDDEN: [&str; 4] = ["script", "style", "template", "title"];
/// Elements after which a line ends.
const LINES: &str =
    " br p div li tr h1 h2 h3 h4 h5 h6 dt dd summary blockquote hr table ul ol center details pre ";

/// Elements whose tags go from a line of text, too. Others stay there: "the <b> tag" speaks of it.
const IN_LINES: &str = " a br img kbd picture source span sub sup ";

/// Returns the text of what Markdown takes for HTML in a line of text: one tag, or a comment.
pub(super) fn text_in_line(html: &str) -> String {
    let is_silent = html.starts_with("<!--")
        || tag(html).is_some_and(|(name, ..)| IN_LINES.contains(&format!(" {name} ")));
    if is_silent { text_of(html) } else { html.to_owned() }
}

/// Returns the text of a piece of HTML. Comments go, and so do tags that HTML has; line breaks become `\n`.
pub(super) fn text_of(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let Some((name, is_end, after)) = tag(rest) else {
            text.push('<');
            rest = &rest[1..];
            continue;
        };
        rest = after;
        if HIDDEN.contains(&name.as_str()) && !is_end {
            rest = find_end(rest, &name).unwrap_or("");
        } else if LINES.contains(&format!(" {name} ")) {
            text.push('\n');
        }
    }
    text.push_str(rest);
    [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (entity, character)| text.replace(entity, character))
}

/// Reads a tag of an element that HTML has: its name, whether it ends the element, and what is behind it.
fn tag(text: &str) -> Option<(String, bool, &str)> {
    let inside = text.strip_prefix('<')?;
    let is_end = inside.starts_with('/');
    let inside = inside.strip_prefix('/').unwrap_or(inside);
    let length = inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
    let name = inside[..length].to_ascii_lowercase();
    let is_known = !name.is_empty()
        && (ELEMENTS.contains(&format!(" {name} ")) || HIDDEN.contains(&name.as_str()))
        && inside[length..].starts_with([' ', '\t', '\n', '/', '>']);
    if !is_known {
        return None;
    }
    // A tag ends at the first bracket that is in no attribute's value.
    let mut quote = None;
    let end = inside.char_indices().skip(length).find(|(_, c)| {
        match (quote, *c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(*c),
            (None, '>') => return true,
            _ => {}
        }
        false
    });
    // One that does not end is cut off, as is its text.
    let after = end.map_or("", |(at, _)| &inside[at + 1..]);
    Some((name, is_end, after))
}

/// Returns what is behind the end of an element.
fn find_end<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = text[from..].find("</") {
        let end = &text[from + at..];
        match tag(end) {
            Some((found, true, after)) if found == name => return Some(after),
            _ => from += at + 2,
        }
    }
    None
}

/// Returns `true` for a picture that says how a project does, such as whether it builds, and not what it is.
pub(super) fn is_badge(url: &str) -> bool {
    const BADGES: [&str; 12] = [
        "badge",
        "shields.io",
        "badgen.net",
        "travis-ci",
        "codecov",
        "coveralls",
        "appveyor",
        "circleci",
        "actions/workflows",
        "github/workflow",
        "repostatus",
        "star-history",
    ];
    let url = url.to_ascii_lowercase();
    BADGES.iter().any(|badge| url.contains(badge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_comments_go_and_what_is_no_tag_stays() {
        for (html, expected) in [
            ("<!-- anchor_end:footer -->", ""),
            ("a<!-- b", "a"),
            ("<p align=\"center\"><b>Fast</b> &amp; small</p>", "\nFast & small\n"),
            ("one<br/>two<BR>three", "one\ntwo\nthree"),
            ("<img src=\"a>b.png\" alt='x'>after", "after"),
            ("<script>if (a < b) { alert(1) }</script>end", "end"),
            ("<style>p { color: red }", ""),
            ("Vec<T> and HashMap<String, u8>", "Vec<T> and HashMap<String, u8>"),
            ("a < b and c > d <- e", "a < b and c > d <- e"),
            ("<person@example.org>", "<person@example.org>"),
            ("<a href='x", ""),
            ("<", "<"),
            ("</", "</"),
            ("<>", "<>"),
            ("<p", "<p"),
            ("&amp;lt;", "&lt;"),
        ] {
            assert_eq!(text_of(html), expected, "{html}");
        }
    }

    #[test]
    fn a_line_that_speaks_of_a_tag_keeps_it() {
        for (html, expected) in [
            ("<b>", "<b>"),
            ("<script>", "<script>"),
            ("<br>", "\n"),
            ("<img src=x>", ""),
            ("<!-- x -->", ""),
            ("<T>", "<T>"),
        ] {
            assert_eq!(text_in_line(html), expected, "{html}");
        }
    }

    #[test]
    fn much_html_takes_time_in_proportion_to_its_length() {
        for piece in ["<", "<!--", "<script>", "</script", "<p \"", "&lt"] {
            let text = piece.repeat(200_000 / piece.len());
            let started = std::time::Instant::now();
            assert!(text_of(&text).len() <= text.len());
            assert!(started.elapsed().as_secs() < 10, "{piece}");
        }
    }

    #[test]
    fn badges_are_told_from_pictures() {
        assert!(is_badge("https://img.shields.io/crates/v/x.svg") && is_badge("https://docs.rs/x/badge.svg"));
        assert!(!is_badge("https://example.org/heart.png") && !is_badge("heart.svg"));
    }
}
