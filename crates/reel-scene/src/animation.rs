//! Animations that Manim draws: code of a scene, or a template with its parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Number, Shape};

/// An animation that Manim draws. Functions are written as in a `plot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "template", rename_all = "snake_case", deny_unknown_fields)]
pub enum Animation {
    /// Python code with a class that is a Manim `Scene`. It runs confined, without files and without LaTeX.
    Code { code: String },
    /// Graphs of functions of x. A point moves along the first one.
    FunctionPlot {
        functions: Vec<String>,
        /// Smallest and largest x.
        range: [Number; 2],
    },
    /// Shapes that are drawn one after the other, in their own coordinates.
    Construction { shapes: Vec<Shape> },
    /// The surface z = f(x, y), around which the camera moves.
    Surface { function: String, x_range: [Number; 2], y_range: [Number; 2] },
    /// A field of arrows, and points that drift along it.
    VectorField {
        /// Functions of x and y: the parts of the vector to the right and upwards.
        components: [String; 2],
        x_range: [Number; 2],
        y_range: [Number; 2],
    },
    /// The plane under a linear map.
    MatrixTransformation {
        /// The rows of the matrix.
        matrix: [[Number; 2]; 2],
    },
    /// Lines of plain text, such as `x² = 4`, each of which grows out of the one before.
    Derivation { lines: Vec<String> },
}

impl Animation {
    /// Returns the template's name; `code` for code.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Code { .. } => "code",
            Self::FunctionPlot { .. } => "function_plot",
            Self::Construction { .. } => "construction",
            Self::Surface { .. } => "surface",
            Self::VectorField { .. } => "vector_field",
            Self::MatrixTransformation { .. } => "matrix_transformation",
            Self::Derivation { .. } => "derivation",
        }
    }
}
