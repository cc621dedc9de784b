//! Bytes that hold something of a changed value.

/// Bytes of one memory, or of data that is handed on, of which is kept whether they are marked: 1 G
/// of gas buys some 22 MB of memory. What lies beyond is never marked. Source: Yellow Paper,
/// appendix H, the cost of memory.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Which bytes are marked; none past the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<bool>);

impl Marks {
    /// So many bytes, all alike.
    pub(super) fn of(len: usize, is_marked: bool) -> Self {
        let mut marks = Self::default();
        marks.set(0, len, is_marked);
        marks
    }

    /// Whether any of these bytes is marked.
    pub(super) fn any(&self, from: usize, len: usize) -> bool {
        let end = from.saturating_add(len).min(self.0.len());
        self.0.get(from..end).is_some_and(|bytes| bytes.contains(&true))
    }

    /// Marks these bytes, or takes their marks away.
    pub(super) fn set(&mut self, from: usize, len: usize, is_marked: bool) {
        let mut end = from.saturating_add(len).min(BYTES_MAX);
        if from >= end {
            return;
        }
        if is_marked && end > self.0.len() {
            self.0.resize(end, false);
        }
        end = end.min(self.0.len());
        if let Some(bytes) = self.0.get_mut(from..end) {
            bytes.fill(is_marked);
        }
    }

    /// The marks of these bytes, as if the first one were at 0.
    pub(super) fn part(&self, from: usize, len: usize) -> Self {
        let end = from.saturating_add(len).min(self.0.len());
        Self(self.0.get(from..end).map(<[bool]>::to_vec).unwrap_or_default())
    }

    /// Overwrites `len` bytes with those of `part`, and with unmarked ones past its end.
    pub(super) fn place(&mut self, to: usize, len: usize, part: &Self) {
        self.set(to, len, false);
        for (offset, is_marked) in part.0.iter().take(len).enumerate() {
            if *is_marked {
                self.set(to.saturating_add(offset), 1, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_marked_one_by_one_and_copied_with_their_marks() {
        let mut memory = Marks::default();
        memory.set(40, 2, true);
        assert!(memory.any(0, 41) && memory.any(41, 100) && !memory.any(0, 40));
        assert!(!memory.any(42, usize::MAX) && !memory.any(usize::MAX, usize::MAX));
        let part = memory.part(39, 2);
        assert_eq!(part, Marks(vec![false, true]));
        memory.place(100, 2, &part);
        assert!(!memory.any(100, 1) && memory.any(101, 1) && !memory.any(102, 9));
        // What is copied over them takes the marks away, as far as it goes.
        memory.place(40, 1, &Marks::default());
        assert!(!memory.any(40, 1) && memory.any(41, 1));
        memory.place(41, 1, &Marks::of(5, true));
        assert!(memory.any(41, 1) && !memory.any(42, 1));
        assert!(Marks::of(3, true).any(2, 1) && !Marks::of(3, false).any(0, 3));
    }

    #[test]
    fn what_nobody_can_pay_for_is_not_kept() {
        let mut memory = Marks::default();
        memory.set(usize::MAX, usize::MAX, true);
        memory.set(BYTES_MAX, 1, true);
        assert_eq!(memory, Marks::default());
        memory.set(BYTES_MAX - 1, usize::MAX, true);
        assert!(memory.any(BYTES_MAX - 1, 1) && memory.0.len() == BYTES_MAX);
    }
}
