//! A chain for development that does nothing, for who looks at what its methods read alone: it has
//! one account, and says that it has done whatever it is told to. What a real one does is asked of
//! the program.

use alloy_primitives::Signature;
use fugue_chain::{DevBlock, DevContent, Edit, Engine, Head, SubmitError};
use fugue_rpc::{DevAncestor, DevBlocks, DevChain, DevError, DevSetting, DevStatus, Impersonation};
use fugue_txpool::{Added, Origin};
use fugue_types::{Address, B256};
use fugue_workload::Wallet;

/// See the module.
pub(super) struct Idle {
    pub(super) engine: Engine,
    pub(super) wallet: Wallet,
}

impl DevChain for Idle {
    fn accounts(&self) -> Vec<Address> {
        vec![self.wallet.address()]
    }

    fn sign(&self, signer: Address, hash: B256) -> Option<Signature> {
        (signer == self.wallet.address()).then(|| self.wallet.sign(hash))
    }

    fn is_impersonated(&self, _: Address) -> bool {
        false
    }

    fn impersonate(&self, _: Impersonation) -> Result<(), DevError> {
        Ok(())
    }

    fn send(&self, encoded: &[u8], origin: Origin) -> Result<Added, SubmitError> {
        // Whatever it is sent waits: it makes no blocks.
        Ok(Added { is_pending: false, ..self.engine.submit(encoded, origin)? })
    }

    fn mine(&self, _: &DevBlocks, _: &dyn Fn() -> bool) -> Result<Head, DevError> {
        Ok(self.engine.view().head())
    }

    fn edit(&self, _: Edit) -> Result<(), DevError> {
        Ok(())
    }

    fn snapshot(&self) -> Result<u64, DevError> {
        Ok(1)
    }

    fn revert(&self, snapshot: u64) -> Result<bool, DevError> {
        Ok(snapshot == 1)
    }

    fn rewind(&self, _: DevAncestor) -> Result<(), DevError> {
        Ok(())
    }

    fn reset(&self) -> Result<(), DevError> {
        Ok(())
    }

    fn set(&self, _: DevSetting) -> Result<(), DevError> {
        Ok(())
    }

    fn status(&self) -> DevStatus {
        DevStatus {
            is_automine: true,
            interval: None,
            offset: 0,
            timestamp_interval: None,
            instance: B256::ZERO,
        }
    }

    fn next_block(&self) -> Result<DevBlock, DevError> {
        let view = self.engine.view();
        let header = view.header(view.head().number);
        let header = header.map_err(|error| DevError::Broken(error.to_string()))?;
        let timestamp = header.map(|(_, header)| header.timestamp).unwrap_or_default();
        Ok(DevBlock {
            timestamp: timestamp.saturating_add(12),
            prev_randao: B256::ZERO,
            fee_recipient: self.wallet.address(),
            base_fee: None,
            gas_limit: None,
            content: DevContent::Pool,
        })
    }

    fn snapshots(&self) -> Vec<(u64, Head)> {
        vec![(1, self.engine.view().head())]
    }
}
