//! Mermaid's `gitGraph`.

use super::text::{label, take_name};
use super::{Commit, Commits, MAX_ROWS};

/// Most branches, one lane each.
const MAX_BRANCHES: usize = 8;

pub(super) fn read(lines: &[&str]) -> Option<Commits> {
    let mut git = Commits { branches: vec!["main".to_owned()], commits: vec![] };
    let mut at = 0_usize;
    // The last commit of each branch.
    let mut tips: Vec<Option<usize>> = vec![None];
    for line in lines {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (name, _) = take_name(rest, &[]);
        match word {
            "commit" => commit(&mut git, &mut tips, at, rest, None)?,
            "branch" => {
                if git.branches.len() >= MAX_BRANCHES || git.branches.iter().any(|known| known == name) {
                    return None;
                }
                git.branches.push(label(name)?);
                tips.push(tips[at]);
                at = git.branches.len() - 1;
            }
            "checkout" | "switch" => at = git.branches.iter().position(|known| known == name)?,
            "merge" => {
                let merged = git.branches.iter().position(|known| known == name)?;
                let tip = tips[merged];
                commit(&mut git, &mut tips, at, rest, tip)?;
            }
            "cherry-pick" => {
                let id = attribute(rest, "id:").unwrap_or_default();
                let source = git.commits.iter().position(|commit| commit.label == id);
                commit(&mut git, &mut tips, at, "", source)?;
            }
            _ => return None,
        }
    }
    Some(git)
}

fn commit(
    git: &mut Commits,
    tips: &mut [Option<usize>],
    branch: usize,
    text: &str,
    merged: Option<usize>,
) -> Option<()> {
    if git.commits.len() >= MAX_ROWS {
        return None;
    }
    let words = attribute(text, "id:").or_else(|| attribute(text, "msg:")).unwrap_or_default();
    let tag = attribute(text, "tag:").unwrap_or_default();
    let parents = tips[branch].into_iter().chain(merged).collect();
    git.commits.push(Commit { branch, parents, label: label(words)?, tag: label(tag)? });
    tips[branch] = Some(git.commits.len() - 1);
    Some(())
}

/// Returns the quoted value behind a name.
fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(name)?;
    after.trim_start().strip_prefix('"')?.split_once('"').map(|(value, _)| value)
}
