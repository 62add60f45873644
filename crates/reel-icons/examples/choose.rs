//! Prints the icon of each sentence of a script: `cargo run -p reel-icons --example choose < script.md`

use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut script = String::new();
    std::io::stdin().read_to_string(&mut script)?;
    for line in script.lines() {
        for sentence in
            line.split_inclusive(['.', '!', '?']).map(str::trim).filter(|sentence| sentence.len() > 2)
        {
            match reel_icons::choose(sentence, &script) {
                Some(choice) => println!("{:24} {:.2}  {sentence}", choice.name, choice.score),
                None => println!("{:24}       {sentence}", "-"),
            }
        }
    }
    Ok(())
}
