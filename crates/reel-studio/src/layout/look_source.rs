//! Writes the look of a video as Typst source: colours, fonts, lengths.

use reel_scene::look::{Aspect, Colour, Look, MIN_CONTRAST, Style};

use super::literal::literal;
use super::page_geometry::{ABOVE_LOGO, Page};

/// Characters that are shown in colours, whatever other font has them: emoji, and signs that are mostly written as one. In all
/// else the font of emoji comes last, since it has digits, too.
const EMOJI: &str = r#"(name: "Noto Color Emoji", covers: regex("[\\p{Emoji_Presentation}\\u{2600}-\\u{2604}\\u{2639}\\u{263A}\\u{26A0}\\u{2708}\\u{2764}\\u{FE0F}]")), "#;

/// Fonts for characters that the theme's own font lacks: Greek, Cyrillic and Arabic, East Asian scripts, symbols, emoji.
const FALLBACK_FONTS: [&str; 5] =
    ["Inter", "DejaVu Sans", "Noto Sans CJK SC", "Libertinus Serif", "Noto Color Emoji"];

/// Returns `true` for a text with emoji. Only then their font comes first: each font that is tried takes time.
pub(super) fn has_emoji(text: &str) -> bool {
    text.contains(|c| matches!(c, '\u{fe0f}' | '\u{231a}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}'))
}

/// Writes the colours, fonts and lengths of a look as entries of a dictionary. `drawings` scales charts and figures.
pub(super) fn look_source(look: &Look, drawings: f64, has_emoji: bool) -> String {
    let style = look.style();
    let mut text = String::new();
    let mut entry = |name: &str, value: String| text.push_str(&format!("  {name}: {value},\n"));
    for (name, colour) in [
        ("background", style.background),
        ("ink", style.ink),
        ("muted", style.muted),
        ("accent", style.accent),
        ("on-accent", style.on_accent),
        ("second", style.second),
        ("on-second", style.on_second),
        ("third", style.third),
        ("panel", style.panel),
        ("soft", style.soft),
        ("ground", style.ground),
        ("rule", style.rule),
    ] {
        entry(name, format!("rgb({})", literal(&String::from(colour))));
    }
    let first = if has_emoji { EMOJI } else { "" };
    let fonts = |own: &str| {
        let mut names: Vec<&str> = vec![own];
        names.extend(FALLBACK_FONTS.into_iter().filter(|name| *name != own));
        names.iter().fold(first.to_owned(), |fonts, name| fonts + &literal(name) + ", ")
    };
    entry("heading", format!("({})", fonts(&style.heading_font)));
    entry("body", format!("({})", fonts(&style.body_font)));
    entry("mono", "(\"DejaVu Sans Mono\", \"Noto Sans CJK SC\", \"Noto Color Emoji\")".to_owned());
    entry("code-theme", format!("bytes({})", literal(&code_colours(&style))));
    entry("card", literal(style.card));
    entry("motif", literal(style.motif));
    entry("round", u8::from(style.round).to_string());
    entry("hand-drawn", style.hand_drawn.to_string());
    entry("logo", look.logo.as_deref().map_or("none".to_owned(), literal));
    let page = Page::for_aspect(look.aspect);
    let foot = page.foot + if look.logo.is_some() { ABOVE_LOGO } else { 0.0 };
    entry("wide", (look.aspect == Aspect::Wide).to_string());
    for (name, points) in [
        ("width", page.width),
        ("height", page.height),
        ("margin", page.margin),
        ("content-width", page.width - 2.0 * page.margin),
        ("title-top", page.title_top),
        ("title-height", page.title_height),
        ("content-top", page.content_top()),
        ("content-height", page.height - page.content_top() - foot),
        ("chart-height", page.chart_height * drawings),
        ("figure-height", page.chart_height * 1.15 * drawings),
        ("least-code", if look.aspect == Aspect::Wide { 28.0 } else { 30.0 }),
    ] {
        entry(name, format!("{points}pt"));
    }
    text
}

/// Shares of ink that are mixed into a colour, in turn, until it can be read.
const INK_STEPS: u8 = 20;

/// Returns the colour, mixed with just enough ink to be readable in a listing: on its panel, and on highlighted lines.
fn readable_in_listings(colour: Colour, style: &Style) -> Colour {
    let mixed = |step: u8| {
        let share = f64::from(step) / f64::from(INK_STEPS);
        let mut channels = colour.0;
        for (channel, ink) in channels.iter_mut().zip(style.ink.0) {
            *channel = (f64::from(*channel) * (1.0 - share) + f64::from(ink) * share).round() as u8;
        }
        Colour(channels)
    };
    let is_readable = |colour: &Colour| {
        [style.panel, style.soft].iter().all(|ground| colour.contrast(*ground) >= MIN_CONTRAST)
    };
    (0..=INK_STEPS).map(mixed).find(is_readable).unwrap_or(style.ink)
}

/// Writes the colours of code as a TextMate theme.
fn code_colours(style: &Style) -> String {
    let scope = |scopes: &str, colour: Colour| {
        let colour = String::from(readable_in_listings(colour, style));
        format!(
            "<dict><key>scope</key><string>{scopes}</string><key>settings</key><dict>\
             <key>foreground</key><string>{colour}</string></dict></dict>"
        )
    };
    let ink = String::from(style.ink);
    let ground = String::from(style.panel);
    [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>name</key><string>look</string>\
         <key>settings</key><array>",
        &format!(
            "<dict><key>settings</key><dict><key>foreground</key><string>{ink}</string>\
             <key>background</key><string>{ground}</string></dict></dict>"
        ),
        &scope("comment", style.muted),
        &scope("string, constant.character", style.third),
        &scope("constant.numeric, constant.language, entity.name.type, support.type, storage.type", style.second),
        &scope("keyword, storage.modifier, storage.type.function, keyword.control", style.accent),
        "</array></dict></plist>",
    ]
    .concat()
}
