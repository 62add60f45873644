//! Prints how a script is divided over pages, and why: `cargo run -p reel-planner --example plan -- SCRIPT`.

use std::error::Error;

use reel_planner::{Request, plan};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: plan SCRIPT")?;
    let script = std::fs::read_to_string(&file)?;
    let plan =
        plan(&Request { topic: "", context: None, script: Some(&script), title: None, duration_ms: None })?;
    println!("{}\n", plan.title);
    for reason in &plan.reasons {
        let scene = &plan.scenes[reason.scene];
        println!("{:2} {} — {}: {}", reason.scene, scene.title, reason.composition, reason.why);
        for step in &scene.steps {
            println!("      {}", step.narration);
        }
        println!("      rejected: {:?}", reason.rejected);
    }
    Ok(())
}
