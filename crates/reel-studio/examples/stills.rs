//! Writes a picture of each scene's end: `cargo run -p reel-studio --example stills -- SCRIPT-OR-DESCRIPTION FOLDER`.

use std::error::Error;
use std::path::Path;

use reel_planner::{Request, plan};
use reel_scene::description::{self, Description, VERSION};
use reel_scene::look::Look;
use reel_studio::layout::images::Images;
use reel_studio::layout::{self, Pages};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder] = &arguments[..] else { return Err("usage: stills FILE FOLDER".into()) };
    let (file, folder) = (Path::new(file), Path::new(folder));
    let text = std::fs::read_to_string(file)?;
    let description = if file.extension().is_some_and(|extension| extension == "json") {
        description::read(&text).map_err(|faults| format!("{faults:?}"))?
    } else {
        planned(&text)?
    };
    let images =
        Images::read(&description.scenes, &description.look, file.parent().unwrap_or(Path::new(".")))?;
    std::fs::create_dir_all(folder)?;
    let (width, height) = description.look.aspect.dimensions((1920, 1080));
    for (number, scene) in description.scenes.iter().enumerate() {
        let pages = Pages::compile(&layout::source(scene, &description.look), &images)?;
        let last = pages.rasterize(pages.count() - 1, width, height)?;
        let (width, height) = (last.width as u32, last.height as u32);
        let picture = image::RgbaImage::from_raw(width, height, last.rgba).ok_or("a page of another size")?;
        picture.save(folder.join(format!("{:02}.png", number + 1)))?;
    }
    Ok(())
}

fn planned(script: &str) -> Result<Description, Box<dyn Error>> {
    let plan =
        plan(&Request { topic: "", context: None, script: Some(script), title: None, duration_ms: None })?;
    Ok(Description { version: VERSION, title: plan.title, look: Look::default(), scenes: plan.scenes })
}
