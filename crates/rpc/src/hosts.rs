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

/// The names that are answered; addresses are in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts(Names);

/// The sites whose pages may open a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins(Names);

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
    /// Origins with scheme, or [`ANY`].
    pub(crate) fn new(names: &[String]) -> Self {
        Self(Names::new(names))
    }

    pub(crate) fn into_layer(self) -> GuardLayer {
        GuardLayer::new(Arc::new(move |headers: &HeaderMap, _: &Uri| self.check(headers)))
    }

    /// Only browsers send an origin; other requests than upgrades are subject to CORS.
    fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let (Some(origin), true) = (headers.get(ORIGIN), headers.contains_key(UPGRADE)) else {
            return Ok(());
        };
        if origin.to_str().is_ok_and(|origin| self.0.has(origin)) {
            return Ok(());
        }
        let reason = "the Origin header names a site that may not call this node".to_owned();
        Err(Refused { status: StatusCode::FORBIDDEN, reason })
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
