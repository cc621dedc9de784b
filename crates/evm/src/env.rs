//! The EVM implementation's settings for one block.

use crate::constantinople;
use fugue_chainspec::{Fork, Rules};
use fugue_types::{Header, U256};
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};

/// The EVM implementation's name for the newest fork that changed the EVM.
fn spec_id(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead | Fork::Dao => SpecId::HOMESTEAD,
        Fork::Tangerine => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Constantinople | Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul | Fork::MuirGlacier => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London | Fork::ArrowGlacier | Fork::GrayGlacier => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka | Fork::Bpo1 | Fork::Bpo2 | Fork::Bpo3 | Fork::Bpo4 | Fork::Bpo5 => {
            SpecId::OSAKA
        }
        _ => SpecId::AMSTERDAM,
    }
}

/// Rules that hold for the block.
pub(crate) fn cfg(rules: &Rules) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(spec_id(rules.fork)).with_chain_id(rules.chain_id);
    if rules.fork == Fork::Constantinople {
        constantinople::set_prices(&mut cfg.gas_params);
    }
    // On a chain for development contracts may be impersonated.
    cfg.disable_eip3607 = rules.is_dev;
    if let Some(blob_params) = &rules.blob_params {
        cfg.set_max_blobs_per_tx(blob_params.max_blobs_per_tx);
    }
    cfg
}

/// What the block's transactions can observe of its header. A field that the fork does not have
/// yet is left out even where the header carries it.
pub(crate) fn block(rules: &Rules, header: &Header) -> BlockEnv {
    let is_merged = rules.has(Fork::Paris);
    let blob_excess_gas_and_price =
        header.excess_blob_gas.zip(rules.blob_params).map(|(excess_blob_gas, params)| {
            let blob_gasprice = params.calc_blob_fee(excess_blob_gas);
            BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice }
        });
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.filter(|_| rules.has(Fork::London)).unwrap_or_default(),
        difficulty: if is_merged { U256::ZERO } else { header.difficulty },
        prevrandao: is_merged.then_some(header.mix_hash),
        blob_excess_gas_and_price,
        slot_num: header.slot_number.unwrap_or_default(),
    }
}
