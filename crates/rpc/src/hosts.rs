//! By which names the node may be called, and from which sites.
//!
//! A web page can have its own name point at the node's address (DNS rebinding): the browser then
//! sends the page's calls here. What it cannot change is the `Host` header, and the `Origin` header
//! of a WebSocket.

use crate::guard::{GuardLayer, Refused};
use http::{
    HeaderMap, StatusCode, Uri,
    header::{HOST, ORIGIN, UPGRADE},
};
use std::{net::IpAddr, sync::Arc};

/// Allows any name.
pub(crate) const ANY: &str = "*";
/// The sites whose pages may open a WebSocket where none is named: those of this machine, at any
/// port. Browsers do not let other pages say that they are from there.
const LOCAL_SITES: [&str; 2] = ["http://localhost", "http://127.0.0.1"];

/// The names that are answered; addresses are in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts(Names);

/// The sites whose pages may open a WebSocket; `None` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins(Option<Vec<Site>>);

/// A site, or what is known of it, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    scheme: Option<String>,
    host: String,
    /// A browser does not send that of the scheme.
    port: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Any,
    /// In lower case.
    These(Vec<String>),
}

impl Names {
    fn new(names: &[String]) -> Self {
        if names.iter().any(|name| name == ANY) {
            Self::Any
        } else {
            Self::These(names.iter().map(|name| name.to_ascii_lowercase()).collect())
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(names) => names.iter().any(|known| known.eq_ignore_ascii_case(name)),
        }
    }
}

impl Hosts {
    /// Names without ports, or [`ANY`].
    pub(crate) fn new(names: &[String]) -> Self {
        Self(Names::new(names))
    }

    pub(crate) fn into_layer(self) -> GuardLayer {
        GuardLayer::new(Arc::new(move |headers: &HeaderMap, uri: &Uri| self.check(headers, uri)))
    }

    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Refused> {
        let host = match headers.get(HOST) {
            Some(value) => value.to_str().ok(),
            // HTTP/2 has it in the request line; HTTP/1.0 may have none, and no browser speaks it.
            None => match uri.authority() {
                Some(authority) => Some(authority.as_str()),
                None => return Ok(()),
            },
        };
        if host.is_some_and(|host| self.allows(host)) {
            return Ok(());
        }
        let reason = "the Host header names a host that this node does not answer for".to_owned();
        Err(Refused { status: StatusCode::FORBIDDEN, reason })
    }

    fn allows(&self, host: &str) -> bool {
        let name = without_port(host);
        name.parse::<IpAddr>().is_ok() || self.0.has(name)
    }
}

impl Origins {
    /// Origins, or [`ANY`]; none for [`LOCAL_SITES`]. What one leaves out, scheme or port, may be
    /// any, as in go-ethereum.
    pub(crate) fn new(names: &[String]) -> Self {
        if names.iter().any(|name| name == ANY) {
            Self(None)
        } else if names.is_empty() {
            Self(Some(LOCAL_SITES.map(Site::new).into()))
        } else {
            Self(Some(names.iter().map(|name| Site::new(name)).collect()))
        }
    }

    pub(crate) fn into_layer(self) -> GuardLayer {
        GuardLayer::new(Arc::new(move |headers: &HeaderMap, _: &Uri| self.check(headers)))
    }

    /// Only browsers send an origin; other requests than upgrades are subject to CORS.
    fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let (Some(origin), true) = (headers.get(ORIGIN), headers.contains_key(UPGRADE)) else {
            return Ok(());
        };
        let Some(sites) = &self.0 else { return Ok(()) };
        let is_of = |origin: &Site| sites.iter().any(|site| site.includes(origin));
        if origin.to_str().is_ok_and(|origin| is_of(&Site::new(origin))) {
            return Ok(());
        }
        let reason = "the Origin header names a site that may not call this node".to_owned();
        Err(Refused { status: StatusCode::FORBIDDEN, reason })
    }
}

impl Site {
    fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_owned()), rest),
            None => (None, text.as_str()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.to_owned())),
            _ => (rest, None),
        };
        Self { scheme, host: host.to_owned(), port }
    }

    fn includes(&self, origin: &Self) -> bool {
        let Self { scheme, host, port } = self;
        *host == origin.host
            && (scheme.is_none() || *scheme == origin.scheme)
            && (port.is_none() || *port == origin.port)
    }
}

/// `[::1]:8551`, `[::1]`, `localhost:8551`, `localhost`, `127.0.0.1:8551`.
fn without_port(host: &str) -> &str {
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split_once(']').map_or(host, |(address, _)| address);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_of_the_list_and_addresses_are_answered() {
        let hosts = Hosts::new(&names(&["localhost", "Node.Example"]));
        for host in
            ["localhost", "LOCALHOST:8551", "node.example", "127.0.0.1:1", "[::1]:8551", "[::1]"]
        {
            assert!(hosts.allows(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8551", "", "localhost:port", "[::1"] {
            assert!(!hosts.allows(host), "{host}");
        }
        assert!(Hosts::new(&names(&["*"])).allows("evil.example"));
        assert!(!Hosts::new(&[]).allows("localhost"));
    }

    #[test]
    fn the_host_is_in_the_header_or_in_the_request_line() {
        let hosts = Hosts::new(&names(&["localhost"]));
        let mut headers = HeaderMap::new();
        assert!(hosts.check(&headers, &Uri::from_static("/")).is_ok());
        assert!(hosts.check(&headers, &Uri::from_static("http://localhost:1/")).is_ok());
        let refused = hosts.check(&headers, &Uri::from_static("http://evil/")).unwrap_err();
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        headers.insert(HOST, HeaderValue::from_static("evil"));
        assert!(hosts.check(&headers, &Uri::from_static("/")).is_err());
    }

    /// Whether a page of this origin may open a WebSocket where these sites may.
    fn may_open(sites: &[&str], origin: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        Origins::new(&names(sites)).check(&headers).is_ok()
    }

    #[test]
    fn pages_of_this_machine_may_open_a_websocket_where_no_site_is_named() {
        for origin in [
            "http://localhost",
            "http://localhost:5173",
            "http://LocalHost:5173",
            "http://127.0.0.1:3000",
        ] {
            assert!(may_open(&[], origin), "{origin}");
            // Who names sites means these alone.
            assert!(!may_open(&["https://app.example"], origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "localhost",
            "https://app.example",
            "https://localhost",
            "http://localhost.evil.example",
            "http://evil.localhost",
            "http://127.0.0.1.evil.example:80",
        ] {
            assert!(!may_open(&[], origin), "{origin}");
        }
    }

    #[test]
    fn what_a_site_leaves_out_may_be_any() {
        for (site, origin, may) in [
            ("http://localhost", "http://localhost:5173", true),
            ("http://localhost:5173", "http://localhost:5173", true),
            ("http://localhost:5173", "http://localhost:5174", false),
            ("http://localhost:5173", "http://localhost", false),
            ("http://localhost", "https://localhost", false),
            ("https://App.Example", "https://app.example", true),
            ("app.example", "https://app.example:8080", true),
            ("app.example:8080", "http://app.example:8080", true),
            ("app.example:8080", "http://app.example", false),
            ("app.example", "https://evil.example", false),
            ("app.example", "https://evil.app.example", false),
            ("http://[::1]", "http://[::1]:5173", true),
            ("http://[::1]", "http://[::1]", true),
            ("http://[::1]:5173", "http://[::1]", false),
            ("http://[::1]", "http://[::2]", false),
            ("*", "https://evil.example", true),
            ("*", "null", true),
        ] {
            assert_eq!(may_open(&[site], origin), may, "{site}: {origin}");
        }
        assert!(may_open(&["https://a.example", "https://b.example"], "https://b.example"));
    }

    #[test]
    fn a_page_of_another_site_may_not_open_a_websocket() {
        let origins = Origins::new(&names(&["https://app.example"]));
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        assert!(origins.check(&headers).is_ok());
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert!(origins.check(&headers).is_ok());
        headers.insert(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(origins.check(&headers).is_err());
        headers.remove(UPGRADE);
        assert!(origins.check(&headers).is_ok());
    }
}
