//! What [`Records`] promises.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Case, RecordsBench};
use crate::{Change, Expect, Outcome, RecordKey, Records, RecordsExt as _, Version, Write};

type Bench = Arc<dyn RecordsBench>;

/// Lists the cases once, for [`CASES`] and for the macro.
macro_rules! cases {
    (($d:tt) $($case:ident,)+) => {
        /// Every promise.
        pub const CASES: &[Case<dyn RecordsBench>] =
            &[$(Case { name: stringify!($case), run: |bench| Box::pin($case(bench)) }),+];

        /// A module with one test per promise of [`Records`](crate::Records); `$make` is a function that makes a
        /// [`RecordsBench`](crate::conformance::RecordsBench), asynchronously.
        #[macro_export]
        macro_rules! records_conformance {
            ($d module:ident, $d make:expr) => {
                mod $d module {
                    #[allow(unused_imports, reason = "the expression may name things of the module around it")]
                    use super::*;

                    $(
                        #[test]
                        fn $case() {
                            $crate::conformance::check_records(stringify!($case), $d make);
                        }
                    )+
                }
            };
        }
    };
}

cases! {
    ($)
    what_was_written_is_read,
    what_is_not_there_is_absent,
    values_are_any_bytes,
    a_large_value_is_kept,
    creating_what_exists_is_a_conflict,
    a_conflict_leaves_the_record,
    a_record_is_deleted_at_its_version,
    what_is_retired_is_deleted_at_its_version,
    a_version_never_comes_again,
    every_write_of_a_batch_stands_alone,
    a_large_batch_is_answered_in_order,
    several_records_are_read_in_the_order_asked,
    a_prefix_is_not_a_path,
    a_prefix_is_not_a_pattern,
    listing_starts_after_any_text,
    listing_is_limited_and_goes_on,
    keys_are_ordered_by_bytes,
    one_of_many_creators_wins,
    no_update_is_lost,
    a_generation_ends_with_the_next_write,
    what_was_read_in_a_generation_is_so_until_it_ends,
    a_write_is_seen_through_another_handle_at_once,
    a_reader_never_goes_back,
}

fn key(text: &str) -> RecordKey {
    RecordKey::new(text)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// A write that must go well; its version.
async fn put(records: &dyn Records, text: &str, expect: Expect, value: Bytes) -> Version {
    match records.swap(key(text), expect, Change::Put(value)).await.unwrap() {
        Outcome::Done(version) => version,
        Outcome::Conflict => panic!("conflict on {text}"),
    }
}

/// Whether somebody else came first.
async fn conflicts(records: &dyn Records, text: &str, expect: Expect, change: Change) -> bool {
    records.swap(key(text), expect, change).await.unwrap() == Outcome::Conflict
}

async fn value(records: &dyn Records, text: &str) -> Option<Bytes> {
    records.get(&key(text)).await.unwrap().map(|record| record.value)
}

/// Creates records whose value is their key.
async fn create(records: &dyn Records, keys: &[&str]) {
    let write = |text: &&str| Write {
        key: key(text),
        expect: Expect::Absent,
        change: Change::Put(Bytes::copy_from_slice(text.as_bytes())),
    };
    for outcome in records.write(keys.iter().map(write).collect()).await.unwrap() {
        assert!(matches!(outcome, Outcome::Done(_)));
    }
}

/// The keys of a listing; every value must be the one of its key.
async fn keys(records: &dyn Records, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let entries = records.list(prefix, after, limit).await.unwrap();
    let checked = entries.into_iter().map(|entry| {
        assert_eq!(entry.record.value, entry.key.as_str().as_bytes(), "a value under another key");
        entry.key.as_str().to_owned()
    });
    checked.collect()
}

/// Deletes everything, at the versions a listing gives.
async fn clear(records: &dyn Records) {
    loop {
        let entries = records.list("", None, 100).await.unwrap();
        if entries.is_empty() {
            return;
        }
        let delete = |entry: crate::Entry| Write {
            key: entry.key,
            expect: Expect::Version(entry.record.version),
            change: Change::Delete,
        };
        for outcome in records.write(entries.into_iter().map(delete).collect()).await.unwrap() {
            assert!(matches!(outcome, Outcome::Done(_)), "a listing gave a version that is not the record's");
        }
    }
}

async fn what_was_written_is_read(bench: Bench) {
    let records = bench.records().await;
    let first = put(&*records, "a/b", Expect::Absent, text("one")).await;
    let found = records.get(&key("a/b")).await.unwrap().unwrap();
    assert_eq!((found.value, &found.version), (text("one"), &first));
    let second = put(&*records, "a/b", Expect::Version(first.clone()), text("two")).await;
    assert_ne!(first, second);
    let found = records.get(&key("a/b")).await.unwrap().unwrap();
    assert_eq!((found.value, found.version), (text("two"), second));
    clear(&*records).await;
}

async fn what_is_not_there_is_absent(bench: Bench) {
    let records = bench.records().await;
    assert_eq!(records.get(&key("a")).await.unwrap(), None);
    assert_eq!(records.list("", None, 10).await.unwrap(), []);
    assert_eq!(records.get_many(&[]).await.unwrap(), []);
    assert_eq!(records.write(Vec::new()).await.unwrap(), []);
    for version in ["", "1", "0", "-1", "nonsense"] {
        let expect = Expect::Version(Version(version.to_owned()));
        assert!(conflicts(&*records, "a", expect.clone(), Change::Put(text("x"))).await);
        assert!(conflicts(&*records, "a", expect, Change::Delete).await);
    }
    assert_eq!(value(&*records, "a").await, None);
}

async fn values_are_any_bytes(bench: Bench) {
    let records = bench.records().await;
    let all: Bytes = (0..=255).collect();
    put(&*records, "all", Expect::Absent, all.clone()).await;
    put(&*records, "none", Expect::Absent, Bytes::new()).await;
    assert_eq!(value(&*records, "all").await, Some(all));
    assert_eq!(value(&*records, "none").await, Some(Bytes::new()));
    assert_eq!(records.list("", None, 10).await.unwrap().len(), 2);
    clear(&*records).await;
}

async fn a_large_value_is_kept(bench: Bench) {
    let records = bench.records().await;
    let large: Bytes = (0..4_u32 << 20).map(|index| (index.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
    let version = put(&*records, "large", Expect::Absent, large.clone()).await;
    assert!(value(&*records, "large").await == Some(large.clone()));
    let listed = records.list("la", None, 10).await.unwrap();
    assert!(listed.len() == 1 && listed[0].record.value == large);
    put(&*records, "large", Expect::Version(version), text("small")).await;
    assert_eq!(value(&*records, "large").await, Some(text("small")));
    clear(&*records).await;
}

async fn creating_what_exists_is_a_conflict(bench: Bench) {
    let records = bench.records().await;
    put(&*records, "a", Expect::Absent, text("one")).await;
    assert!(conflicts(&*records, "a", Expect::Absent, Change::Put(text("two"))).await);
    assert!(conflicts(&*records, "a", Expect::Absent, Change::Delete).await);
    assert_eq!(value(&*records, "a").await, Some(text("one")));
    clear(&*records).await;
}

async fn a_conflict_leaves_the_record(bench: Bench) {
    let records = bench.records().await;
    let old = put(&*records, "a", Expect::Absent, text("one")).await;
    let new = put(&*records, "a", Expect::Version(old.clone()), text("two")).await;
    let strange = [old.0.clone(), String::new(), "0".to_owned(), format!("{} ", new.0), format!("0{}", new.0)];
    for version in strange {
        let expect = Expect::Version(Version(version));
        assert!(conflicts(&*records, "a", expect.clone(), Change::Put(text("three"))).await);
        assert!(conflicts(&*records, "a", expect, Change::Delete).await);
    }
    let found = records.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((found.value, found.version), (text("two"), new));
    clear(&*records).await;
}

async fn a_record_is_deleted_at_its_version(bench: Bench) {
    let records = bench.records().await;
    let version = put(&*records, "a", Expect::Absent, text("one")).await;
    create(&*records, &["a/b", "b"]).await;
    let expect = Expect::Version(version);
    assert!(!conflicts(&*records, "a", expect.clone(), Change::Delete).await);
    assert_eq!(records.get(&key("a")).await.unwrap(), None);
    assert_eq!(keys(&*records, "", None, 10).await, ["a/b", "b"]);
    assert!(conflicts(&*records, "a", expect, Change::Delete).await, "deleted twice");
    clear(&*records).await;
}

async fn what_is_retired_is_deleted_at_its_version(bench: Bench) {
    let records = bench.records().await;
    let first = put(&*records, "id/1", Expect::Absent, text("one")).await;
    let second = put(&*records, "id/1", Expect::Version(first.clone()), text("two")).await;
    create(&*records, &["id/2"]).await;
    assert!(conflicts(&*records, "id/1", Expect::Version(first.clone()), Change::Retire).await, "it has moved on");
    assert!(conflicts(&*records, "id/1", Expect::Absent, Change::Retire).await, "it is there");
    assert!(!conflicts(&*records, "id/1", Expect::Version(second.clone()), Change::Retire).await);
    // Before and after whatever was left behind is gone.
    for _ in 0..20 {
        assert_eq!(records.get(&key("id/1")).await.unwrap(), None);
        assert_eq!(keys(&*records, "id/", None, 10).await, ["id/2"]);
        for version in [&first, &second] {
            let expect = Expect::Version(version.clone());
            assert!(conflicts(&*records, "id/1", expect, Change::Put(text("late"))).await);
        }
    }
    clear(&*records).await;
}

/// Or else: read, somebody deletes and creates again, and what was read long ago is taken for what is there.
async fn a_version_never_comes_again(bench: Bench) {
    let records = bench.records().await;
    let mut seen = HashSet::new();
    for _ in 0..5 {
        let mut version = put(&*records, "a", Expect::Absent, text("same")).await;
        for _ in 0..3 {
            assert!(seen.insert(version.clone()), "{version:?} came again");
            version = put(&*records, "a", Expect::Version(version), text("same")).await;
        }
        assert!(seen.insert(version.clone()), "{version:?} came again");
        assert!(!conflicts(&*records, "a", Expect::Version(version), Change::Delete).await);
        for version in &seen {
            let expect = Expect::Version(version.clone());
            assert!(conflicts(&*records, "a", expect, Change::Put(text("late"))).await);
        }
    }
    // Another handle, as after a restart, goes on where this one stopped.
    let records = bench.records().await;
    let version = put(&*records, "a", Expect::Absent, text("same")).await;
    assert!(seen.insert(version.clone()), "{version:?} came again");
    clear(&*records).await;
}

async fn every_write_of_a_batch_stands_alone(bench: Bench) {
    let records = bench.records().await;
    create(&*records, &["exists"]).await;
    let put = |text: &str| Write { key: key(text), expect: Expect::Absent, change: Change::Put(self::text("new")) };
    let stale = Write { key: key("gone"), expect: Expect::Version(Version("1".to_owned())), change: Change::Delete };
    let outcomes = records.write(vec![put("first"), put("exists"), stale, put("last")]).await.unwrap();
    let done: Vec<_> = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Done(_))).collect();
    assert_eq!(done, [true, false, false, true]);
    assert_eq!(value(&*records, "first").await, Some(text("new")));
    assert_eq!(value(&*records, "exists").await, Some(text("exists")));
    assert_eq!(value(&*records, "last").await, Some(text("new")));
    for (name, outcome) in [("first", &outcomes[0]), ("last", &outcomes[3])] {
        let version = records.get(&key(name)).await.unwrap().unwrap().version;
        assert_eq!(outcome, &Outcome::Done(version), "the version of {name}");
    }
    clear(&*records).await;
}

async fn a_large_batch_is_answered_in_order(bench: Bench) {
    let records = bench.records().await;
    let names: Vec<_> = (0..300).map(|number| format!("batch/{:03}", (number * 7) % 300)).collect();
    create(&*records, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let found = records.get_many(&names.iter().map(|name| key(name)).collect::<Vec<_>>()).await.unwrap();
    let delete = |(name, record): (&String, Option<crate::Record>)| Write {
        key: key(name),
        expect: Expect::Version(record.unwrap().version),
        change: Change::Delete,
    };
    let outcomes = records.write(names.iter().zip(found).map(delete).collect()).await.unwrap();
    assert!(outcomes.len() == 300 && outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done(_))));
}

async fn several_records_are_read_in_the_order_asked(bench: Bench) {
    let records = bench.records().await;
    create(&*records, &["a", "b", "c"]).await;
    let asked: Vec<_> = ["c", "missing", "a", "c", "b"].into_iter().cycle().take(100).collect();
    let found = records.get_many(&asked.iter().map(|name| key(name)).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(found.len(), asked.len());
    for (name, record) in asked.iter().zip(found) {
        let expected = (*name != "missing").then(|| Bytes::from_static(name.as_bytes()));
        assert_eq!(record.map(|record| record.value), expected);
    }
    clear(&*records).await;
}

async fn a_prefix_is_not_a_path(bench: Bench) {
    let records = bench.records().await;
    // In the order of bytes: `-` and `.` come before `/`, `0` after it.
    let names = ["a", "a-", "a.b", "a/b", "a/b/c", "a/bc", "a0", "ab", "b"];
    create(&*records, &names).await;
    for (prefix, expected) in [
        ("a/", vec!["a/b", "a/b/c", "a/bc"]),
        ("a/b", vec!["a/b", "a/b/c", "a/bc"]),
        ("a/b/", vec!["a/b/c"]),
        ("a", vec!["a", "a-", "a.b", "a/b", "a/b/c", "a/bc", "a0", "ab"]),
        ("", names.to_vec()),
        ("b/", vec![]),
        ("c", vec![]),
    ] {
        assert_eq!(keys(&*records, prefix, None, 100).await, expected, "prefix {prefix:?}");
    }
    clear(&*records).await;
}

async fn a_prefix_is_not_a_pattern(bench: Bench) {
    let records = bench.records().await;
    create(&*records, &["A/x", "a%/x", "a*/x", "a?/x", "a[b]/x", "a\\/x", "a_/x", "ab/x", "a\"'/x"]).await;
    for prefix in ["a%", "a_", "a*", "a?", "a[b]", "a\\", "A", "a\"'"] {
        assert_eq!(keys(&*records, prefix, None, 100).await, [format!("{prefix}/x")]);
    }
    clear(&*records).await;
}

async fn listing_starts_after_any_text(bench: Bench) {
    let records = bench.records().await;
    create(&*records, &["a/1", "b/1", "b/2", "b/3", "c/1"]).await;
    for (after, expected) in [
        ("", vec!["b/1", "b/2", "b/3"]),
        ("a", vec!["b/1", "b/2", "b/3"]),
        ("a/9", vec!["b/1", "b/2", "b/3"]),
        ("b", vec!["b/1", "b/2", "b/3"]),
        ("b/", vec!["b/1", "b/2", "b/3"]),
        ("b/1", vec!["b/2", "b/3"]),
        ("b/15", vec!["b/2", "b/3"]),
        ("b/3", vec![]),
        ("b0", vec![]),
        ("c", vec![]),
        ("\u{10FFFF}", vec![]),
    ] {
        assert_eq!(keys(&*records, "b/", Some(after), 100).await, expected, "after {after:?}");
    }
    assert_eq!(keys(&*records, "", Some("b/2"), 100).await, ["b/3", "c/1"]);
    clear(&*records).await;
}

async fn listing_is_limited_and_goes_on(bench: Bench) {
    let records = bench.records().await;
    let names: Vec<_> = (0..100).map(|number| format!("page/{number:03}")).collect();
    create(&*records, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    create(&*records, &["page", "page0"]).await;
    assert!(keys(&*records, "page/", None, 0).await.is_empty());
    for limit in [1, 7, 50, 99, 100, 101, usize::MAX] {
        let mut listed: Vec<String> = Vec::new();
        loop {
            let page = keys(&*records, "page/", listed.last().map(String::as_str), limit).await;
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
            assert!(listed.len() <= names.len(), "listing does not get on");
        }
        assert_eq!(listed, names, "pages of {limit}");
    }
    clear(&*records).await;
}

async fn keys_are_ordered_by_bytes(bench: Bench) {
    let records = bench.records().await;
    // U+FFFD sorts after U+1F600 where text is kept in 16-bit units, and before it by bytes.
    let mut names = ["z", "Z", "_", "é", "e\u{301}", "\u{FFFD}", "\u{1F600}", "k~", "k", "k ", "k\u{1}", "10", "9"];
    create(&*records, &names).await;
    names.sort_by_key(|name| name.as_bytes());
    assert_eq!(keys(&*records, "", None, 100).await, names);
    assert_eq!(keys(&*records, "é", None, 100).await, ["é"], "texts that look alike are two keys");
    assert_eq!(keys(&*records, "", Some("z"), 100).await, ["é", "\u{FFFD}", "\u{1F600}"]);
    clear(&*records).await;
}

async fn one_of_many_creators_wins(bench: Bench) {
    for round in 0..5 {
        let name = format!("race/{round}");
        let mut creators = Vec::new();
        for number in 0..16_u8 {
            let (records, name) = (bench.records().await, name.clone());
            creators.push(tokio::spawn(async move {
                let change = Change::Put(Bytes::copy_from_slice(&[number]));
                (number, records.swap(key(&name), Expect::Absent, change).await.unwrap())
            }));
        }
        let mut winners = Vec::new();
        for creator in creators {
            let (number, outcome) = creator.await.unwrap();
            winners.extend((outcome != Outcome::Conflict).then_some(number));
        }
        assert_eq!(winners.len(), 1, "winners: {winners:?}");
        let records = bench.records().await;
        assert_eq!(value(&*records, &name).await, Some(Bytes::from(winners)));
    }
    clear(&*bench.records().await).await;
}

async fn no_update_is_lost(bench: Bench) {
    const WRITERS: u64 = 8;
    const UPDATES: u64 = 20;
    put(&*bench.records().await, "counter", Expect::Absent, text("0")).await;
    let handles = [bench.records().await, bench.records().await];
    let writers = (0..WRITERS).zip(handles.iter().cycle().cloned()).map(|(_, records)| {
        tokio::spawn(async move {
            let mut updates = 0;
            while updates < UPDATES {
                let (count, version) = records.get_json::<u64>(&key("counter")).await.unwrap().unwrap();
                let swapped = records.put_json(key("counter"), Expect::Version(version), &(count + 1)).await.unwrap();
                updates += u64::from(swapped != Outcome::Conflict);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let (count, _) = handles[0].get_json::<u64>(&key("counter")).await.unwrap().unwrap();
    assert_eq!(count, WRITERS * UPDATES);
    clear(&*handles[0]).await;
}

async fn a_write_is_seen_through_another_handle_at_once(bench: Bench) {
    let (writer, reader) = (bench.records().await, bench.records().await);
    let mut expect = Expect::Absent;
    for number in 0..50_u32 {
        let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
        let version = put(&*writer, "seen", expect, bytes.clone()).await;
        let found = reader.get(&key("seen")).await.unwrap().unwrap();
        assert_eq!((found.value, &found.version), (bytes.clone(), &version));
        assert_eq!(reader.list("seen", None, 1).await.unwrap()[0].record.value, bytes);
        // And back: whoever read it there can write it there.
        let version = put(&*reader, "seen", Expect::Version(version), bytes).await;
        assert_eq!(writer.get(&key("seen")).await.unwrap().unwrap().version, version);
        expect = Expect::Version(version);
    }
    clear(&*writer).await;
}

async fn a_reader_never_goes_back(bench: Bench) {
    const LAST: u64 = 100;
    let writer = bench.records().await;
    put(&*writer, "clock", Expect::Absent, text("0")).await;
    let readers: Vec<_> = [bench.records().await, Arc::clone(&writer)]
        .map(|records| {
            tokio::spawn(async move {
                let mut seen = 0;
                while seen < LAST {
                    let (now, _) = records.get_json::<u64>(&key("clock")).await.unwrap().unwrap();
                    assert!(now >= seen, "{now} after {seen}");
                    seen = now;
                    tokio::task::yield_now().await;
                }
            })
        })
        .into();
    for number in 1..=LAST {
        let (_, version) = writer.get_json::<u64>(&key("clock")).await.unwrap().unwrap();
        writer.put_json(key("clock"), Expect::Version(version), &number).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    clear(&*writer).await;
}

async fn a_generation_ends_with_the_next_write(bench: Bench) {
    let (reader, writer) = (bench.records().await, bench.records().await);
    // Engines that cannot tell say so every time.
    let Some(mut before) = reader.generation() else { return assert_eq!(writer.generation(), None) };
    let key = RecordKey::new("generation");
    let mut expect = Expect::Absent;
    for records in [&writer, &reader, &writer] {
        assert_eq!(reader.generation(), Some(before), "nobody has written");
        match records.swap(key.clone(), expect, Change::Put("value".into())).await.unwrap() {
            Outcome::Done(version) => expect = Expect::Version(version),
            Outcome::Conflict => panic!("nobody else writes"),
        }
        let after = reader.generation().unwrap();
        assert_ne!(after, before, "acknowledged, and not seen");
        before = after;
    }
    writer.swap(key, expect, Change::Delete).await.unwrap();
    assert_ne!(reader.generation(), Some(before));
}

async fn what_was_read_in_a_generation_is_so_until_it_ends(bench: Bench) {
    let key = RecordKey::new("counter");
    let writer = bench.records().await;
    let counting = {
        let key = key.clone();
        tokio::spawn(async move {
            let mut expect = Expect::Absent;
            for number in 0..200 {
                match writer.put_json(key.clone(), expect, &number).await.unwrap() {
                    Outcome::Done(version) => expect = Expect::Version(version),
                    Outcome::Conflict => panic!("nobody else writes"),
                }
            }
            writer.swap(key, expect, Change::Delete).await.unwrap();
        })
    };
    let reader = bench.records().await;
    while !counting.is_finished() {
        let before = reader.generation();
        let first = reader.get(&key).await.unwrap();
        let second = reader.get(&key).await.unwrap();
        if before.is_some() && reader.generation() == before {
            assert_eq!(first, second);
        }
        tokio::task::yield_now().await;
    }
    counting.await.unwrap();
}
