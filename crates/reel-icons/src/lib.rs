//! Icons: [Tabler's](https://tabler.io/icons) outlines (version 3.51.0, MIT, © Paweł Kuna, see `TABLER-LICENSE`), without
//! trademarks, letters and digits.
//!
//! [`icon`] returns an icon by its name, with its outlines in a box of 24 units. [`nearest`] helps with a misspelt name.
//! [`Chooser`] chooses icons for the phrases of a script by what they mean.
//!
//! The data lies compressed in the program (`data/icons.zz`, written by `scripts/icons`) and is read at the first use.

mod choice;
mod outline;
mod set;

pub use choice::{Choice, Chooser, choose};
pub use outline::{Outline, Point, Segment};
pub use set::{Icon, icon, names, nearest};

/// Width and height of the box that outlines are drawn in. A stroke is 2 units wide.
pub const BOX_UNITS: f64 = 24.0;
