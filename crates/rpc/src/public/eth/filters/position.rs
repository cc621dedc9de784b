//! How far a filter has told of the chain.
//!
//! The chain may have left the block that a filter told of last. Then the way leads down, block by
//! block, until one is in the chain, and from there up again:
//!
//! ```text
//! told        1 - 2 - 3 - 4        4 and 3 have left,
//! the chain         \ 3'- 4'- 5'   3', 4' and 5' have joined
//! ```

use crate::public::error;
use fugue_chain::{ChainView, Head};
use fugue_types::{B256, Header};
use jsonrpsee::types::ErrorObjectOwned;
use std::collections::VecDeque;

/// Blocks that a position remembers, 40 bytes each: it finds the way down by itself, also past
/// blocks that the chain has forgotten. Further down their parents tell.
const TRAIL_MAX: usize = 64;

/// How far a filter has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// The block that was told last; in the chain at that time.
    last: Head,
    /// Those below it, lowest first.
    below: VecDeque<Head>,
}

/// What is to be told next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A block left the chain.
    Left(B256),
    /// A block joined it.
    Joined { hash: B256, header: Box<Header> },
}

impl Position {
    /// At a head: what comes then is to be told.
    pub(super) const fn at(head: Head) -> Self {
        Self { last: head, below: VecDeque::new() }
    }

    /// At the head of a view, with the way down from there.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn at_head(view: &ChainView) -> Result<Self, ErrorObjectOwned> {
        let mut position = Self::at(view.head());
        let last = position.last.number;
        for number in last.saturating_sub(TRAIL_MAX as u64)..last {
            let found = view.header(number).map_err(error::of_chain)?;
            let (hash, _) = found.ok_or_else(error::block_not_found)?;
            position.below.push_back(Head { number, hash });
        }
        Ok(position)
    }

    /// Goes one step towards the head of a view; `None` if it is there.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn step(&mut self, view: &ChainView) -> Result<Option<Step>, ErrorObjectOwned> {
        let last = self.last;
        if view.number(last.hash).map_err(error::of_chain)?.is_none() {
            self.last = match self.below.pop_back() {
                Some(parent) => parent,
                None => parent_of(view, last)?,
            };
            return Ok(Some(Step::Left(last.hash)));
        }
        let number = last.number.saturating_add(1);
        let Some((hash, header)) = view.header(number).map_err(error::of_chain)? else {
            return Ok(None);
        };
        if self.below.len() >= TRAIL_MAX {
            self.below.pop_front();
        }
        self.below.push_back(last);
        self.last = Head { number, hash };
        Ok(Some(Step::Joined { hash, header: Box::new(header) }))
    }
}

/// The parent of a block that has left the chain. If the block is forgotten, the one of the chain
/// in its parent's place: what joined the chain below that cannot be told.
fn parent_of(view: &ChainView, block: Head) -> Result<Head, ErrorObjectOwned> {
    let number = block.number.saturating_sub(1);
    if let Some(header) = view.header_by_hash(block.hash).map_err(error::of_chain)? {
        return Ok(Head { number, hash: header.parent_hash });
    }
    let number = number.min(view.head().number);
    let found = view.header(number).map_err(error::of_chain)?;
    let (hash, _) = found.ok_or_else(error::block_not_found)?;
    Ok(Head { number, hash })
}
