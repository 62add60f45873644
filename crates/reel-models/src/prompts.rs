//! The instructions, one file for each version.
//!
//! They hold no word of a user: what users and models wrote goes beside them, as values of a JSON document. A change of what a
//! prompt asks for is a new file with the next number, so that it can be told which one led to a plan.

/// Asks for an outline.
pub const OUTLINE: &str = include_str!("../prompts/outline.v2.md");
/// Asks for a correction of an animation's code.
pub const ANIMATION: &str = include_str!("../prompts/animation.v2.md");
/// Asks for the queries of a search before a plan.
pub const QUERIES: &str = include_str!("../prompts/queries.v1.md");
/// Asks for a look at the picture of a scene.
pub const REVIEW: &str = include_str!("../prompts/review.v1.md");
/// Asks for the description of a scene.
pub const SCENE: &str = include_str!("../prompts/scene.v3.md");
