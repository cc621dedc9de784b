//! The token of a request. Source: execution-apis, `authentication.md`, "JWT specifications" and
//! "JWT Claims".

use super::JwtSecret;
use crate::guard::{GuardLayer, Refused};
use http::{HeaderMap, StatusCode, Uri, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind, get_current_timestamp};
use serde::Deserialize;
use std::sync::Arc;

/// Seconds that a token's time of issue may be away from the node's clock, both ways.
const IAT_SECONDS_MAX: f64 = 60.0;
/// The scheme of the `Authorization` header.
const SCHEME: &str = "bearer";

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Unauthorized {
    /// Nobody says who calls.
    #[error("missing Authorization header")]
    Missing,
    /// Not what is asked for.
    #[error("the Authorization header is not `Bearer` and a token")]
    NotBearer,
    /// Signed with another secret, or not at all.
    #[error("the token is not signed with the secret of this node")]
    Signature,
    /// Signed otherwise.
    #[error("the token is not signed with HS256")]
    Algorithm,
    /// Not three parts of base64, an unknown algorithm, or no time.
    #[error("the token is malformed, signed with an unknown algorithm, or without iat")]
    Malformed,
    /// Made too long ago, or in the future.
    #[error("the token was issued {0} s away from this node's clock, 60 are the most")]
    Stale(f64),
}

/// What of a token counts. Unknown claims are ignored.
#[derive(Deserialize)]
struct Claims {
    /// In seconds; a fraction is allowed (RFC 7519, "NumericDate").
    iat: f64,
}

/// Checks tokens against one secret.
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    pub(crate) fn new(secret: &JwtSecret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { key: DecodingKey::from_secret(secret.as_bytes()), validation }
    }

    /// Lets only requests through that are signed with the secret.
    pub(crate) fn into_layer(self) -> GuardLayer {
        GuardLayer::new(Arc::new(move |headers: &HeaderMap, _: &Uri| {
            self.check(headers, get_current_timestamp()).map_err(|why| Refused {
                status: StatusCode::UNAUTHORIZED,
                reason: why.to_string(),
            })
        }))
    }

    /// `now` in seconds since 1970.
    fn check(&self, headers: &HeaderMap, now: u64) -> Result<(), Unauthorized> {
        let value = headers.get(AUTHORIZATION).ok_or(Unauthorized::Missing)?;
        let value = value.to_str().map_err(|_| Unauthorized::NotBearer)?;
        let (scheme, token) = value.trim().split_once(' ').ok_or(Unauthorized::NotBearer)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Unauthorized::NotBearer);
        }
        let token = jsonwebtoken::decode::<Claims>(token.trim(), &self.key, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => Unauthorized::Signature,
                ErrorKind::InvalidAlgorithm => Unauthorized::Algorithm,
                _ => Unauthorized::Malformed,
            })?;
        let away = token.claims.iat - now as f64;
        if away.abs() > IAT_SECONDS_MAX {
            return Err(Unauthorized::Stale(away));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;
    const SECRET: [u8; 32] = [0x11; 32];
    /// `{"alg":"none","typ":"JWT"}` in base64.
    const ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

    fn signed(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    fn token(claims: &Value) -> String {
        signed(Algorithm::HS256, &SECRET, claims)
    }

    fn check(header: Option<(&str, String)>) -> Result<(), Unauthorized> {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        Verifier::new(&JwtSecret::new(SECRET)).check(&headers, NOW)
    }

    fn check_token(token: &str) -> Result<(), Unauthorized> {
        check(Some(("Authorization", format!("Bearer {token}"))))
    }

    #[test]
    fn e1_a_token_of_the_secret_is_accepted_within_a_minute() {
        for (iat, is_good) in [
            (NOW, true),
            (NOW - 59, true),
            (NOW + 59, true),
            (NOW - 60, true),
            (NOW + 60, true),
            (NOW - 61, false),
            (NOW + 61, false),
            (0, false),
        ] {
            let found = check_token(&token(&json!({ "iat": iat })));
            assert_eq!(found.is_ok(), is_good, "{iat}: {found:?}");
        }
        assert_eq!(check_token(&token(&json!({ "iat": 1_799_999_999.5 }))), Ok(()));
    }

    #[test]
    fn e1_other_claims_are_ignored() {
        let claims = json!({
            "iat": NOW, "id": "node 1", "clv": "Client/v1", "exp": 1, "nbf": u64::MAX,
            "aud": "another", "iss": "else", "sub": "x", "unheard": { "of": null },
        });
        assert_eq!(check_token(&token(&claims)), Ok(()));
    }

    #[test]
    fn e1_tokens_without_the_right_signature_or_time_are_refused() {
        let claims = json!({ "iat": NOW });
        let other = signed(Algorithm::HS256, &[0x22; 32], &claims);
        assert_eq!(check_token(&other), Err(Unauthorized::Signature));
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = signed(algorithm, &SECRET, &claims);
            assert_eq!(check_token(&token), Err(Unauthorized::Algorithm));
        }
        let good = token(&claims);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let (_, payload) = message.split_once('.').unwrap();
        assert!(check_token(&format!("{ALG_NONE}.{payload}.")).is_err());
        assert!(check_token(&format!("{ALG_NONE}.{payload}.{signature}")).is_err());
        assert!(check_token(&format!("{message}.")).is_err());
        assert_eq!(check_token(&token(&json!({ "exp": NOW }))), Err(Unauthorized::Malformed));
        assert_eq!(check_token(&token(&json!({ "iat": "now" }))), Err(Unauthorized::Malformed));
        assert_eq!(check_token("a.b.c"), Err(Unauthorized::Malformed));
        assert_eq!(check_token("nothing"), Err(Unauthorized::Malformed));
    }

    #[test]
    fn e1_header_name_and_scheme_may_be_in_any_case() {
        let token = token(&json!({ "iat": NOW }));
        for (name, scheme) in
            [("authorization", "Bearer"), ("AUTHORIZATION", "BEARER"), ("Authorization", "bearer")]
        {
            assert_eq!(check(Some((name, format!("{scheme} {token}")))), Ok(()), "{scheme}");
        }
        assert_eq!(check(None), Err(Unauthorized::Missing));
        for value in [token.clone(), format!("Basic {token}"), "Bearer".to_owned()] {
            assert_eq!(check(Some(("authorization", value))), Err(Unauthorized::NotBearer));
        }
    }
}
