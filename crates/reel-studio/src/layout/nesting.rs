//! Checks that a LaTeX formula is balanced and not nested too deep.
//!
//! The converter accepts any text, and recurses for each group, argument and script on a thread's stack of 2 MiB. So formulas
//! are checked before they are converted.

/// Deepest nesting of groups, environments, delimiters, arguments without braces, and scripts.
pub const MAX_DEPTH: usize = 64;

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A backslash and letters.
    Command(&'a str),
    Open,
    Close,
    /// `^` or `_`.
    Script,
    Prime,
    /// Any other character, escaped ones included.
    Character(char),
}

/// An open item.
#[derive(Debug, PartialEq, Eq)]
enum Opened<'a> {
    Group,
    /// `\left`
    Delimiter,
    /// `\begin{name}`
    Environment(&'a str),
}

/// A level of nesting: the item that opened it, and the length of the current chain of commands and scripts in it.
struct Level<'a> {
    opened: Option<Opened<'a>>,
    chain: usize,
}

/// Returns `true` when every group, delimiter and environment is closed by its counterpart, and nothing nests deeper than
/// [`MAX_DEPTH`].
pub fn is_well_nested(latex: &str) -> bool {
    let mut rest = latex;
    let mut levels = vec![Level { opened: None, chain: 0 }];
    // Brackets need no counterpart: an interval may be half-open.
    let mut brackets = 0_usize;
    let mut after_script = false;
    while let Some(token) = next_token(&mut rest) {
        let was_after_script = std::mem::replace(&mut after_script, token == Token::Script);
        let opened = match token {
            Token::Open => Some(Opened::Group),
            Token::Command("left") => {
                // The delimiter itself opens nothing more.
                if next_token(&mut rest).is_none() {
                    return false;
                }
                Some(Opened::Delimiter)
            }
            Token::Command("begin") => match take_name(&mut rest) {
                Some(name) => Some(Opened::Environment(name)),
                None => return false,
            },
            _ => None,
        };
        let closed = match token {
            Token::Close => Some(Opened::Group),
            Token::Command("right") => {
                if next_token(&mut rest).is_none() {
                    return false;
                }
                Some(Opened::Delimiter)
            }
            Token::Command("end") => match take_name(&mut rest) {
                Some(name) => Some(Opened::Environment(name)),
                None => return false,
            },
            _ => None,
        };
        if opened.is_some() {
            // Its command or script counts through the new level.
            if let Some(level) = levels.last_mut() {
                level.chain = level.chain.saturating_sub(1);
            }
            levels.push(Level { opened, chain: 0 });
        } else if closed.is_some() {
            if levels.len() == 1 || levels.pop().is_some_and(|level| level.opened != closed) {
                return false;
            }
            if let Some(level) = levels.last_mut() {
                level.chain += 1;
            }
        } else if let Some(level) = levels.last_mut() {
            match token {
                Token::Script | Token::Prime | Token::Command(_) => level.chain += 1,
                Token::Character(_) if was_after_script => {}
                _ => level.chain = 0,
            }
        }
        match token {
            Token::Character('(' | '[') => brackets += 1,
            Token::Character(')' | ']') => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        let chains: usize = levels.iter().map(|level| level.chain).sum();
        if levels.len() - 1 + chains + brackets > MAX_DEPTH {
            return false;
        }
    }
    levels.len() == 1
}

/// Takes the next token, and skips whitespace.
fn next_token<'a>(rest: &mut &'a str) -> Option<Token<'a>> {
    *rest = rest.trim_start();
    let text = *rest;
    let first = text.chars().next()?;
    let after = &text[first.len_utf8()..];
    let (token, after) = match first {
        '{' => (Token::Open, after),
        '}' => (Token::Close, after),
        '^' | '_' => (Token::Script, after),
        '\'' => (Token::Prime, after),
        '\\' => {
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            match after.chars().next() {
                Some(escaped) if letters == 0 => {
                    // An escaped bracket is a sign like any other.
                    let sign = if matches!(escaped, '(' | ')' | '[' | ']') { '\\' } else { escaped };
                    (Token::Character(sign), &after[escaped.len_utf8()..])
                }
                _ => (Token::Command(&after[..letters]), &after[letters..]),
            }
        }
        other => (Token::Character(other), after),
    };
    *rest = after;
    Some(token)
}

/// Takes `{name}`.
fn take_name<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (name, after) = rest.trim_start().strip_prefix('{')?.split_once('}')?;
    *rest = after;
    (!name.contains(['{', '\\'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // H6
    #[test]
    fn halves_must_fit_each_other_in_their_order() {
        for latex in [
            r"a^2 + b^2",
            r"\left( \frac{1}{2} \right)",
            r"\left\{ x \right.",
            r"\{ a \leftarrow b \}",
            r"\begin{cases} 1 & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}",
            r"[0, 1)",
            r"",
        ] {
            assert!(is_well_nested(latex), "{latex}");
        }
        for latex in [
            r"\right( \left)",
            r"\left( { \right) }",
            r"{ \left( } \right)",
            r"\begin{cases} \end{pmatrix}",
            r"\begin{cases} { \end{cases} }",
            r"\end{cases} \begin{cases}",
            r"\begin",
            r"\left",
            r"\frac{1}{",
            r"a } b",
            "a } { b",
        ] {
            assert!(!is_well_nested(latex), "{latex}");
        }
    }

    // H6
    #[test]
    fn depth_is_bounded_whatever_it_is_made_of() {
        let nested =
            |open: &str, close: &str, depth: usize| format!("{}x{}", open.repeat(depth), close.repeat(depth));
        for (open, close) in [
            ("{", "}"),
            (r"\sqrt{", "}"),
            (r"\frac{1}{", "}"),
            ("(", ")"),
            ("[", ""),
            (r"\left(", r"\right)"),
            (r"\begin{matrix}", r"\end{matrix}"),
            ("x^{", "}"),
        ] {
            assert!(is_well_nested(&nested(open, close, MAX_DEPTH - 1)), "{open}");
            assert!(!is_well_nested(&nested(open, close, MAX_DEPTH + 1)), "{open}");
        }
        // Chains without braces.
        for run in [r"\sqrt", "_1", "'", "^^"] {
            assert!(!is_well_nested(&format!("x{}x", run.repeat(MAX_DEPTH + 1))), "{run}");
        }
        assert!(is_well_nested(&"x_1^2 + \\alpha\\beta, ".repeat(100)), "long is not deep");
    }
}
