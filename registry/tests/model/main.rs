//! The publish/collect protocol, explored exhaustively in small set-ups: every order of every step of pushes, deletes,
//! rollbacks, mounts and collectors, each of which may die after any step. The protocol holds; every fault that it could
//! have is found, and by which promise it is found stands here.

#![expect(unreachable_pub, reason = "a program has no outside: `pub` here means what it means in a library")]

mod collect;
mod protocol;
mod push;
mod replay;
mod state;
mod stepped;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use replay::{Dice, Schedule, run};
use stepped::Batches;
use wharf_blobstore::{Store, embedded};

use protocol::{ACKNOWLEDGED, CLEAN, Fault, KEPT, MENDED, NEEDED, Protocol, Pushed, READABLE, TAGGED, USABLE};
use state::Content::{Blob, Manifest};
use state::{Content, Job, Process};

fn manifest(needs: &[Content]) -> Pushed {
    Pushed { repository: 0, needs: needs.to_vec(), published: false }
}

fn published(needs: &[Content]) -> Pushed {
    Pushed { published: true, ..manifest(needs) }
}

fn push(manifest: u8, tries: u8) -> Process {
    Process::new(Job::Push { manifest, tag: false }, tries)
}

fn push_tagged(manifest: u8) -> Process {
    Process::new(Job::Push { manifest, tag: true }, 0)
}

fn delete(manifest: u8) -> Process {
    Process::new(Job::Delete { manifest }, 0)
}

fn rollback(manifest: u8) -> Process {
    Process::new(Job::Rollback { manifest }, 0)
}

fn unlink(blob: u8) -> Process {
    Process::new(Job::Unlink { repository: 0, blob }, 0)
}

/// Somebody who pulls by the tag.
fn come_by() -> Process {
    Process::new(Job::Mend, 0)
}

/// A collector that takes up so many candidates.
fn collect(candidates: u8) -> Process {
    Process::new(Job::Collect, candidates - 1)
}

/// Small worlds, in which everything that can happen does.
fn set_ups() -> Vec<Protocol> {
    let one = || published(&[Blob(0)]);
    let other = || manifest(&[Blob(0)]);
    vec![
        Protocol::new("a push and a collector", 1, vec![other()], vec![push(0, 1), collect(2)]),
        Protocol::new("a delete and two collectors", 1, vec![one()], vec![delete(0), collect(1), collect(1)]),
        Protocol::new("a push and two collectors", 1, vec![other()], vec![push(0, 0), collect(1), collect(1)]),
        Protocol::new("pushed again while deleted", 1, vec![one()], vec![push(0, 0), delete(0), collect(2)]),
        Protocol::new("one goes, another comes", 1, vec![other(), one()], vec![push(0, 0), delete(1), collect(1)]),
        Protocol::new(
            "a layer in common",
            2,
            vec![published(&[Blob(0), Blob(1)]), manifest(&[Blob(1)])],
            vec![push(1, 0), delete(0), collect(1)],
        ),
        Protocol::new(
            "an index and its child",
            1,
            vec![one(), manifest(&[Manifest(0)])],
            vec![push(1, 0), delete(0), collect(1)],
        ),
        Protocol::new(
            "a mount from a repository that lets go",
            1,
            vec![one(), Pushed { repository: 1, ..other() }],
            vec![push(1, 0), delete(0), collect(1)],
        ),
        Protocol::new(
            "a rollback while the old version is deleted",
            1,
            vec![one(), one()],
            vec![rollback(0), delete(0), collect(1)],
        )
        .tagged(2, &[1, 0]),
        Protocol::new(
            "a tag moves to what is being deleted",
            1,
            vec![one(), one()],
            vec![push_tagged(0), delete(0), collect(1)],
        )
        .tagged(2, &[1]),
        Protocol::new(
            "a version leaves the history",
            1,
            vec![one(), one()],
            vec![push_tagged(0), delete(1), collect(1)],
        )
        .tagged(1, &[1]),
        Protocol::new(
            "a tag moves to what is being deleted, and somebody comes by",
            1,
            vec![one(), one()],
            vec![push_tagged(0), delete(0), come_by()],
        )
        .tagged(2, &[1]),
        // As a push leaves it that was killed.
        Protocol::new(
            "what a tag points at is pushed again while two come by",
            1,
            vec![other(), one()],
            vec![push_tagged(0), come_by(), come_by()],
        )
        .tagged(2, &[0, 1]),
        Protocol::new(
            "two push what a tag points at while somebody comes by",
            1,
            vec![other(), one()],
            vec![push_tagged(0), push_tagged(0), come_by()],
        )
        .tagged(2, &[0, 1]),
        Protocol::new("unlinked while pushed", 1, vec![other()], vec![push(0, 1), unlink(0), collect(1)]),
        Protocol::new("two pushes of one manifest", 1, vec![other()], vec![push(0, 0), push(0, 0), collect(1)]),
        Protocol::new(
            "one goes, another comes, and two collect",
            1,
            vec![other(), one()],
            vec![push(0, 0), delete(1), collect(1), collect(1)],
        ),
    ]
}

#[test]
fn the_protocol_holds() {
    let (mut states, begun) = (0, std::time::Instant::now());
    for set_up in set_ups() {
        let (name, before) = (set_up.name, std::time::Instant::now());
        let checker = set_up.checker().threads(2).spawn_bfs().join();
        println!("{name}: {} states, {:?}", checker.unique_state_count(), before.elapsed());
        if let Some((property, path)) = checker.discoveries().into_iter().next() {
            panic!("{name}: not so: {property}\n{}", steps(path));
        }
        states += checker.unique_state_count();
    }
    println!("{states} states in {:?}", begun.elapsed());
    assert!(states > 20_000, "the set-ups explore next to nothing: {states} states");
}

fn steps(path: stateright::Path<state::State, (usize, protocol::Choice)>) -> String {
    let lines = path.into_vec().into_iter().map(|(state, action)| format!("{state:?}\n    then {action:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// How a fault was found.
struct Found {
    /// The number of the set-up.
    set_up: usize,
    promise: &'static str,
    /// Whose step each step was.
    order: Vec<usize>,
}

/// The set-up in which a fault breaks one of these promises, the first there is.
fn found(fault: Fault, promises: &[&'static str]) -> Option<Found> {
    set_ups().into_iter().enumerate().find_map(|(number, set_up)| {
        let any = HasDiscoveries::AnyOf(promises.iter().copied().collect());
        let checker = set_up.with(fault).checker().threads(2).finish_when(any).spawn_bfs().join();
        let (promise, path) = checker.discoveries().into_iter().find(|(broken, _)| promises.contains(broken))?;
        let order = path.into_actions().into_iter().map(|(process, _)| process).collect();
        Some(Found { set_up: number, promise, order })
    })
}

/// By which promises each fault is found.
fn breaks(fault: Fault) -> &'static [&'static str] {
    match fault {
        Fault::DeleteBeforeCondemning
        | Fault::StateBeforeReferences
        | Fault::ReusedKey
        | Fault::VoidedWithoutSwap
        | Fault::UnconditionalCommit
        | Fault::NoSeal
        | Fault::CommitWithoutEntry
        | Fault::CondemnedIsReliable
        | Fault::ReferencesBeforeRecord
        | Fault::DeleteWithoutCondemning
        | Fault::DeletePassesPending => &[NEEDED],
        Fault::HolderWithoutId => &[NEEDED, USABLE],
        Fault::CondemnedForgotten | Fault::NeededNotAffirmed => &[USABLE],
        Fault::FinishBeforeAnnounce
        | Fault::OldBytesForgotten
        | Fault::CandidateAfterDelete
        | Fault::DeleteNotGivenUp => &[CLEAN],
        Fault::TagUnchecked => &[KEPT, ACKNOWLEDGED],
        Fault::NotDoubted | Fault::DoubtedAndTaken | Fault::AnybodysDoubt | Fault::DoubtStays => &[TAGGED],
        Fault::NotMended => &[MENDED],
        Fault::UnlinkLooksOnce | Fault::UnlinkPassesPending => &[READABLE],
    }
}

/// Each fault is found by its promise; and the order of steps in which it does harm does none to the real code, however
/// its steps are stretched to the real ones.
#[test]
fn every_fault_is_found_and_does_no_harm_to_the_real_code() {
    let runtime = runtime();
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let begun = std::time::Instant::now();
        let Some(Found { set_up, promise, order }) = found(fault, breaks(fault)) else {
            missed.push(fault);
            continue;
        };
        let name = set_ups()[set_up].name;
        println!("{fault:?}: not so: {promise} ({name}, {} steps, {:?})", order.len(), begun.elapsed());
        for seed in 0..STRETCHES {
            let mut dice = Dice::new(seed + 1);
            let most = 1 + usize::try_from(seed % 5).expect("small");
            let order = order.iter().flat_map(|process| vec![*process; 1 + dice.below(most)]).collect();
            let batches = if seed.is_multiple_of(2) { Batches::Whole } else { Batches::Split };
            let schedule = Schedule { order, dice, deaths: None, batches, every_step: true };
            let set_up = set_ups().swap_remove(set_up);
            runtime.block_on(run(set_up, Store::memory(), schedule));
        }
    }
    assert!(missed.is_empty(), "{missed:?} break nothing");
}

/// Ways in which each harmful order is stretched.
const STRETCHES: u64 = 20;
/// Random schedules of each set-up in memory, and in the embedded engine.
const IN_MEMORY: u64 = 200;
const ON_DISK: u64 = 6;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

fn random(seed: u64, every_step: bool) -> Schedule {
    let dice = Dice::new(seed);
    let batches = if seed.is_multiple_of(2) { Batches::Whole } else { Batches::Split };
    let deaths = seed.is_multiple_of(3).then_some(25);
    Schedule { order: Vec::new(), dice, deaths, batches, every_step }
}

#[test]
fn any_order_of_steps_in_memory_keeps_what_is_needed_and_leaves_nothing_else() {
    let runtime = runtime();
    let (mut schedules, mut steps) = (0, 0);
    for number in 0..set_ups().len() {
        for seed in 1..=IN_MEMORY {
            let set_up = set_ups().swap_remove(number);
            steps += runtime.block_on(run(set_up, Store::memory(), random(seed, true)));
            schedules += 1;
        }
    }
    println!("{schedules} schedules, {steps} steps");
}

#[test]
fn any_order_of_steps_on_disk_keeps_what_is_needed_and_leaves_nothing_else() {
    // No paused time: threads of the engine take real time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    for number in 0..set_ups().len() {
        for seed in 1..=ON_DISK {
            let set_up = set_ups().swap_remove(number);
            let store = embedded::open(directory.path()).expect("a store");
            runtime.block_on(run(set_up, store, random(seed + IN_MEMORY, false)));
        }
    }
}

/// A push that dies after each of its steps leaves nothing that stays, and the next push works.
#[test]
fn a_push_may_die_after_any_step() {
    let runtime = runtime();
    let mut steps = 0;
    loop {
        let set_up = || Protocol::new("a push", 2, vec![manifest(&[Blob(0), Blob(1)])], vec![push(0, 0)]);
        let schedule = Schedule {
            order: vec![0; steps],
            dice: Dice::new(1),
            deaths: Some(1),
            batches: Batches::Split,
            every_step: true,
        };
        let store = Store::memory();
        let taken = runtime.block_on(run(set_up(), store.clone(), schedule));
        runtime.block_on(run(set_up(), store, random(1, true)));
        if taken < steps {
            break;
        }
        steps += 1;
    }
    assert!(steps > 15, "{steps} steps");
}
