//! SVG: drawn by programs that also run scripts and fetch what it names, so only what draws is kept.
//!
//! Elements and their attributes are copied by lists of what is allowed; whatever is not on them is left out. A drawing that
//! has nothing else is kept as it was sent. A document type is refused: entities can be made to fill any memory, and to
//! read what is outside.

use std::fmt::Write;
use std::fs::File;

use roxmltree::{Attribute, Document, Node, NodeType, ParsingOptions};

use super::detect::read_at;
use super::{Checked, MAX_SVG_BYTES, Refusal};
use crate::events::ContentType;

/// Elements and texts.
const MAX_NODES: u32 = 200_000;
/// Elements inside each other.
const MAX_DEPTH: usize = 256;

const SVG: &str = "http://www.w3.org/2000/svg";
const XLINK: &str = "http://www.w3.org/1999/xlink";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Elements that draw, and what they draw with.
const ELEMENTS: &[&str] = &[
    "svg",
    "g",
    "defs",
    "symbol",
    "use",
    "switch",
    "title",
    "desc",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "textPath",
    "image",
    "style",
    "linearGradient",
    "radialGradient",
    "stop",
    "pattern",
    "clipPath",
    "mask",
    "marker",
    "filter",
    "feBlend",
    "feColorMatrix",
    "feComponentTransfer",
    "feComposite",
    "feConvolveMatrix",
    "feDiffuseLighting",
    "feDisplacementMap",
    "feDistantLight",
    "feDropShadow",
    "feFlood",
    "feFuncA",
    "feFuncB",
    "feFuncG",
    "feFuncR",
    "feGaussianBlur",
    "feMerge",
    "feMergeNode",
    "feMorphology",
    "feOffset",
    "fePointLight",
    "feSpecularLighting",
    "feSpotLight",
    "feTile",
    "feTurbulence",
];

/// Pictures that may be inside.
const INLINE: &[&str] = &[
    "data:image/png;base64,",
    "data:image/jpeg;base64,",
    "data:image/jpg;base64,",
    "data:image/gif;base64,",
    "data:image/webp;base64,",
];

pub fn check(file: &File, bytes: u64) -> Result<Checked, Refusal> {
    if bytes > MAX_SVG_BYTES {
        return Err(Refusal::TooLarge {
            found: format!("an SVG of {bytes} bytes"),
            max: format!("{MAX_SVG_BYTES} bytes"),
        });
    }
    let mut text = vec![0; bytes as usize];
    let length = read_at(file, &mut text, 0)?;
    text.truncate(length);
    let text = String::from_utf8(text)
        .map_err(|_| Refusal::WrongType { found: "XML in another encoding than UTF-8" })?;
    let sanitized = sanitize(text.trim_start_matches('\u{feff}'))?;
    Ok(Checked {
        content_type: ContentType::Svg,
        dimensions: None,
        sanitized: sanitized.map(String::into_bytes),
    })
}

/// The drawing without what could do harm; `None` when it has nothing of that kind.
fn sanitize(text: &str) -> Result<Option<String>, Refusal> {
    let lower = text.to_ascii_lowercase();
    if lower.contains("<!doctype") || lower.contains("<!entity") {
        let what = "an SVG with a document type or entities, which can read what is outside of it";
        return Err(Refusal::Malicious { what: format!("{what}; save it without a DOCTYPE") });
    }
    let damaged = |reason: String| Refusal::Damaged { kind: "SVG", reason };
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| damaged(error.to_string()))?;
    let root = document.root_element();
    let namespace = root.tag_name().namespace();
    if root.tag_name().name() != "svg" || namespace.is_some_and(|namespace| namespace != SVG) {
        return Err(Refusal::WrongType { found: "XML, but not SVG" });
    }
    let mut copy = Copy { out: String::with_capacity(text.len()), namespace, omitted: 0 };
    let is_instruction = |node: &Node| node.node_type() == NodeType::PI;
    copy.omitted += document.descendants().filter(is_instruction).count();
    copy.omitted += usize::from(declares_other_encoding(text));
    copy.element(root, 0)
        .map_err(|TooDeep| damaged(format!("its elements are nested more than {MAX_DEPTH} levels deep")))?;
    Ok((copy.omitted > 0).then_some(copy.out))
}

/// Tells whether the XML declaration names another encoding than the one that the text was read in.
fn declares_other_encoding(text: &str) -> bool {
    let declaration = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    let Some((declaration, _)) = declaration else { return false };
    let Some((_, encoding)) = declaration.split_once("encoding") else { return false };
    let encoding = encoding.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\''));
    !["utf-8", "us-ascii"].iter().any(|known| encoding.to_ascii_lowercase().starts_with(known))
}

struct TooDeep;

/// A drawing that is being copied.
struct Copy<'a> {
    out: String,
    /// That of the root.
    namespace: Option<&'a str>,
    /// Elements, attributes and instructions that were left out.
    omitted: usize,
}

impl Copy<'_> {
    fn element(&mut self, node: Node, depth: usize) -> Result<(), TooDeep> {
        if depth > MAX_DEPTH {
            return Err(TooDeep);
        }
        let name = node.tag_name().name();
        let is_of_svg = node.tag_name().namespace() == self.namespace;
        // A link is left out; what it leads from still draws.
        if is_of_svg && name == "a" {
            self.omitted += 1;
            return self.children(node, depth);
        }
        let is_unsafe_style = name == "style" && !is_safe_style(&text_of(node));
        if !is_of_svg || !ELEMENTS.contains(&name) || is_unsafe_style {
            self.omitted += 1;
            return Ok(());
        }
        self.out.push('<');
        self.out.push_str(name);
        if depth == 0 {
            let _to_memory = write!(self.out, " xmlns=\"{SVG}\" xmlns:xlink=\"{XLINK}\"");
        }
        for attribute in node.attributes() {
            self.attribute(name, attribute);
        }
        self.out.push('>');
        self.children(node, depth)?;
        let _to_memory = write!(self.out, "</{name}>");
        Ok(())
    }

    fn children(&mut self, node: Node, depth: usize) -> Result<(), TooDeep> {
        for child in node.children() {
            match child.node_type() {
                NodeType::Element => self.element(child, depth + 1)?,
                NodeType::Text => self.text(child.text().unwrap_or_default()),
                NodeType::Root | NodeType::PI | NodeType::Comment => {}
            }
        }
        Ok(())
    }

    fn attribute(&mut self, element: &str, attribute: Attribute) {
        let (name, value) = (attribute.name(), attribute.value());
        let prefix = match attribute.namespace() {
            None => "",
            Some(XLINK) if name == "href" => "xlink:",
            Some(XML) if matches!(name, "space" | "lang") => "xml:",
            // What editors note for themselves draws nothing.
            Some(_) => return self.omitted += 1,
        };
        let is_safe = match name.to_ascii_lowercase().as_str() {
            "href" => is_safe_reference(element, value),
            "style" => is_safe_style(value),
            "src" | "base" => false,
            name if name.starts_with("on") => false,
            _ => is_safe_value(value),
        };
        if !is_safe {
            return self.omitted += 1;
        }
        let _to_memory = write!(self.out, " {prefix}{name}=\"");
        self.text(value);
        self.out.push('"');
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '&' => self.out.push_str("&amp;"),
                '"' => self.out.push_str("&quot;"),
                '\n' | '\t' | '\r' => drop(write!(self.out, "&#{};", c as u32)),
                c => self.out.push(c),
            }
        }
    }
}

fn text_of(node: Node) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// Within the drawing, or a picture that is inside of it.
fn is_safe_reference(element: &str, value: &str) -> bool {
    let value = value.trim();
    let is_inline = || {
        let start = value.get(..40.min(value.len())).unwrap_or_default().to_ascii_lowercase();
        element == "image" && INLINE.iter().any(|inline| start.starts_with(inline))
    };
    value.starts_with('#') || is_inline()
}

/// A value that names nothing outside.
fn is_safe_value(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let names_inside = |reference: &str| {
        reference.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).starts_with('#')
    };
    !value.contains("script:") && value.split("url(").skip(1).all(names_inside)
}

/// A style sheet in which nothing is fetched, nothing is escaped, and there are no rules for anything but drawing.
fn is_safe_style(style: &str) -> bool {
    let lower = style.to_ascii_lowercase();
    let is_free = ["\\", "@", "//", "expression", "behavior", "binding", "image(", "image-set(", "src("]
        .iter()
        .all(|word| !lower.contains(word));
    is_free && is_safe_value(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(inside: &str) -> String {
        format!("<svg xmlns=\"{SVG}\" xmlns:xlink=\"{XLINK}\" viewBox=\"0 0 9 9\">{inside}</svg>")
    }

    #[test]
    fn a_drawing_without_harm_is_left_as_it_is() {
        for inside in [
            "<path d=\"M0 0h9\" style=\"fill:url(#g);stroke:red\"/><use xlink:href=\"#p\"/>",
            "<style>.a { fill: #fff }</style><image href=\"data:image/png;base64,AAAA\"/>",
            "<!-- by hand --><title>Ions &amp; more</title>",
        ] {
            assert_eq!(sanitize(&drawing(inside)).unwrap(), None, "{inside}");
        }
        assert_eq!(sanitize("<svg><g/></svg>").unwrap(), None, "without a namespace");
    }

    #[test]
    fn what_could_do_harm_is_left_out_and_the_rest_stays() {
        for harm in [
            "<script>alert(1)</script>",
            "<script xlink:href=\"http://x/a.js\"/>",
            "<foreignObject><body xmlns=\"http://www.w3.org/1999/xhtml\" onload=\"x()\"/></foreignObject>",
            "<g onload=\"x()\" ONCLICK=\"x()\"/>",
            "<image href=\"http://x/a.png\"/>",
            "<image xlink:href=\"file:///etc/passwd\"/>",
            "<image href=\"data:image/svg+xml;base64,AAAA\"/>",
            "<image href=\"data:text/html,x\"/>",
            "<use href=\"//x/a.svg#p\"/>",
            "<a href=\"javascript:x()\"><g/></a>",
            "<set attributeName=\"href\" to=\"javascript:x()\"/>",
            "<animate attributeName=\"xlink:href\" values=\"javascript:x()\"/>",
            "<rect fill=\"url(http://x/a.svg#g)\"/>",
            "<rect style=\"fill: URL( 'http://x' )\"/>",
            "<rect style=\"fill: u\\72l(http://x)\"/>",
            "<style>@import 'http://x/a.css';</style>",
            "<style>.a { background: url(//x) }</style>",
            "<feImage href=\"http://x\"/>",
            "<x:script xmlns:x=\"http://www.w3.org/2000/svg\">alert(1)</x:script>",
            "<h:iframe xmlns:h=\"http://www.w3.org/1999/xhtml\" src=\"http://x\"/>",
            "<g xml:base=\"http://x/\"/>",
            "<?xml-stylesheet href=\"http://x\"?>",
        ] {
            let text = drawing(&format!("{harm}<path id=\"stays\" d=\"M0 0\"/>"));
            let clean = sanitize(&text).unwrap().unwrap_or_else(|| panic!("{harm} was not noticed"));
            let lower = clean.to_lowercase();
            for word in ["script", "onload", "onclick", "http://x", "//x", "file:", "data:", "72l", "iframe"]
            {
                assert!(!lower.contains(word), "{word} is left of {harm}: {clean}");
            }
            assert!(clean.contains("id=\"stays\""), "{clean}");
            assert_eq!(sanitize(&clean).unwrap(), None, "what is clean stays as it is: {clean}");
        }
    }

    #[test]
    fn document_types_other_documents_and_depth_are_refused() {
        let bomb = "<!DOCTYPE svg [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><svg>&b;</svg>";
        assert!(matches!(sanitize(bomb), Err(Refusal::Malicious { .. })));
        assert!(matches!(sanitize("<!DOCTYPE svg><svg/>"), Err(Refusal::Malicious { .. })));
        assert!(matches!(sanitize("<html/>"), Err(Refusal::WrongType { .. })));
        assert!(matches!(sanitize("<svg xmlns=\"urn:x\"/>"), Err(Refusal::WrongType { .. })));
        assert!(matches!(sanitize("<svg><g>"), Err(Refusal::Damaged { .. })));
        let deep = |levels: usize| format!("<svg>{}{}</svg>", "<g>".repeat(levels), "</g>".repeat(levels));
        assert!(sanitize(&deep(200)).is_ok());
        assert!(matches!(sanitize(&deep(300)), Err(Refusal::Damaged { .. })));
        assert!(matches!(sanitize(&deep(190_000)), Err(Refusal::Damaged { .. })));
        assert!(matches!(sanitize(&deep(210_000)), Err(Refusal::Damaged { .. })));
    }

    #[test]
    fn what_is_copied_is_escaped_and_in_the_encoding_that_it_says() {
        let text =
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?><svg><text a='&quot;&#10;'>&lt;b&gt;</text></svg>";
        let clean = sanitize(text).unwrap().unwrap();
        assert!(clean.ends_with("<text a=\"&quot;&#10;\">&lt;b&gt;</text></svg>"), "{clean}");
        assert!(!clean.contains("UTF-7"));
    }
}
