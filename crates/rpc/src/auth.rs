//! Who may call the engine: whoever signs with the shared secret.
//!
//! Every HTTP request, and the handshake of every WebSocket, carries a token (JWT, RFC 7519) that
//! is signed with HMAC-SHA256 and was issued within a minute of the node's clock. Nothing else in
//! the token is looked at. Source: execution-apis, `authentication.md`.

mod secret;
mod token;

pub use secret::{JwtSecret, SecretError};
pub(crate) use token::Verifier;
