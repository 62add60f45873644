//! Finds where a value of a JSON document is written, for messages about it.

use std::ops::Range;

/// Returns the offset, in bytes, of the value at a path of names and indices; where the path leads nowhere, of the last value
/// on it. `word` is a string or a name inside that value: where it occurs there, its offset is returned. `json` must be valid;
/// of other text, the result is some offset or `None`.
pub fn locate(json: &str, path: &[String], word: Option<&str>) -> Option<usize> {
    let mut scanner = Scanner { bytes: json.as_bytes(), at: 0 };
    scanner.skip_space();
    let mut found = scanner.at;
    for name in path {
        let Some(inside) = scanner.enter(json, name) else { break };
        found = inside;
    }
    scanner.at = found;
    scanner.skip_value()?;
    let value = json.get(found..scanner.at)?;
    let quoted = word.map(|word| serde_json::to_string(word).unwrap_or_default());
    let inside = quoted.and_then(|quoted| value.find(&quoted)).unwrap_or(0);
    Some(found + inside)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Steps over a byte, if it is this one.
    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Goes to a member of the object or list here, and returns its offset.
    fn enter(&mut self, json: &str, name: &str) -> Option<usize> {
        let is_object = self.peek() == Some(b'{');
        self.skip(b'{').or_else(|| self.skip(b'['))?;
        for index in 0.. {
            self.skip_space();
            let is_wanted = match is_object {
                true => {
                    let key = self.skip_string()?;
                    self.skip_space();
                    self.skip(b':')?;
                    self.skip_space();
                    let key: String = serde_json::from_str(json.get(key)?).ok()?;
                    key == name
                }
                false => name.parse() == Ok(index),
            };
            if is_wanted {
                return Some(self.at);
            }
            self.skip_value()?;
            self.skip_space();
            self.skip(b',')?;
        }
        None
    }

    fn skip_string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.skip(b'"')?;
        while self.peek()? != b'"' {
            self.at += if self.peek() == Some(b'\\') { 2 } else { 1 };
        }
        self.at += 1;
        Some(start..self.at)
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => {
                    // A number or a word.
                    let is_end = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b'}' | b']');
                    while self.peek().is_some_and(|byte| !is_end(byte)) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#" { "a": [1, {"b\"": "}"}, [2, true]], "ü": {"kind": "x"}, "n": -1.5 }"#;

    #[track_caller]
    fn assert_found(path: &[&str], word: Option<&str>, expected: &str) {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        let offset = locate(JSON, &path, word).unwrap();
        assert!(JSON[offset..].starts_with(expected), "{path:?}: {}", &JSON[offset..]);
    }

    #[test]
    fn values_are_found_by_their_path() {
        assert_found(&[], None, "{ \"a\"");
        assert_found(&["a", "0"], None, "1, ");
        assert_found(&["a", "1", "b\""], None, "\"}\"");
        assert_found(&["a", "2", "1"], None, "true");
        assert_found(&["n"], None, "-1.5");
        assert_found(&["ü", "kind"], None, "\"x\"");
        assert_found(&["ü"], Some("x"), "\"x\"");
    }

    #[test]
    fn a_path_that_ends_early_gives_the_last_value_on_it() {
        assert_found(&["a", "7"], None, "[1, ");
        assert_found(&["ü", "missing"], None, "{\"kind\"");
        assert_found(&["ü"], Some("nowhere"), "{\"kind\"");
        for cut in 0..JSON.len() {
            // Must return, whatever it returns.
            let _found = JSON.get(..cut).and_then(|json| locate(json, &["a".into(), "1".into()], None));
        }
    }
}
