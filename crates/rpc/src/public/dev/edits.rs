//! Changes of the state that no transaction makes.

use super::{Done, chain, number, number_u64, of_dev};
use crate::public::{
    Context,
    args::{Args, address, bytes},
    error::invalid_params,
};
use fugue_chain::Edit;

/// Bytes of a code, at most: far more than a chain lets anybody deploy.
const CODE_BYTES_MAX: usize = 1 << 20;

fn edit(context: &Context, edit: Edit) -> Done {
    chain(context)?.edit(edit).map_err(of_dev)
}

/// `hardhat_setBalance`, in wei.
pub(super) fn set_balance(context: &Context, mut args: Args) -> Done {
    let address = args.required("address", address)?;
    let balance = Some(args.required("balance", number)?);
    args.end()?;
    edit(context, Edit { address, balance, ..Edit::default() })
}

/// `anvil_addBalance`, in wei.
pub(super) fn add_balance(context: &Context, mut args: Args) -> Done {
    let address = args.required("address", address)?;
    let deposit = args.required("amount", number)?;
    args.end()?;
    edit(context, Edit { address, deposit, ..Edit::default() })
}

/// `hardhat_setNonce`.
pub(super) fn set_nonce(context: &Context, mut args: Args) -> Done {
    let address = args.required("address", address)?;
    let nonce = Some(args.required("nonce", number_u64)?);
    args.end()?;
    edit(context, Edit { address, nonce, ..Edit::default() })
}

/// `hardhat_setCode`.
pub(super) fn set_code(context: &Context, mut args: Args) -> Done {
    let address = args.required("address", address)?;
    let code = args.required("code", bytes)?;
    args.end()?;
    if code.len() > CODE_BYTES_MAX {
        let told = format!("invalid argument 1 (code): want at most {CODE_BYTES_MAX} bytes");
        return Err(invalid_params(told));
    }
    edit(context, Edit { address, code: Some(code), ..Edit::default() })
}

/// `hardhat_setStorageAt`.
pub(super) fn set_storage(context: &Context, mut args: Args) -> Done {
    let address = args.required("address", address)?;
    let index = args.required("storage key", number)?;
    let value = args.required("value", number)?;
    args.end()?;
    edit(context, Edit { address, slots: vec![(index, value)], ..Edit::default() })
}
