//! Call sites by their symbols, and what they hold in several photographs of the heap.
//!
//! Addresses differ from process to process, so none is shown and nothing is sorted by one. Stacks that read alike are
//! one call site. The frames of one's own code come first, as what allocates is mostly a library's.

use std::{cmp::Reverse, collections::BTreeMap, ffi::c_void, fmt};

use serde::{Deserialize, Serialize};

use crate::sites::{self, Amount, Held};

/// The folder of the workspace, which paths are shown from.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
/// What stands on every stack and says nothing: this crate, the unwinder, and the entries of the allocator.
const NOISE: [&str; 8] = [
    "rehearsal_heap::",
    "backtrace::",
    "alloc::alloc::",
    "alloc::boxed::",
    "alloc::raw_vec::",
    "__rust_",
    "__rustc::",
    "_Unwind_",
];

/// What polls tasks, in a simulation and in tokio: who called that says nothing of the task.
const POLLS_TASKS: [&str; 2] = ["rehearsal_sim::drive::", "tokio::runtime::"];

/// A call on the stack of an allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// The function's name, without the hash of its crate.
    pub function: String,
    /// Its file, from the folder of the workspace or of its crate, and the line; empty when nobody knows.
    pub place: String,
}

impl Frame {
    /// Whether its function is in one of these crates or modules, which are written as in `crate::module::`.
    fn is_in(&self, modules: &[&str]) -> bool {
        // A method of a trait is written `<crate::Type as crate::Trait>::method`.
        let name = self.function.trim_start_matches(['<', '&']);
        modules.iter().any(|module| name.starts_with(module))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => write!(f, "{}", self.function),
            false => write!(f, "{} ({})", self.function, self.place),
        }
    }
}

/// Where blocks are allocated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallSite {
    /// The calls of one's own code, the innermost first.
    pub own: Vec<Frame>,
    /// All calls from the innermost to the outermost of one's own code; without such a call to that which polls the task.
    pub stack: Vec<Frame>,
}

impl CallSite {
    fn new(mut stack: Vec<Frame>, own: &[&str]) -> Self {
        let outermost = stack.iter().rposition(|frame| frame.is_in(own));
        let polls = || stack.iter().position(|frame| frame.is_in(&POLLS_TASKS));
        if let Some(count) = outermost.map(|index| index + 1).or_else(polls) {
            stack.truncate(count);
        }
        Self { own: stack.iter().filter(|frame| frame.is_in(own)).cloned().collect(), stack }
    }

    /// The call to look at first: the innermost of one's own code, or of all when there is none.
    pub fn culprit(&self) -> Option<&Frame> {
        self.own.first().or(self.stack.first())
    }
}

impl fmt::Display for CallSite {
    /// The call to look at, and below it the other calls of one's own code, or of all when there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = if self.own.is_empty() { &self.stack } else { &self.own };
        let mut separator = "";
        for call in calls {
            write!(f, "{separator}{call}")?;
            separator = "\n    by ";
        }
        Ok(())
    }
}

/// What each call site held in each of `photographs`, where that is something, in the order of the sites' own frames:
/// those of functions in the crates or modules `own`, which are written as in `crate::module::`.
pub fn compare(photographs: &[&Held], own: &[&str]) -> Vec<(CallSite, Vec<Amount>)> {
    let mut symbols = Symbols::default();
    let mut sites: BTreeMap<CallSite, Vec<Amount>> = BTreeMap::new();
    for (site, addresses) in sites::met_in(photographs) {
        let amounts = sites.entry(symbols.call_site(addresses, own)).or_default();
        amounts.resize(photographs.len(), Amount::NONE);
        for (amount, photograph) in amounts.iter_mut().zip(photographs) {
            *amount += photograph.of(site);
        }
    }
    sites.into_iter().collect()
}

/// What a photograph shows, as far as there was time to find the symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// What each call site holds, in the order of the sites' own frames.
    pub sites: Vec<(CallSite, Amount)>,
    /// What each of the others holds, whose symbols there was no time for. Some of them may be one call site.
    pub nameless: Vec<Amount>,
}

/// As [`compare`] with one photograph, as long as `has_time`, which is asked before each call site. Those that hold most are
/// named first. The first symbols of a process take long, a second perhaps.
pub fn name(photograph: &Held, own: &[&str], mut has_time: impl FnMut() -> bool) -> Named {
    let mut met = sites::met_in(&[photograph]);
    met.sort_by_key(|(site, _)| Reverse(photograph.of(*site).bytes.unsigned_abs()));
    let mut symbols = Symbols::default();
    let (mut sites, mut nameless) = (BTreeMap::<CallSite, Amount>::new(), Vec::new());
    for (site, addresses) in met {
        let amount = photograph.of(site);
        match has_time() {
            true => *sites.entry(symbols.call_site(addresses, own)).or_default() += amount,
            false => nameless.push(amount),
        }
    }
    Named { sites: sites.into_iter().collect(), nameless }
}

/// The calls at the return addresses that were met so far.
#[derive(Default)]
struct Symbols(BTreeMap<usize, Vec<Frame>>);

impl Symbols {
    fn call_site(&mut self, addresses: Vec<usize>, own: &[&str]) -> CallSite {
        let stack = addresses.into_iter().flat_map(|address| {
            let frames = self.0.entry(address).or_insert_with(|| frames(address));
            frames.clone()
        });
        CallSite::new(stack.filter(|frame: &Frame| !frame.is_in(&NOISE)).collect(), own)
    }
}

/// The calls that are at a return address: several where some were inlined, the innermost first.
fn frames(address: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut::<c_void>(address), |symbol| {
        let function = symbol.name().map_or("?".to_owned(), |name| format!("{name:#}"));
        let file = symbol.filename().map(|file| short(&file.to_string_lossy()).to_owned());
        let place = match (file, symbol.lineno()) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file,
            (None, _) => String::new(),
        };
        frames.push(Frame { function, place });
    });
    frames
}

/// The path without what differs from machine to machine.
fn short(path: &str) -> &str {
    let workspace = WORKSPACE.trim_end_matches("heap/../");
    if let Some(own) = path.strip_prefix(workspace) {
        return own;
    }
    // A library's is in a folder named for where it came from, the standard library's in one named for its revision.
    let after = |mark: &str| path.split_once(mark).and_then(|(_, rest)| rest.split_once('/'));
    match after("/registry/src/").or_else(|| after("/rustc/")) {
        Some((_, rest)) => rest,
        None => path,
    }
}
