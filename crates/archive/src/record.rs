//! A file of one block, of either format.

use crate::{Bundle, WitnessBundle};
use fugue_types::{Header, SealedBlock};

/// One block with what is needed to execute it, in the form that its file has.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// With the state that its transactions read.
    Bundle(Bundle),
    /// With the trie nodes that prove this state.
    Witness(WitnessBundle),
}

impl Record {
    /// The form, in a word: `bundle` or `witness`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "bundle",
            Self::Witness(_) => "witness",
        }
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        match self {
            Self::Bundle(bundle) => bundle.chain_id,
            Self::Witness(bundle) => bundle.chain_id,
        }
    }

    /// `config` of a genesis file, for chains that Fugue does not know.
    pub const fn config(&self) -> Option<&serde_json::Value> {
        match self {
            Self::Bundle(bundle) => bundle.config.as_ref(),
            Self::Witness(bundle) => bundle.config.as_ref(),
        }
    }

    /// The block.
    pub const fn block(&self) -> &SealedBlock {
        match self {
            Self::Bundle(bundle) => &bundle.block,
            Self::Witness(bundle) => &bundle.block,
        }
    }

    /// The parent's header, if the file has it.
    pub const fn parent(&self) -> Option<&Header> {
        match self {
            Self::Bundle(bundle) => bundle.parent.as_ref(),
            Self::Witness(bundle) => bundle.parent.as_ref(),
        }
    }
}
