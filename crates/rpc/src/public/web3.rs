//! What the node says of the program, and a hash.

use crate::public::{
    Answer, Class, Context, Table,
    args::{Args, bytes},
    json,
};
use fugue_types::keccak256;

/// The methods of this namespace.
pub(super) const METHODS: Table = &[
    ("web3_clientVersion", Class::Immediate, client_version),
    ("web3_sha3", Class::Immediate, sha3),
];

/// `web3_clientVersion`.
fn client_version(_: &Context, args: Args) -> Answer {
    args.end()?;
    json(&client_name())
}

/// Program, version, and what it runs on.
pub(super) fn client_name() -> String {
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("fugue/v{}/{os}-{processor}", env!("CARGO_PKG_VERSION"))
}

/// `web3_sha3`: keccak256.
fn sha3(_: &Context, mut args: Args) -> Answer {
    let data = args.required("data", bytes)?;
    args.end()?;
    json(&keccak256(data))
}
