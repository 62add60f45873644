//! `reel token`: a session token of the issuer that `reel dev` runs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{demo, say};
use crate::dev::{KEPT_ISSUER, TokenSigner};

const ROLES: [&str; 4] = ["user", "analyst", "auditor", "admin"];
/// The data folder of `reel dev` as README.md starts it.
const DEFAULT_DATA: &str = ".reel/dev";
const MAX_DAYS: u64 = 365;
const MAX_USER_CHARACTERS: usize = 200;

#[derive(Args)]
#[command(after_help = "Example:
  . .reel/dev/env
  curl -H \"Authorization: Bearer $(reel token --user admin_1 --role admin)\" $REEL_API_URL/api/v1/system/jobs")]
pub struct Token {
    /// Whom the token stands for
    #[arg(long, value_name = "ID", value_parser = parse_user)]
    user: String,
    /// What they may do
    #[arg(long, default_value = "user", value_parser = PossibleValuesParser::new(ROLES))]
    role: String,
    /// How long it is valid, from now: a whole number with s, m, h or d, at most 365d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    expires: Duration,
    /// The data folder of `reel dev`; its env file sets REEL_DATA
    #[arg(long, value_name = "DIR", env = "REEL_DATA", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

/// Prints the token, and nothing else.
pub fn token(arguments: &Token) -> anyhow::Result<()> {
    let signer = signer(&arguments.data)?;
    say(signer.sign(&signer.claims(&arguments.user, &arguments.role, arguments.expires))?)
}

fn signer(data: &Path) -> anyhow::Result<TokenSigner> {
    let path = data.join(demo::ISSUER_KEY);
    let pem = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "{} has no issuer key; start `reel dev` first, then load the env file that it names, or give its \
             folder with --data",
            data.display()
        ),
        _ => anyhow::Error::from(error).context(format!("cannot read {}", path.display())),
    })?;
    TokenSigner::new(KEPT_ISSUER, &pem).with_context(|| format!("cannot use {}", path.display()))
}

fn parse_user(text: &str) -> Result<String, String> {
    let is_fit = (1..=MAX_USER_CHARACTERS).contains(&text.chars().count());
    match is_fit && !text.contains(char::is_control) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("expected 1 to {MAX_USER_CHARACTERS} characters, none of them a control character"))
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("expected a whole number with s, m, h or d, such as 90s or 1h, from 1s to {MAX_DAYS}d");
    let (at, unit) = text.char_indices().last().ok_or_else(expected)?;
    let unit_seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(expected()),
    };
    let is_number = text[..at].bytes().all(|byte| byte.is_ascii_digit());
    let number = text[..at].parse::<u64>().ok().filter(|_| is_number).ok_or_else(expected)?;
    let seconds = number.checked_mul(unit_seconds).ok_or_else(expected)?;
    match (1..=MAX_DAYS * 24 * 3600).contains(&seconds) {
        true => Ok(Duration::from_secs(seconds)),
        false => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("365d", 365 * 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in
            ["", "1", "h", "0s", "-1h", "+1h", "1.5h", "1 h", "366d", "1w", "1é", "99999999999999999999d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn users_are_short_texts() {
        assert!(parse_user("user_1").is_ok() && parse_user("é").is_ok());
        for text in ["", "a\0", "a\nb", &"a".repeat(MAX_USER_CHARACTERS + 1)] {
            assert!(parse_user(text).is_err());
        }
    }
}
