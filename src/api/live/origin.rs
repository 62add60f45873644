//! From which pages a browser may open a socket.
//!
//! A browser lets any page open a WebSocket to any server, and says with `Origin` which page it was. A ticket or a token
//! is needed besides, so this only keeps pages out that were not meant to have one.

use salvo::http::header::{HOST, ORIGIN};
use salvo::prelude::Request;

/// Whether a socket may be opened: by what is no browser, by a page of this server, or by one of the `allowed` origins,
/// such as `https://app.example.com`.
pub fn is_allowed(req: &Request, allowed: &[String]) -> bool {
    let text = |name| req.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    match text(ORIGIN) {
        None => true,
        Some(origin) => {
            is_same(origin, text(HOST)) || allowed.iter().any(|known| known == origin || known == "*")
        }
    }
}

fn is_same(origin: &str, host: Option<&str>) -> bool {
    let own = origin.split_once("://").map(|(_, host)| host);
    own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origin: Option<&str>) -> Request {
        let mut req = Request::default();
        req.headers_mut().insert(HOST, "127.0.0.1:8080".parse().unwrap());
        if let Some(origin) = origin {
            req.headers_mut().insert(ORIGIN, origin.parse().unwrap());
        }
        req
    }

    #[test]
    fn own_pages_and_those_that_are_allowed_may_open_sockets() {
        let allowed = ["https://app.example.com".to_owned()];
        for origin in [None, Some("http://127.0.0.1:8080"), Some("https://app.example.com")] {
            assert!(is_allowed(&request(origin), &allowed), "{origin:?}");
        }
        for origin in
            ["https://evil.example", "https://app.example.com.evil.example", "null", "http://127.0.0.1", ""]
        {
            assert!(!is_allowed(&request(Some(origin)), &allowed), "{origin}");
        }
    }
}
