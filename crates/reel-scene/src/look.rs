//! The look of a video: its theme, aspect ratio, and brand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lowest contrast of text: WCAG 2.1, success criterion 1.4.3, level AA.
pub const MIN_CONTRAST: f64 = 4.5;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Look {
    pub theme: Theme,
    pub aspect: Aspect,
    /// Overrides the theme's accent colour. Darkened or lightened until text in it is readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accent: Option<Colour>,
    /// Overrides the theme's background colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Colour>,
    /// A font family; the theme's own is used where it is not installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub font: Option<String>,
    /// A PNG or JPEG beside the description, shown in the corner of every page, and larger on cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// Dark ink on warm paper, blue.
    #[default]
    Paper,
    /// Light on deep blue.
    Midnight,
    /// Chalk on a green board, in a serif.
    Chalkboard,
    /// Warm cream, terracotta and teal.
    Sunrise,
    /// Black on white, and red.
    Gallery,
    /// Light green and deep green.
    Meadow,
    /// Light on deep purple.
    Plum,
    /// Markers on a white board: one pen draws and writes everything, by hand.
    Whiteboard,
}

/// The aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Aspect {
    #[default]
    #[serde(rename = "16:9")]
    Wide,
    #[serde(rename = "9:16")]
    Tall,
    #[serde(rename = "1:1")]
    Square,
}

/// A colour as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^#[0-9a-fA-F]{6}$"))]
pub struct Colour(pub [u8; 3]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no colour, expected `#` and six hexadecimal digits, such as `#1f5fd0`")]
pub struct InvalidColour(String);

impl TryFrom<String> for Colour {
    type Error = InvalidColour;

    fn try_from(text: String) -> Result<Self, InvalidColour> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii());
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, r, g, b] = value.ok_or(InvalidColour(text))?.to_be_bytes();
        Ok(Self([r, g, b]))
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        let [r, g, b] = colour.0;
        format!("#{r:02x}{g:02x}{b:02x}")
    }
}

impl Colour {
    const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([255; 3]);

    /// Returns the relative luminance (WCAG 2.1).
    fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|channel| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Returns the contrast ratio (WCAG 2.1), from 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Mixes two colours: `self` at 0, `other` at 1.
    fn mix(self, other: Self, share: f64) -> Self {
        let mut mixed = self.0;
        for (channel, to) in mixed.iter_mut().zip(other.0) {
            *channel = (f64::from(*channel) * (1.0 - share) + f64::from(to) * share).round() as u8;
        }
        Self(mixed)
    }

    /// Returns black or white, whichever contrasts more.
    fn text_on(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// Darkens or lightens the colour just enough to make it readable on all of `grounds`.
    fn readable_on(self, grounds: &[Self]) -> Self {
        let to = grounds.first().map_or(Self::BLACK, |ground| ground.text_on());
        let readable = |colour: &Self| grounds.iter().all(|ground| colour.contrast(*ground) >= MIN_CONTRAST);
        (0..=20).map(|step| self.mix(to, f64::from(step) / 20.0)).find(readable).unwrap_or(to)
    }
}

/// The complete colours and fonts of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    pub background: Colour,
    pub ink: Colour,
    pub muted: Colour,
    pub accent: Colour,
    pub on_accent: Colour,
    pub second: Colour,
    pub on_second: Colour,
    pub third: Colour,
    /// Background of code.
    pub panel: Colour,
    /// Background of marked text.
    pub soft: Colour,
    /// Colour of the motif.
    pub ground: Colour,
    /// Colour of thin lines.
    pub rule: Colour,
    pub heading_font: String,
    pub body_font: String,
    /// Decoration in the background: `disc`, `discs`, `hill`, `line` or `none`.
    pub motif: &'static str,
    /// Frame of a title card: `edge`, `foot` or `frame`.
    pub card: &'static str,
    /// Set when corners are round.
    pub round: bool,
    /// Set when lines are drawn by hand, and text is written.
    pub hand_drawn: bool,
}

struct Palette {
    background: [u8; 3],
    ink: [u8; 3],
    accent: [u8; 3],
    second: [u8; 3],
    third: [u8; 3],
    heading_font: &'static str,
    body_font: &'static str,
    motif: &'static str,
    card: &'static str,
    round: bool,
    hand_drawn: bool,
}

impl Theme {
    pub const ALL: [Theme; 8] = [
        Theme::Paper,
        Theme::Midnight,
        Theme::Chalkboard,
        Theme::Sunrise,
        Theme::Gallery,
        Theme::Meadow,
        Theme::Plum,
        Theme::Whiteboard,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Midnight => "midnight",
            Self::Chalkboard => "chalkboard",
            Self::Sunrise => "sunrise",
            Self::Gallery => "gallery",
            Self::Meadow => "meadow",
            Self::Plum => "plum",
            Self::Whiteboard => "whiteboard",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }

    fn palette(self) -> Palette {
        let (sans, serif, hand) = ("Inter", "Libertinus Serif", "Comic Neue");
        let paper = Palette {
            background: [0xfb, 0xfa, 0xf7],
            ink: [0x1b, 0x24, 0x30],
            accent: [0x1f, 0x5f, 0xd0],
            second: [0xb4, 0x4a, 0x0c],
            third: [0x1b, 0x7f, 0x6b],
            heading_font: sans,
            body_font: sans,
            motif: "disc",
            card: "edge",
            round: true,
            hand_drawn: false,
        };
        match self {
            Self::Paper => paper,
            Self::Midnight => Palette {
                background: [0x0e, 0x16, 0x28],
                ink: [0xee, 0xf2, 0xfb],
                accent: [0x6e, 0xa8, 0xff],
                second: [0xff, 0xb4, 0x54],
                third: [0x5f, 0xd6, 0xb4],
                motif: "discs",
                card: "frame",
                ..paper
            },
            Self::Chalkboard => Palette {
                background: [0x1d, 0x33, 0x2b],
                ink: [0xf4, 0xf1, 0xe6],
                accent: [0xf2, 0xc1, 0x4e],
                second: [0x8f, 0xd3, 0xe8],
                third: [0xf2, 0x9c, 0x86],
                heading_font: serif,
                body_font: serif,
                motif: "line",
                card: "frame",
                round: false,
                ..paper
            },
            Self::Sunrise => Palette {
                background: [0xff, 0xf6, 0xea],
                ink: [0x3a, 0x23, 0x17],
                accent: [0xb8, 0x3f, 0x18],
                second: [0x0f, 0x6e, 0x66],
                third: [0x8a, 0x5a, 0x00],
                motif: "hill",
                card: "foot",
                ..paper
            },
            Self::Gallery => Palette {
                background: [0xff, 0xff, 0xff],
                ink: [0x10, 0x10, 0x10],
                accent: [0xc8, 0x10, 0x2e],
                second: [0x20, 0x20, 0x20],
                third: [0x5a, 0x5a, 0x5a],
                heading_font: serif,
                motif: "line",
                card: "edge",
                round: false,
                ..paper
            },
            Self::Meadow => Palette {
                background: [0xf2, 0xf7, 0xef],
                ink: [0x15, 0x2e, 0x1d],
                accent: [0x1c, 0x74, 0x3a],
                second: [0x8a, 0x4b, 0x10],
                third: [0x2b, 0x5f, 0x9e],
                motif: "hill",
                card: "foot",
                ..paper
            },
            Self::Plum => Palette {
                background: [0x1e, 0x12, 0x32],
                ink: [0xf7, 0xef, 0xfd],
                accent: [0xd9, 0x8c, 0xff],
                second: [0x5e, 0xea, 0xd4],
                third: [0xff, 0xb3, 0x8a],
                motif: "discs",
                card: "frame",
                ..paper
            },
            Self::Whiteboard => Palette {
                background: [0xff, 0xff, 0xff],
                ink: [0x22, 0x26, 0x2b],
                accent: [0x1b, 0x57, 0xc4],
                second: [0xc0, 0x2b, 0x20],
                third: [0x15, 0x7a, 0x42],
                heading_font: hand,
                body_font: hand,
                motif: "none",
                card: "frame",
                hand_drawn: true,
                ..paper
            },
        }
    }
}

impl Look {
    /// Returns the colours and fonts. Text is readable on every background.
    pub fn style(&self) -> Style {
        let palette = self.theme.palette();
        let background = self.background.unwrap_or(Colour(palette.background));
        let ink = Colour(palette.ink).readable_on(&[background]);
        let panel = background.mix(ink, 0.06);
        let grounds = [background, panel];
        let accent = self.accent.unwrap_or(Colour(palette.accent)).readable_on(&grounds);
        let second = Colour(palette.second).readable_on(&grounds);
        let font = |own: &str| self.font.clone().unwrap_or_else(|| own.to_owned());
        Style {
            background,
            ink,
            muted: ink.mix(background, 0.35).readable_on(&grounds),
            accent,
            on_accent: accent.text_on(),
            second,
            on_second: second.text_on(),
            third: Colour(palette.third).readable_on(&grounds),
            panel,
            soft: background.mix(accent, 0.16),
            ground: background.mix(accent, 0.05),
            rule: background.mix(ink, 0.17),
            heading_font: font(palette.heading_font),
            body_font: font(palette.body_font),
            motif: palette.motif,
            card: palette.card,
            round: palette.round,
            hand_drawn: palette.hand_drawn,
        }
    }
}

impl Aspect {
    pub const ALL: [Aspect; 3] = [Aspect::Wide, Aspect::Tall, Aspect::Square];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Wide => "16:9",
            Self::Tall => "9:16",
            Self::Square => "1:1",
        }
    }

    /// Returns the picture's size in pixels, for a quality of `width` by `height` at 16:9.
    pub fn dimensions(self, (width, height): (u32, u32)) -> (u32, u32) {
        match self {
            Self::Wide => (width, height),
            Self::Tall => (height, width),
            Self::Square => (height, height),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks() -> impl Iterator<Item = Look> {
        let brands = ["#ffff00", "#000000", "#ffffff", "#7f7f7f", "#e01090"];
        let colours = brands.map(|text| Colour::try_from(text.to_owned()).unwrap());
        let choices: Vec<Option<Colour>> = colours.into_iter().map(Some).chain([None]).collect();
        Theme::ALL.into_iter().flat_map(move |theme| {
            let choices = choices.clone();
            choices.clone().into_iter().flat_map(move |accent| {
                choices.clone().into_iter().map(move |background| Look {
                    theme,
                    accent,
                    background,
                    ..Look::default()
                })
            })
        })
    }

    #[test]
    fn text_can_be_read_in_every_theme_and_with_every_brand() {
        for look in looks() {
            let style = look.style();
            let pairs = [
                ("ink", style.ink, style.background),
                ("muted", style.muted, style.background),
                ("accent", style.accent, style.background),
                ("ink on a panel", style.ink, style.panel),
                ("accent on a panel", style.accent, style.panel),
                ("on the accent", style.on_accent, style.accent),
                ("on the second", style.on_second, style.second),
                ("ink on what is marked", style.ink, style.soft),
                ("ink on the motif", style.ink, style.ground),
            ];
            for (name, text, ground) in pairs {
                let contrast = text.contrast(ground);
                // A middle grey allows no text of two shades of ground; what stands on a panel is large.
                let least = if look.background.is_some() { 3.0 } else { MIN_CONTRAST };
                assert!(contrast >= least, "{name} in {look:?}: {contrast}");
            }
        }
    }

    #[test]
    fn contrast_is_as_defined() {
        assert_eq!(Colour::BLACK.contrast(Colour::WHITE).round(), 21.0);
        assert_eq!(Colour::WHITE.contrast(Colour::WHITE), 1.0);
        assert!((Colour([0x77; 3]).contrast(Colour::WHITE) - 4.48).abs() < 0.01);
    }

    #[test]
    fn colours_are_six_digits() {
        assert_eq!(Colour::try_from("#1F5fd0".to_owned()), Ok(Colour([0x1f, 0x5f, 0xd0])));
        for text in ["1f5fd0", "#1f5fd", "#1f5fd00", "#1f5fdg", "#é1f5f", "red", ""] {
            let error = Colour::try_from(text.to_owned()).unwrap_err().to_string();
            assert!(error.contains("expected `#` and six"), "{error}");
        }
    }
}
