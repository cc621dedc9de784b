//! Bytes that collections have taken, by their capacities.

/// Of a vector.
pub(crate) const fn of_vec<T>(items: &Vec<T>) -> usize {
    items.capacity() * size_of::<T>()
}

/// Of a hash table with room for so many entries: one place of eight stays free, and each has a
/// byte beside it.
pub(crate) const fn of_table<T>(capacity: usize) -> usize {
    (capacity * 8).div_ceil(7) * (size_of::<T>() + 1)
}
