//! Formulas within a line of text: which ones are, and how they are said.

/// Letters of a formula at most that stand together without a command: more are a word.
const MAX_NAME_LETTERS: usize = 3;
/// A longer formula has no room in a line.
const MAX_CHARS: usize = 120;

/// Commands, and how they are said.
const COMMANDS: &[(&str, &str)] = &[
    ("cdot", "times"),
    ("times", "times"),
    ("div", "divided by"),
    ("pm", "plus or minus"),
    ("leq", "is at most"),
    ("le", "is at most"),
    ("geq", "is at least"),
    ("ge", "is at least"),
    ("neq", "is not"),
    ("ne", "is not"),
    ("approx", "is about"),
    ("sim", "is about"),
    ("equiv", "is equivalent to"),
    ("propto", "is proportional to"),
    ("in", "in"),
    ("to", "to"),
    ("rightarrow", "to"),
    ("mapsto", "maps to"),
    ("infty", "infinity"),
    ("dots", "and so on"),
    ("ldots", "and so on"),
    ("cdots", "and so on"),
    ("sum", "the sum of"),
    ("prod", "the product of"),
    ("int", "the integral of"),
    ("lim", "the limit of"),
    ("partial", "partial"),
    ("nabla", "nabla"),
    ("circ", "degrees"),
    ("mid", "divides"),
    ("quad", ""),
    ("qquad", ""),
    ("left", ""),
    ("right", ""),
    ("mathrm", ""),
    ("mathbf", ""),
    ("text", ""),
    ("operatorname", ""),
    ("displaystyle", ""),
];

/// Signs, and how they are said.
const SIGNS: &[(char, &str)] = &[
    ('+', "plus"),
    ('-', "minus"),
    ('=', "equals"),
    ('<', "is less than"),
    ('>', "is more than"),
    ('/', "over"),
    ('*', "times"),
    ('!', "factorial"),
    ('\'', "prime"),
    ('|', ""),
    ('{', ""),
    ('}', ""),
    ('&', ""),
    ('~', ""),
    ('(', ""),
    (')', ""),
    ('[', ""),
    (']', ""),
    (',', ","),
];

/// Returns `true` for what stands between dollar signs as a formula, and not between two prices.
pub(crate) fn is_formula(latex: &str) -> bool {
    if latex.chars().count() > MAX_CHARS || latex.contains(['\n', '`']) {
        return false;
    }
    if latex.contains('\\') {
        return true;
    }
    let mut words = latex.split(|c: char| !c.is_alphabetic());
    let has_word = words.any(|word| word.chars().count() > MAX_NAME_LETTERS);
    let has_operator = latex.contains(|c: char| "^_=<>+-*/(".contains(c));
    let has_letter = latex.contains(char::is_alphabetic);
    !has_word && (has_operator || has_letter && !latex.contains(' '))
}

/// Returns the words with which a formula is said: `E = mc^2` is "E equals m c squared".
pub(crate) fn read_formula(latex: &str) -> String {
    let mut reader = Reader { rest: latex, words: vec![] };
    reader.read(0);
    let said = reader.words.join(" ").replace(" ,", ",");
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Reader<'a> {
    rest: &'a str,
    words: Vec<String>,
}

impl<'a> Reader<'a> {
    fn say(&mut self, words: &str) {
        self.words.push(words.to_owned());
    }

    /// Reads all that is left. Groups deeper than [`MAX_DEPTH`] are read without their braces.
    fn read(&mut self, depth: usize) {
        /// Groups within groups.
        const MAX_DEPTH: usize = 8;
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\\' => self.command(depth.min(MAX_DEPTH)),
                '^' | '_' => {
                    self.skip(c);
                    let raised = self.group();
                    self.index(c, raised, depth.min(MAX_DEPTH));
                }
                c if c.is_ascii_digit() => {
                    let number = |c: char| !(c.is_ascii_digit() || c == '.');
                    let end = self.rest.find(number).unwrap_or(self.rest.len());
                    let (number, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    self.say(number);
                }
                c => {
                    self.skip(c);
                    let said = SIGNS.iter().find(|(sign, _)| *sign == c);
                    self.say(said.map_or(c.to_string().as_str(), |(_, said)| *said));
                }
            }
        }
    }

    fn skip(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    /// Takes what stands in braces, or the next sign or command.
    fn group(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let Some(first) = rest.chars().next() else { return "" };
        let end = match first {
            '{' => {
                let mut depth = 0_usize;
                let closes = rest.char_indices().find(|(_, c)| {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    depth == 0
                });
                closes.map_or(rest.len(), |(at, _)| at + 1)
            }
            '\\' => {
                let name = rest[1..].find(|c: char| !c.is_ascii_alphabetic());
                name.map_or(rest.len(), |length| 1 + length)
            }
            first => first.len_utf8(),
        };
        let (group, rest) = rest.split_at(end);
        self.rest = rest;
        group.strip_prefix('{').map_or(group, |inner| inner.strip_suffix('}').unwrap_or(inner))
    }

    fn say_group(&mut self, group: &str, depth: usize) {
        if depth == 0 {
            let mut inner = Reader { rest: group, words: vec![] };
            inner.read(depth + 1);
            return self.words.append(&mut inner.words);
        }
        // Within a group, what stands in further groups is said without their structure.
        self.say(&group.replace(['{', '}', '\\', '^', '_'], " "));
    }

    fn index(&mut self, sign: char, group: &str, depth: usize) {
        match (sign, group.trim()) {
            ('^', "2") => self.say("squared"),
            ('^', "3") => self.say("cubed"),
            ('^', "\\circ") => self.say("degrees"),
            ('^', "'" | "\\prime") => self.say("prime"),
            ('^', _) => {
                self.say("to the power of");
                self.say_group(group, depth);
            }
            _ => self.say_group(group, depth),
        }
    }

    fn command(&mut self, depth: usize) {
        self.skip('\\');
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        if end == 0 {
            // A space or a sign that is escaped.
            let Some(c) = self.rest.chars().next() else { return };
            self.skip(c);
            if c == '%' {
                self.say("percent");
            }
            return;
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        match name {
            "frac" | "dfrac" | "tfrac" => {
                let (above, below) = (self.group(), self.group());
                self.say_group(above, depth);
                self.say("over");
                self.say_group(below, depth);
            }
            "sqrt" => {
                self.say("the square root of");
                let group = self.group();
                self.say_group(group, depth);
            }
            name => match COMMANDS.iter().find(|(command, _)| *command == name) {
                Some((_, said)) => self.say(said),
                // Greek letters and functions are said as they are called.
                None => self.say(name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_said() {
        for (latex, said) in [
            ("N", "N"),
            ("\\rho", "rho"),
            ("E = mc^2", "E equals m c squared"),
            ("x^{10}", "x to the power of 10"),
            ("p_1, p_2, \\dots, p_n", "p 1, p 2, and so on, p n"),
            ("\\frac{a}{b}", "a over b"),
            ("\\frac{x+1}{2}", "x plus 1 over 2"),
            ("\\sqrt{2}", "the square root of 2"),
            ("a \\cdot b \\leq 3.5", "a times b is at most 3.5"),
            ("90^\\circ", "90 degrees"),
            ("f'(x)", "f prime x"),
            ("x_{n-1}", "x n minus 1"),
            ("\\alpha < \\beta", "alpha is less than beta"),
        ] {
            assert_eq!(read_formula(latex), said, "{latex}");
        }
    }

    #[test]
    fn damaged_formulas_are_said_somehow() {
        for latex in
            ["", "\\", "{", "}", "^", "_{", "\\frac{", "\\frac", "x^", "\\sqrt{{{{", "é^é", "\\é", "}}{{"]
        {
            read_formula(latex);
        }
        read_formula(&"{\\frac".repeat(200));
    }

    #[test]
    fn prices_are_no_formulas() {
        for formula in
            ["x_1", "N", "a + b", "\\rho", "f(x) = 2x", "10^6", "n \\in \\mathbb{N}", "\\text{speed}"]
        {
            assert!(is_formula(formula), "{formula}");
        }
        for other in ["5", "5 and more of it, or 7", "5.50", "5 or 6", "1,000 to "] {
            assert!(!is_formula(other), "{other}");
        }
    }
}
