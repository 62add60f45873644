//! Corrects code by rules: the faults that are met most often in code for older versions, or written from memory.

use crate::engine::CodeFault;

/// Names of older versions, and the names of today.
const RENAMED: &[(&str, &str)] = &[
    ("ShowCreation", "Create"),
    ("ShowCreationThenDestruction", "ShowPassingFlash"),
    ("ShowCreationThenFadeOut", "Create"),
    ("TextMobject", "Text"),
    ("TexMobject", "MathTex"),
    ("OldTex", "MathTex"),
    ("FadeInFromDown", "FadeIn"),
    ("FadeInFromLarge", "FadeIn"),
    ("FadeOutAndShiftDown", "FadeOut"),
    ("FadeOutAndShift", "FadeOut"),
    ("FadeInFrom", "FadeIn"),
    ("FadeInFromPoint", "FadeIn"),
    ("CircleIndicate", "Circumscribe"),
    ("ShowIncreasingSubset", "ShowIncreasingSubsets"),
    ("WiggleOutThenIn", "Wiggle"),
    ("GraphScene", "Scene"),
    ("ParametricSurface", "Surface"),
    ("ParametricCurve", "ParametricFunction"),
    ("SurroundingRect", "SurroundingRectangle"),
    ("get_graph", "plot"),
    ("set_width", "scale_to_fit_width"),
    ("set_height", "scale_to_fit_height"),
    ("DEGREE", "DEGREES"),
    ("LIGHT_GREY", "LIGHT_GRAY"),
    ("DARK_GREY", "DARK_GRAY"),
];

/// Arguments that are gone, and the ones for the same today; without one, the argument is left out.
const ARGUMENTS: &[(&str, Option<&str>)] = &[
    ("x_min", None),
    ("x_max", None),
    ("y_min", None),
    ("y_max", None),
    ("lag_factor", Some("lag_ratio")),
    ("text_color", Some("color")),
    ("tex_to_color_map", Some("t2c")),
    ("direction", Some("shift")),
    ("size", Some("font_size")),
    ("opacity", Some("fill_opacity")),
];

/// Modules that code uses without importing them.
const MODULES: &[(&str, &str)] = &[
    ("np", "import numpy as np"),
    ("numpy", "import numpy"),
    ("math", "import math"),
    ("random", "import random"),
    ("itertools", "import itertools"),
];

/// Returns corrected code; `None` when no rule fits the fault, or none changes the code.
pub fn correct(code: &str, fault: &CodeFault) -> Option<String> {
    let corrected = match fault.kind.as_str() {
        "NameError" if fault.message.contains("no class that is a Scene") => as_scene(code),
        "NameError" => name_error(code, &fault.message),
        "AttributeError" | "ImportError" | "ModuleNotFoundError" => import_or_attribute(code, &fault.message),
        "TypeError" => type_error(code, &fault.message),
        "SyntaxError" | "IndentationError" | "TabError" => layout(code),
        _ => None,
    };
    corrected.filter(|corrected| corrected != code)
}

/// Returns the first text in quotes.
fn quoted(message: &str) -> Option<&str> {
    let from = message.find('\'')? + 1;
    let length = message[from..].find('\'')?;
    Some(&message[from..from + length])
}

fn name_error(code: &str, message: &str) -> Option<String> {
    let name = quoted(message)?;
    if let Some((_, import)) = MODULES.iter().find(|(module, _)| *module == name) {
        return Some(format!("{import}\n{code}"));
    }
    if let Some(renamed) = rename(code, name) {
        return Some(renamed);
    }
    let imports_all = code.lines().any(|line| line.trim() == "from manim import *");
    (!imports_all).then(|| format!("from manim import *\n{code}"))
}

fn rename(code: &str, name: &str) -> Option<String> {
    let (_, new) = RENAMED.iter().find(|(old, _)| *old == name)?;
    Some(replace_word(code, name, new))
}

/// An attribute or an import of a name that has another name today, or of the other Manim.
fn import_or_attribute(code: &str, message: &str) -> Option<String> {
    let names = message.split('\'').skip(1).step_by(2);
    for name in names {
        if let Some(renamed) = rename(code, name) {
            return Some(renamed);
        }
    }
    if message.contains("manimlib") || message.contains("manim_imports_ext") {
        let kept =
            code.lines().filter(|line| !line.contains("manimlib") && !line.contains("manim_imports_ext"));
        return Some(format!("from manim import *\n{}\n", kept.collect::<Vec<_>>().join("\n")));
    }
    let is_import = message.contains("cannot import name");
    is_import.then(|| {
        let kept = code.lines().filter(|line| !line.trim_start().starts_with("from manim"));
        format!("from manim import *\n{}\n", kept.collect::<Vec<_>>().join("\n"))
    })
}

/// An argument that is gone.
fn type_error(code: &str, message: &str) -> Option<String> {
    if !message.contains("unexpected keyword argument") {
        return None;
    }
    let name = message.rsplit('\'').nth(1)?;
    match ARGUMENTS.iter().find(|(old, _)| *old == name) {
        Some((_, Some(new))) => Some(replace_argument(code, name, Some(new))),
        _ => Some(replace_argument(code, name, None)),
    }
}

/// Turns a class that does not derive from `Scene`, or statements without a class, into a scene.
fn as_scene(code: &str) -> Option<String> {
    let body = |lines: &[&str]| {
        let indented = lines.iter().map(|line| match line.trim().is_empty() {
            true => String::new(),
            false => format!("        {line}"),
        });
        indented.collect::<Vec<_>>().join("\n")
    };
    if code.contains("def construct(self") {
        let class = code.lines().find(|line| line.starts_with("class ") && line.trim_end().ends_with(':'))?;
        let name = class.trim_start_matches("class ").split(['(', ':']).next()?.trim();
        return Some(code.replacen(class, &format!("class {name}(Scene):"), 1));
    }
    if !code.contains("self.") {
        return None;
    }
    let is_import = |line: &&str| line.starts_with("import ") || line.starts_with("from ");
    let (imports, statements): (Vec<&str>, Vec<&str>) = code.lines().partition(is_import);
    let import = if imports.iter().any(|line| line.contains("manim")) { "" } else { "from manim import *\n" };
    Some(format!(
        "{import}{}\n\n\nclass Animation(Scene):\n    def construct(self):\n{}\n",
        imports.join("\n"),
        body(&statements)
    ))
}

/// Tabs become spaces, and typographic quotes plain ones.
fn layout(code: &str) -> Option<String> {
    let plain = code.replace('\t', "    ").replace(['“', '”'], "\"").replace(['‘', '’'], "'");
    let lines: Vec<&str> = plain.lines().collect();
    // Code in a fence of its own, or indented as a whole.
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.trim_start().starts_with("```")).collect();
    let indents = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = indents.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    Some(format!("{}\n", lines.join("\n")))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces a name where it stands alone.
fn replace_word(code: &str, old: &str, new: &str) -> String {
    let mut replaced = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let is_alone = !before.chars().next_back().or(replaced.chars().next_back()).is_some_and(is_word)
            && !after.chars().next().is_some_and(is_word);
        replaced.push_str(before);
        replaced.push_str(if is_alone { new } else { old });
        rest = after;
    }
    replaced + rest
}

/// Renames an argument, or leaves it out with its value.
fn replace_argument(code: &str, old: &str, new: Option<&str>) -> String {
    let mut replaced = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let value = after.trim_start();
        let is_argument =
            before.trim_end().ends_with(['(', ',']) && value.starts_with('=') && !value.starts_with("==");
        replaced.push_str(before);
        rest = after;
        match (is_argument, new) {
            (false, _) => replaced.push_str(old),
            (true, Some(new)) => replaced.push_str(new),
            (true, None) => {
                let end = value_end(after);
                rest = &after[end..];
                // With the comma behind it, or the one before.
                match rest.trim_start().strip_prefix(',') {
                    Some(following) => rest = following.trim_start_matches(' '),
                    None => {
                        let kept = replaced.trim_end().trim_end_matches(',').len();
                        replaced.truncate(kept);
                    }
                }
            }
        }
    }
    replaced + rest
}

/// Returns where the value of an argument ends: at a comma or a bracket of the call.
fn value_end(text: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') if depth == 0 => return at,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrected(code: &str, kind: &str, message: &str) -> Option<String> {
        let fault = CodeFault { kind: kind.into(), message: message.into(), line: None, traceback: vec![] };
        correct(code, &fault)
    }

    #[test]
    fn names_of_older_versions_are_replaced_where_they_stand_alone() {
        let code = "self.play(ShowCreation(c), MyShowCreation(c))";
        let fixed = corrected(code, "NameError", "name 'ShowCreation' is not defined");
        assert_eq!(fixed.as_deref(), Some("self.play(Create(c), MyShowCreation(c))"));
        let fixed =
            corrected("axes.get_graph(f)", "AttributeError", "'Axes' object has no attribute 'get_graph'");
        assert_eq!(fixed.as_deref(), Some("axes.plot(f)"));
    }

    #[test]
    fn missing_imports_are_added_once() {
        let fixed = corrected("x = np.pi", "NameError", "name 'np' is not defined");
        assert_eq!(fixed.as_deref(), Some("import numpy as np\nx = np.pi"));
        let fixed = corrected("Circle()", "NameError", "name 'Circle' is not defined").unwrap();
        assert_eq!(fixed, "from manim import *\nCircle()");
        assert_eq!(corrected(&fixed, "NameError", "name 'Cirle' is not defined"), None);
    }

    #[test]
    fn arguments_that_are_gone_are_renamed_or_left_out() {
        let message = "Mobject.__init__() got an unexpected keyword argument 'x_min'";
        let fixed = corrected("Axes(x_min=-f(1, 2), color=RED)", "TypeError", message);
        assert_eq!(fixed.as_deref(), Some("Axes(color=RED)"));
        let fixed = corrected("Axes(color=RED, x_min=[1, 2])", "TypeError", message);
        assert_eq!(fixed.as_deref(), Some("Axes(color=RED)"));
        let message = "Text.__init__() got an unexpected keyword argument 'size'";
        let fixed = corrected("Text('size=2', size=3)", "TypeError", message);
        assert_eq!(fixed.as_deref(), Some("Text('size=2', font_size=3)"));
    }

    #[test]
    fn code_without_a_scene_becomes_one() {
        let message = "the code defines no class that is a Scene";
        let fixed = corrected("c = Circle()\nself.play(Create(c))", "NameError", message).unwrap();
        assert!(
            fixed.contains("class Animation(Scene):\n    def construct(self):\n        c = Circle()"),
            "{fixed}"
        );
        let fixed = corrected("class A:\n  def construct(self): pass", "NameError", message).unwrap();
        assert_eq!(fixed, "class A(Scene):\n  def construct(self): pass");
    }

    #[test]
    fn a_fault_that_no_rule_knows_is_left() {
        assert_eq!(corrected("1 / 0", "ZeroDivisionError", "division by zero"), None);
        assert_eq!(corrected("x", "TypeError", "unsupported operand"), None);
        assert_eq!(corrected("", "NameError", ""), None);
    }
}
