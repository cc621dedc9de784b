//! Disjoint sets of numbers, which are joined one with another.

/// Sets of the numbers below a bound. Each set goes by its least number.
#[derive(Debug)]
pub(crate) struct Sets(Vec<u32>);

impl Sets {
    /// Each number is a set by itself.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    /// No numbers yet, and room for so many.
    pub(crate) fn with_room(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One number more, in a set by itself.
    pub(crate) fn add(&mut self) -> u32 {
        let number = self.0.len() as u32;
        self.0.push(number);
        number
    }

    /// The least number of the set that has this one.
    pub(crate) fn find(&mut self, number: u32) -> u32 {
        let mut at = number;
        loop {
            let above = self.0[at as usize];
            if above == at {
                return at;
            }
            let next = self.0[above as usize];
            self.0[at as usize] = next;
            at = next;
        }
    }

    /// Joins the sets of two numbers.
    pub(crate) fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.find(one), self.find(other));
        self.0[one.max(other) as usize] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_go_by_their_least_number_however_they_are_joined() {
        let joins = [(5, 6), (6, 1), (3, 4), (1, 5), (4, 6), (0, 0)];
        for reversed in [false, true] {
            let mut sets = Sets::with_room(7);
            (0..7).for_each(|number| assert_eq!(sets.add(), number));
            let mut joins = joins.to_vec();
            if reversed {
                joins.reverse();
            }
            for (one, other) in joins {
                sets.join(one, other);
            }
            assert_eq!(sets.add(), 7);
            let found: Vec<u32> = (0..8).map(|number| sets.find(number)).collect();
            assert_eq!(found, [0, 1, 2, 1, 1, 1, 1, 7]);
        }
    }
}
