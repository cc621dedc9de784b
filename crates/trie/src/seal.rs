//! Hashing what changed, after all changes are made.
//!
//! A node can be hashed when everything below it is. So nodes are gathered by their depth, across
//! subtries and tries, and each depth is one [`Batch`], the lowest first: many hashes at once, as
//! `keccak` wants them.

use crate::{
    Reference,
    keccak::Batch,
    node::{Node, Place, encode_extension, encode_leaf},
};
use rayon::prelude::*;

/// Parts of the work for each thread: so that none waits long for another.
const PARTS_PER_THREAD: usize = 2;

/// A node that is not hashed, and where its reference goes.
struct Unsealed<'n> {
    place: &'n Place,
    node: &'n Node,
}

/// Computes the references of all nodes that have none, from the roots of tries, or of parts of
/// them, down. On the pool of the calling thread if `is_parallel`.
pub(crate) fn seal(mut roots: Vec<(&mut Place, &mut Node)>, is_parallel: bool) {
    if is_parallel {
        let mut parts: Vec<(&mut Place, &mut Node)> = Vec::new();
        for (place, node) in &mut roots {
            match node {
                Node::Branch(branch) if !place.is_sealed() => {
                    parts.extend(branch.here_mut().map(|(_, place, node)| (place, node)));
                }
                _ => {}
            }
        }
        parts.retain(|(place, _)| !place.is_sealed());
        let count = rayon::current_num_threads() * PARTS_PER_THREAD;
        let length = parts.len().div_ceil(count).max(1);
        parts.par_chunks_mut(length).for_each(seal_here);
    }
    seal_here(&mut roots);
}

fn seal_here(roots: &mut [(&mut Place, &mut Node)]) {
    let mut levels = Vec::new();
    for (place, node) in roots {
        gather(place, node, 0, &mut levels);
    }
    let mut batch = Batch::default();
    for level in levels.iter().rev() {
        for Unsealed { place, node } in level {
            match node {
                Node::Leaf(leaf) => {
                    batch.write(|out| encode_leaf(&leaf.suffix, &leaf.value, out), to(place));
                }
                Node::Branch(branch) => match branch.opaque {
                    Some(reference) => place.seal(reference),
                    None => batch.write(|out| branch.encode_bare(out), to(place)),
                },
            }
        }
        batch.hash(|place, hash| place.seal(Reference::hash(hash)));
        for Unsealed { place, node } in level {
            if let Node::Branch(branch) = node
                && !branch.prefix.is_empty()
            {
                let bare = place.reference();
                batch.write(|out| encode_extension(&branch.prefix, &bare, out), to(place));
            }
        }
        batch.hash(|place, hash| place.seal(Reference::hash(hash)));
    }
}

/// Where the hash of an RLP goes; what is shorter than a hash goes there at once.
fn to<'n>(place: &'n Place) -> impl FnOnce(&[u8]) -> Option<&'n Place> {
    move |rlp| match Reference::embedded(rlp) {
        Some(reference) => {
            place.seal(reference);
            None
        }
        None => Some(place),
    }
}

/// What is not hashed from a node down, by depth below the first.
fn gather<'n>(place: &'n Place, node: &'n Node, depth: usize, levels: &mut Vec<Vec<Unsealed<'n>>>) {
    if place.is_sealed() {
        return;
    }
    if levels.len() <= depth {
        levels.push(Vec::new());
    }
    if let Node::Branch(branch) = node {
        for (place, node) in branch.here() {
            gather(place, node, depth + 1, levels);
        }
    }
    levels[depth].push(Unsealed { place, node });
}
