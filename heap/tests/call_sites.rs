//! What is on the heap is found at the line that allocated it.

use std::{
    hint::black_box,
    mem,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
    thread,
};

use rehearsal_heap::{
    Amount, CallSite, CountingAllocator, Held, Scope, charge_to, compare, enter, held, name,
    record, usage,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What is recorded is the same for all threads: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const OWN: [&str; 1] = ["call_sites::"];

/// Runs `what` while what the gateway allocates is recorded: what was there before and after.
fn recorded(what: impl FnOnce()) -> [Held; 2] {
    record(&[Scope::Gateway]);
    let before = held();
    {
        let _scope = enter(Scope::Gateway);
        what();
    }
    let after = held();
    record(&[]);
    [before, after]
}

/// Call sites of `photographs` that grew between the two.
fn grown(photographs: &[Held; 2]) -> Vec<(CallSite, Amount)> {
    let sites = compare(&photographs.each_ref(), &OWN).into_iter();
    let grown = sites.map(|(site, amounts)| (site, amounts[1] - amounts[0]));
    grown.filter(|(_, amount)| *amount != Amount::NONE).collect()
}

#[inline(never)]
fn forgets(bytes: usize) {
    mem::forget(black_box(vec![1_u8; bytes]));
}

fn culprit(site: &CallSite) -> String {
    site.culprit().expect("there are frames").to_string()
}

#[test]
fn what_is_forgotten_is_found_with_file_and_line() {
    let _alone = ALONE.lock();
    let photographs = recorded(|| (0..3).for_each(|_| forgets(100)));
    let grown = grown(&photographs);
    let [(site, amount)] = &grown[..] else { panic!("{grown:?}") };
    assert_eq!(*amount, Amount { blocks: 3, bytes: 300 });
    let line = culprit(site);
    assert!(line.starts_with("call_sites::forgets (heap/tests/call_sites.rs:"), "{line}");
    assert!(site.to_string().contains("what_is_forgotten_is_found"), "{site}");
    // No addresses, no folders of this machine.
    assert!(!site.to_string().contains("0x"), "{site}");
    assert!(site.stack.iter().all(|frame| !frame.place.starts_with(env!("CARGO_MANIFEST_DIR"))));
}

#[test]
fn what_is_given_back_is_not_there_whoever_does_it() {
    let _alone = ALONE.lock();
    let mut kept = Vec::new();
    let photographs = recorded(|| kept = black_box(vec![1_u8; 100]));
    assert_eq!(grown(&photographs).len(), 1);
    #[allow(clippy::disallowed_methods, reason = "another thread is what this is about")]
    thread::spawn(move || drop(kept)).join().expect("frees");
    assert_eq!(grown(&[photographs[0].clone(), held()]), []);
}

#[test]
fn what_grows_is_found_where_it_grew() {
    let _alone = ALONE.lock();
    let mut buffer: Vec<u8> = Vec::new();
    let first = recorded(|| buffer.extend([0; 100]));
    let second = recorded(|| {
        buffer.reserve(1_000);
    });
    let grown = grown(&[first[1].clone(), second[1].clone()]);
    let bytes = grown.iter().map(|(_, amount)| amount.bytes).sum::<i64>();
    let blocks = grown.iter().map(|(_, amount)| amount.blocks).sum::<i64>();
    assert_eq!((blocks, bytes), (0, buffer.capacity() as i64 - 100), "{grown:?}");
    assert!(grown.iter().any(|(_, amount)| *amount == Amount { blocks: -1, bytes: -100 }));
}

#[test]
fn stacks_that_read_alike_are_one_site_and_others_are_not() {
    let _alone = ALONE.lock();
    let photographs = recorded(|| {
        for bytes in [10, 20] {
            forgets(bytes);
        }
        forgets(40);
    });
    let mut amounts: Vec<_> = grown(&photographs).into_iter().map(|(_, amount)| amount).collect();
    amounts.sort();
    assert_eq!(amounts, [Amount { blocks: 1, bytes: 40 }, Amount { blocks: 2, bytes: 30 }]);
}

#[test]
fn only_the_scopes_asked_for_are_recorded_and_all_are_counted() {
    let _alone = ALONE.lock();
    let clients = usage(Scope::Client);
    let photographs = recorded(|| {
        let _scope = enter(Scope::Client);
        forgets(70);
    });
    assert_eq!(grown(&photographs), []);
    let now = usage(Scope::Client);
    assert_eq!(
        (now.live_blocks - clients.live_blocks, now.live_bytes - clients.live_bytes),
        (1, 70)
    );
}

#[test]
fn what_is_kept_about_sites_is_of_no_scope() {
    let _alone = ALONE.lock();
    let before = usage(Scope::Gateway);
    let photographs = recorded(|| {
        // A site a line, so that tables grow.
        let _sites = [black_box(Box::new(1)), black_box(Box::new(2)), black_box(Box::new(3))];
    });
    assert_eq!(grown(&photographs), []);
    assert_eq!(usage(Scope::Gateway).live_blocks, before.live_blocks);
}

#[test]
fn what_holds_most_is_named_first_and_the_rest_counted_when_time_is_over() {
    let _alone = ALONE.lock();
    let [before, after] = recorded(|| {
        forgets(10);
        forgets(3_000);
        forgets(200);
    });
    let added = after.since(&before);
    let all = name(&added, &OWN, || true);
    assert_eq!((all.sites.len(), all.nameless.len()), (3, 0), "{all:?}");
    let mut time = 1;
    let named = name(&added, &OWN, || {
        time -= 1;
        time >= 0
    });
    let [(site, amount)] = &named.sites[..] else { panic!("{named:?}") };
    assert_eq!((amount.bytes, named.nameless.len()), (3_000, 2), "{named:?}");
    assert!(culprit(site).contains("::forgets "), "{site}");
    assert_eq!(name(&added, &OWN, || false).sites, []);
}

#[test]
fn the_difference_of_two_photographs_has_what_came_and_what_went() {
    let _alone = ALONE.lock();
    let mut goes = Vec::new();
    let [_, with] = recorded(|| goes = black_box(vec![1_u8; 100]));
    let [_, after] = recorded(|| {
        forgets(30);
        drop(goes);
    });
    let mut amounts: Vec<_> = name(&after.since(&with), &OWN, || true).sites.into_iter().collect();
    amounts.retain(|(_, amount)| *amount != Amount::NONE);
    let mut amounts: Vec<_> = amounts.into_iter().map(|(_, amount)| amount).collect();
    amounts.sort();
    assert_eq!(amounts, [Amount { blocks: -1, bytes: -100 }, Amount { blocks: 1, bytes: 30 }]);
    // What is met later held nothing before, whichever photograph is asked.
    assert_eq!(with.since(&after).total().bytes, 70);
}

#[test]
fn a_future_is_charged_wherever_it_is_polled_and_for_nothing_between_its_polls() {
    let mut future = pin!(charge_to(Scope::Gateway, async {
        let first = black_box(vec![1_u8; 100]);
        let mut woken = false;
        std::future::poll_fn(|_| match mem::replace(&mut woken, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        (first, black_box(vec![1_u8; 1_000]))
    }));
    let before = usage(Scope::Gateway).live_bytes;
    let mut poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    assert_eq!(usage(Scope::Gateway).live_bytes - before, 100);
    let others = black_box(vec![1_u8; 10_000]);
    assert_eq!(usage(Scope::Gateway).live_bytes - before, 100);
    let Poll::Ready(kept) = poll() else { panic!("it was woken") };
    assert_eq!(usage(Scope::Gateway).live_bytes - before, 1_100);
    drop((kept, others));
    assert_eq!(usage(Scope::Gateway).live_bytes, before);
}
