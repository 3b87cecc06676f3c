//! A queue whose first element needs no memory of its own: most queues of most sockets hold one element
//! or none, and a world with thousands of sockets is as fast as its memory.

use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Queue<T> {
    first: Option<T>,
    /// What follows, as long as there is a first one.
    #[allow(
        clippy::box_collection,
        reason = "most have none: 8 bytes in each of them instead of 32"
    )]
    rest: Option<Box<VecDeque<T>>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { first: None, rest: None }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push_back(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.rest.get_or_insert_default().push_back(element),
        }
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.rest.as_ref().and_then(|rest| rest.back()).or(self.first.as_ref())
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.first.take()?;
        if let Some(rest) = &mut self.rest {
            self.first = rest.pop_front();
            if self.first.is_none() {
                self.rest = None;
            }
        }
        Some(first)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index {
            0 => self.first.as_ref(),
            _ => self.rest.as_ref()?.get(index - 1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_out_in_order_and_are_found_by_index() {
        let mut queue = Queue::default();
        assert_eq!((queue.len(), queue.pop_front()), (0, None));
        for round in 0..3 {
            for element in 0..4 {
                queue.push_back(element);
            }
            assert_eq!((queue.len(), queue.front(), queue.back()), (4, Some(&0), Some(&3)));
            assert_eq!([0, 2, 4].map(|index| queue.get(index)), [Some(&0), Some(&2), None]);
            assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [0, 1, 2, 3], "{round}");
            let all: Vec<_> = std::iter::from_fn(|| queue.pop_front()).collect();
            assert_eq!(all, [0, 1, 2, 3]);
        }
    }
}
