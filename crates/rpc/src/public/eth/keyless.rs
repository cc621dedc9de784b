//! What asks the node to sign, where it has no keys: for any account the answer is that the node
//! does not know it. On a chain for development there are other methods in their place.
//!
//! Arguments are read as if it did, so that who sends wrong ones is told so.

use super::calls;
use crate::public::{
    Answer, Context,
    args::{Args, address, bytes},
    dev::typed_data,
    error::refused,
};

/// `eth_sendTransaction`, `eth_signTransaction`.
pub(crate) fn transaction(context: &Context, mut args: Args) -> Answer {
    let chain_id = context.engine.spec().chain_id();
    args.required("transaction", |value| calls::message(value, chain_id))?;
    args.end()?;
    unknown_account()
}

/// `eth_sign`: of a message.
pub(crate) fn message(_: &Context, mut args: Args) -> Answer {
    args.required("address", address)?;
    args.required("message", bytes)?;
    args.end()?;
    unknown_account()
}

/// `eth_signTypedData` and its versions. Whether the data fit their types is not looked at: nobody
/// signs them.
pub(crate) fn typed(_: &Context, mut args: Args) -> Answer {
    args.required("address", address)?;
    args.required("typed data", |value| typed_data::read(value).map(|_| ()))?;
    args.end()?;
    unknown_account()
}

/// The words are those of geth. Source: go-ethereum, `accounts/errors.go`, `ErrUnknownAccount`.
fn unknown_account() -> Answer {
    Err(refused("unknown account"))
}
