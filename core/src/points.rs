//! Places in the gateway that its rehearsal knows by name: moments that a sweep has to meet, and fault points, where something
//! that is allowed but rare is made to happen.
//!
//! Without the feature `points`, which no shipped gateway has, nothing of them is compiled: a moment is nothing, and a fault point
//! is `false`. With it, whoever runs the gateway on this thread may watch them (`watch`); nobody does so by default.
//!
//! A name is a whole sentence, the only one of its kind, and stands in the catalogue of situations in `rehearsal-scenarios`.

#[cfg(feature = "points")]
use std::cell::RefCell;

/// A moment that is worth having been in: `sometimes!("a stream stands on its head")`.
macro_rules! sometimes {
    ($name:literal) => {
        #[cfg(feature = "points")]
        $crate::points::pass($crate::points::Point::Moment($name));
    };
}

/// Whether to do what is allowed at any time, and rare: `if fault_point!("a stream stands on its head") { .. }`.
macro_rules! fault_point {
    ($name:literal) => {{
        #[cfg(feature = "points")]
        let fires = $crate::points::pass($crate::points::Point::Fault($name));
        #[cfg(not(feature = "points"))]
        let fires = false;
        fires
    }};
}

/// A place that the gateway has come to.
#[cfg(feature = "points")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A moment; whatever the watcher says of it makes no difference.
    Moment(&'static str),
    /// A fault point; the watcher says whether it fires.
    Fault(&'static str),
}

#[cfg(feature = "points")]
type Watcher = Box<dyn FnMut(Point) -> bool>;

#[cfg(feature = "points")]
thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Has `watcher` asked at every point on this thread, until what this gives is dropped; then whoever watched before is asked again.
/// The watcher must not come to a point itself.
#[cfg(feature = "points")]
pub fn watch(watcher: impl FnMut(Point) -> bool + 'static) -> Watching {
    Watching(WATCHER.replace(Some(Box::new(watcher))))
}

/// Somebody watches. Until it is dropped.
#[cfg(feature = "points")]
#[must_use]
pub struct Watching(Option<Watcher>);

#[cfg(feature = "points")]
impl Drop for Watching {
    fn drop(&mut self) {
        WATCHER.set(self.0.take());
    }
}

/// Tells the watcher of this thread, and gives what it says; `false` without one.
#[cfg(feature = "points")]
pub(crate) fn pass(point: Point) -> bool {
    WATCHER.with_borrow_mut(|watcher| watcher.as_mut().is_some_and(|watcher| watcher(point)))
}

#[cfg(all(test, feature = "points"))]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[test]
    fn the_last_watcher_is_asked_until_it_goes() {
        let passed = Rc::new(Cell::new(0));
        let counts = || {
            let passed = Rc::clone(&passed);
            move |point| {
                passed.set(passed.get() + 1);
                point == Point::Fault("one")
            }
        };
        assert!(!fault_point!("one"), "nobody watches");
        let outer = watch(counts());
        assert!(fault_point!("one") && !fault_point!("other"));
        {
            let _inner = watch(|_| false);
            sometimes!("somebody else is told");
            assert!(!fault_point!("one"));
        }
        sometimes!("the first one is told again");
        assert_eq!(passed.get(), 3);
        drop(outer);
        assert!(!fault_point!("one"));
    }
}
