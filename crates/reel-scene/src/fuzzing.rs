//! Entry points of the fuzz targets in `fuzz/`. Each takes any bytes and panics when a property does not hold. Tests
//! replay every seed and every input that once failed.

use crate::description;

/// A scene description: an accepted one is unchanged after it is written and read again.
pub fn description(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(accepted) = description::read(text) {
        let written = serde_json::to_string(&accepted).expect("a description is JSON");
        assert_eq!(description::read(&written).as_ref(), Ok(&accepted));
        let written: Vec<String> = accepted
            .scenes
            .iter()
            .map(|scene| serde_json::to_string(scene).expect("a scene is JSON"))
            .collect();
        let scenes: Vec<&str> = written.iter().map(String::as_str).collect();
        if let Ok(read) = description::read_scenes(&scenes, &|_| Err("there are none".to_owned())) {
            assert_eq!(read, accepted.scenes);
        }
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_that_were_fuzzed_are_read() {
        replay::all("description", description);
    }
}
