//! Digests of everything that a result is made from: the names of spoken lines and clips in a cache.

use crate::encode::encoder::EncodeSettings;
use crate::encode::scene_video::{AnimationMaterial, Material};
use crate::layout;
use crate::speak::voice::{Pcm, Voice};
use reel_manim::frame_of;

/// A digest of everything that a result is made from. It includes [`crate::SOURCES`], so another build makes its own
/// results.
#[derive(Debug, Clone)]
pub struct Recipe(blake3::Hasher);

impl Recipe {
    /// Digests a spoken line.
    pub fn line(voice: &Voice, line: &str) -> Self {
        let mut recipe = Self::new("line with words");
        recipe.add(voice.to_string()).add(line);
        recipe
    }

    /// Digests a clip.
    pub fn clip(material: Material<'_>, settings: &EncodeSettings) -> Self {
        let Material { scene, source, timeline, narration, images } = material;
        let mut recipe = Self::new("clip");
        images.contents().for_each(|content| {
            recipe.add(content);
        });
        let motion = format!("{:?}{:?}", layout::motions(scene), scene.leave);
        recipe.add(source).add(format!("{timeline:?}{settings:?}")).add(motion);
        recipe.add(samples_of(narration));
        recipe
    }

    /// Digests a clip that shows an animation.
    pub fn animation(material: AnimationMaterial<'_>, settings: &EncodeSettings) -> Self {
        let AnimationMaterial { engine, animation, code, look, leave, timeline, narration } = material;
        let mut recipe = Self::new("animation");
        let frame = frame_of(animation, look, (settings.width, settings.height), settings.fps);
        recipe
            .add(engine.version())
            .add(code)
            .add(format!("{frame:?}{leave:?}{timeline:?}{settings:?}{look:?}"));
        recipe.add(samples_of(narration));
        recipe
    }

    /// Returns the digest in hex.
    pub fn digest(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    /// Starts the recipe of a kind of result; different kinds have different digests.
    fn new(kind: &str) -> Self {
        let mut recipe = Self(blake3::Hasher::new());
        recipe.add(kind).add(crate::SOURCES);
        recipe
    }

    /// Adds an ingredient with its length, which keeps ingredients apart.
    fn add(&mut self, ingredient: impl AsRef<[u8]>) -> &mut Self {
        let ingredient = ingredient.as_ref();
        self.0.update(&(ingredient.len() as u64).to_le_bytes()).update(ingredient);
        self
    }
}

fn samples_of(sound: &Pcm) -> Vec<u8> {
    sound.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingredients_are_kept_apart() {
        let digest = |ingredients: [&str; 2]| {
            let mut recipe = Recipe::new("k");
            for ingredient in ingredients {
                recipe.add(ingredient);
            }
            recipe.digest()
        };
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
    }

    #[test]
    fn a_line_has_a_digest_for_each_voice_and_text() {
        let digest =
            |tempo: f64, line: &str| Recipe::line(&Voice::default().with_tempo(tempo), line).digest();
        assert_eq!(digest(1.0, "a"), digest(1.0, "a"));
        assert_ne!(digest(1.0, "a"), digest(1.0, "b"));
        assert_ne!(digest(1.0, "a"), digest(1.1, "a"));
    }
}
