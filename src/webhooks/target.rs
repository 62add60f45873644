//! Where a message may go. A server that sends what users ask for must not be made to talk to its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

pub const MAX_URL_CHARACTERS: usize = 2000;

/// Names that stand for this machine or its network, with all names below them.
const PRIVATE_NAMES: [&str; 6] = ["localhost", "local", "internal", "home.arpa", "lan", "localdomain"];

/// Why a text is no address of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("has more than {MAX_URL_CHARACTERS} characters")]
    TooLong,
    #[error("must be an absolute http or https URL, such as https://app.example.com/hooks")]
    NotUrl,
    #[error("must not hold a user name or a password; the signature says who sends")]
    Credentials,
    #[error("must not name a private, loopback or link-local address")]
    Private,
}

impl Unfit {
    /// Stable, for programs.
    pub fn kind(self) -> &'static str {
        match self {
            Unfit::TooLong => "too_long",
            Unfit::NotUrl => "not_a_url",
            Unfit::Credentials => "not_allowed",
            Unfit::Private => "private_address",
        }
    }
}

/// Reads the URL of a receiver; whether it may be asked is another question ([`TargetPolicy`]).
pub fn parse(text: &str) -> Result<Url, Unfit> {
    if text.chars().count() > MAX_URL_CHARACTERS {
        return Err(Unfit::TooLong);
    }
    // The URL standard drops tabs and line breaks; nobody means them.
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(Unfit::NotUrl);
    }
    let url = Url::parse(text).map_err(|_| Unfit::NotUrl)?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(Unfit::NotUrl);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Unfit::Credentials);
    }
    Ok(url)
}

/// Which addresses messages may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetPolicy {
    /// Whether receivers on this machine and in its network may be asked.
    pub allows_private: bool,
}

impl TargetPolicy {
    /// Looks at what the URL itself says. What a name resolves to is checked when it is resolved.
    pub fn check(self, url: &Url) -> Result<(), Unfit> {
        let is_public = match url.host() {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            Some(Host::Domain(name)) => !is_private_name(name),
            None => false,
        };
        if is_public || self.allows_private { Ok(()) } else { Err(Unfit::Private) }
    }

    pub fn allows(self, address: IpAddr) -> bool {
        self.allows_private || is_public(address)
    }
}

fn is_private_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A name without a dot is looked up in the local domain.
    let is_below = |private: &str| name == private || name.ends_with(&format!(".{private}"));
    !name.contains('.') || PRIVATE_NAMES.into_iter().any(is_below)
}

/// Whether an address belongs to the public internet (IANA's special-purpose registries, RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    );
    !is_special
}

/// Of 2000::/3, which is all that is given out, without what stands for another address (6to4, Teredo) or for examples.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global = first & 0xe000 == 0x2000;
    let is_special =
        matches!((first, second), (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff));
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_ONLY: TargetPolicy = TargetPolicy { allows_private: false };

    fn check(text: &str) -> Result<(), Unfit> {
        PUBLIC_ONLY.check(&parse(text)?)
    }

    #[test]
    fn public_receivers_are_fit() {
        for url in [
            "https://app.example.com/hooks?job=1",
            "http://8.8.8.8:8080/",
            "https://[2606:4700::1111]/",
            "HTTPS://EXAMPLE.COM",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    /// However an address is written: the URL standard knows decimal, hexadecimal, octal and short forms.
    #[test]
    fn private_receivers_are_not() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "10.255.255.255",
            "0xa000001",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "2852039166",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[2001:db8::1]",
            "[::127.0.0.1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "redis",
            "１２７.0.0.1",
            "127。0。0。1",
            "ⓛocalhost",
        ] {
            for url in [format!("http://{host}/"), format!("https://{host}:8443/x")] {
                assert_eq!(check(&url), Err(Unfit::Private), "{url}");
                assert!(
                    parse(&url).is_ok_and(|url| TargetPolicy { allows_private: true }.check(&url).is_ok())
                );
            }
        }
    }

    #[test]
    fn what_is_no_address_of_a_receiver_is_told_from_what_is() {
        let too_long = format!("https://example.com/{}", "x".repeat(MAX_URL_CHARACTERS));
        for (url, expected) in [
            ("", Unfit::NotUrl),
            ("example.com/hooks", Unfit::NotUrl),
            ("/hooks", Unfit::NotUrl),
            ("ftp://example.com", Unfit::NotUrl),
            ("file:///etc/passwd", Unfit::NotUrl),
            ("gopher://example.com", Unfit::NotUrl),
            ("javascript:alert(1)", Unfit::NotUrl),
            ("https://", Unfit::NotUrl),
            ("https://exa mple.com", Unfit::NotUrl),
            ("https://exa\nmple.com", Unfit::NotUrl),
            ("https://example.com/\0", Unfit::NotUrl),
            ("https://example.com:99999/", Unfit::NotUrl),
            ("https://user@example.com/", Unfit::Credentials),
            ("https://:secret@example.com/", Unfit::Credentials),
            (&too_long, Unfit::TooLong),
        ] {
            assert_eq!(parse(url), Err(expected), "{url}");
        }
    }
}
