//! The lengths of a page.

use reel_scene::look::Aspect;

/// Free height above a logo, in points.
pub(super) const ABOVE_LOGO: f64 = 40.0;

/// The lengths of a page, in points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub width: f64,
    pub height: f64,
    pub margin: f64,
    pub(super) title_top: f64,
    pub(super) title_height: f64,
    /// Free height below the content.
    pub(super) foot: f64,
    pub(super) chart_height: f64,
}

impl Page {
    pub fn for_aspect(aspect: Aspect) -> Self {
        match aspect {
            Aspect::Wide => Self {
                width: 1920.0,
                height: 1080.0,
                margin: 130.0,
                title_top: 76.0,
                title_height: 112.0,
                foot: 84.0,
                chart_height: 470.0,
            },
            Aspect::Tall => Self {
                width: 1080.0,
                height: 1920.0,
                margin: 84.0,
                title_top: 150.0,
                title_height: 200.0,
                foot: 200.0,
                chart_height: 620.0,
            },
            Aspect::Square => Self {
                width: 1080.0,
                height: 1080.0,
                margin: 76.0,
                title_top: 64.0,
                title_height: 130.0,
                foot: 70.0,
                chart_height: 430.0,
            },
        }
    }

    pub(super) fn content_top(self) -> f64 {
        self.title_top + self.title_height + 24.0 + 9.0 + 44.0
    }
}
