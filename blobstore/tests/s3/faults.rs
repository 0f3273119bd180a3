//! One request of ten goes wrong, in every way a request can. What was acknowledged is there afterwards; what was refused
//! did not happen; bytes that are read are the right ones.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use wharf_blobstore::conformance::object_cases::noise;
use wharf_blobstore::s3::{Patience, S3Config, S3Objects, S3Records, open_engines};
use wharf_blobstore::{
    Change, Error, Expect, ObjectKey, Objects as _, Outcome, RecordKey, Records as _, RecordsExt as _, Result,
};

use crate::Test;
use crate::bench::fresh;
use crate::large::{read, run};
use crate::proxy::{Fate, Kind, Proxy, by_chance};

pub(crate) fn tests(place: &'static S3Config) -> Vec<Test> {
    if !place.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        println!("skipped: faults cannot be injected into a connection that is encrypted");
        return Vec::new();
    }
    vec![
        Test::new("faults::no_acknowledged_record_is_lost", || run(no_acknowledged_record_is_lost(place))),
        Test::new("faults::a_write_that_others_came_over_is_told_from_one_that_never_was", || {
            run(a_write_that_others_came_over_is_told_from_one_that_never_was(place));
        }),
        Test::new("faults::no_acknowledged_object_is_lost", || run(no_acknowledged_object_is_lost(place))),
        Test::new("faults::every_fault_is_survived_by_reads_and_by_writes", || {
            run(every_fault_is_survived_by_reads_and_by_writes(place));
        }),
        Test::new("faults::a_service_that_is_gone_is_told_in_time", || {
            run(a_service_that_is_gone_is_told_in_time(place));
        }),
        Test::new("faults::a_service_without_conditions_is_refused", || {
            run(a_service_without_conditions_is_refused(place));
        }),
    ]
}

/// A store seen through a bad network, and the same one seen clearly.
struct Both {
    proxy: Proxy,
    bad: (S3Objects, S3Records),
    good: (S3Objects, S3Records),
}

async fn both(place: &S3Config) -> Both {
    let both = both_through(place, by_chance).await;
    both.proxy.set_percentage(10);
    both
}

/// Everything goes well until [`Proxy::set_percentage`].
async fn both_through(place: &S3Config, fate: impl Fn(u64, u64) -> Fate + Send + 'static) -> Both {
    let good = fresh(place);
    let proxy = Proxy::start(good.endpoint.as_ref().unwrap(), fate).await;
    let patience =
        Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(2), retries: Duration::from_secs(20) };
    let bad = S3Config { endpoint: Some(proxy.endpoint.clone()), patience, ..good.clone() };
    let engines = (open_engines(&bad).await.unwrap(), open_engines(&good).await.unwrap());
    Both { proxy, bad: engines.0, good: engines.1 }
}

async fn no_acknowledged_record_is_lost(place: &S3Config) {
    const WRITERS: u64 = 6;
    const UPDATES: u64 = 25;
    let both = both(place).await;
    let counter = RecordKey::new("counter");
    both.good.1.put_json(counter.clone(), Expect::Absent, &0_u64).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (records, counter) = (both.bad.1.clone(), counter.clone());
        tokio::spawn(async move {
            let (mut acknowledged, mut unknown) = (0, 0);
            let own = RecordKey::new(format!("own/{writer}"));
            let mut last = 0;
            for update in 1..=UPDATES {
                match increment(&records, &counter).await {
                    Ok(Outcome::Done(_)) => acknowledged += 1,
                    Ok(Outcome::Conflict) => {}
                    Err(Error::Unavailable { .. }) => unknown += 1,
                    Err(other) => panic!("{other}"),
                }
                // Nobody else writes this one, so a conflict is a lie.
                let expect =
                    records.get(&own).await.map(|found| found.map_or(Expect::Absent, |it| Expect::Version(it.version)));
                let value = Bytes::copy_from_slice(&update.to_le_bytes());
                match async { records.swap(own.clone(), expect?, Change::Put(value)).await }.await {
                    Ok(Outcome::Done(_)) => last = update,
                    Ok(Outcome::Conflict) => panic!("a conflict with nobody"),
                    Err(Error::Unavailable { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            (acknowledged, unknown, own, last)
        })
    });
    let (mut acknowledged, mut unknown) = (0, 0);
    for writer in writers.collect::<Vec<_>>() {
        let (done, maybe, own, last) = writer.await.unwrap();
        (acknowledged, unknown) = (acknowledged + done, unknown + maybe);
        let found = both.good.1.get(&own).await.unwrap().unwrap().value;
        let found = u64::from_le_bytes(found[..].try_into().unwrap());
        assert!(found >= last, "{found} where {last} was acknowledged");
    }
    let (count, _) = both.good.1.get_json::<u64>(&counter).await.unwrap().unwrap();
    assert!(acknowledged <= count, "{acknowledged} acknowledged, {count} there");
    assert!(count <= acknowledged + unknown, "{count} there, {acknowledged} acknowledged, {unknown} perhaps");
    assert!(acknowledged > 0 && both.proxy.harmed.load(Ordering::Relaxed) > 10, "the network was too good");
}

/// No attempt of a write is answered until others have written. Whether it was carried out is known all the same.
async fn a_write_that_others_came_over_is_told_from_one_that_never_was(place: &S3Config) {
    for (fate, expected) in [(Fate::Denied, true), (Fate::Lost, false)] {
        let both = both_through(place, move |_, percentage| if percentage == 0 { Fate::Answered } else { fate }).await;
        let (bad, good) = (both.bad.1, both.good.1);
        for key in ["new", "old"].map(RecordKey::new) {
            let value = |text: &'static str| Change::Put(Bytes::from_static(text.as_bytes()));
            both.proxy.set_percentage(0);
            let mut before = Expect::Absent;
            if key.as_str() == "old" {
                good.swap(key.clone(), Expect::Absent, value("before")).await.unwrap();
                before = Expect::Version(bad.get(&key).await.unwrap().unwrap().version);
            }
            let expect = before.clone();
            both.proxy.set_percentage(100);
            let (records, own) = (bad.clone(), key.clone());
            let write = tokio::spawn(async move { records.swap(own, expect, value("ours")).await });
            if expected {
                let carried_out = async {
                    loop {
                        if let Some(found) = good.get(&key).await.unwrap().filter(|found| found.value == "ours") {
                            break found.version;
                        }
                    }
                };
                let version = tokio::time::timeout(Duration::from_secs(20), carried_out).await;
                before = Expect::Version(version.expect("it is carried out"));
            }
            for text in ["theirs", "theirs again"] {
                match good.swap(key.clone(), before, value(text)).await.unwrap() {
                    Outcome::Done(version) => before = Expect::Version(version),
                    Outcome::Conflict => panic!("a conflict with nobody"),
                }
            }
            both.proxy.set_percentage(0);
            let outcome = write.await.unwrap().unwrap();
            assert_eq!(outcome != Outcome::Conflict, expected, "{key} {fate:?}: {outcome:?}");
            if let Outcome::Done(version) = outcome {
                let again = bad.swap(key.clone(), Expect::Version(version), value("later")).await.unwrap();
                assert_eq!(again, Outcome::Conflict, "what others wrote would be lost");
            }
            assert_eq!(good.get(&key).await.unwrap().unwrap().value, "theirs again");
        }
    }
}

/// Until each of the faults has met reads and writes; then everything that was acknowledged is there, as it was written.
async fn every_fault_is_survived_by_reads_and_by_writes(place: &S3Config) {
    let both = both(place).await;
    let missing = || {
        let all = Fate::HARMFUL.into_iter().flat_map(|fate| [(fate, Kind::Read), (fate, Kind::Write)]);
        all.filter(|(fate, kind)| both.proxy.count(*fate, *kind) == 0).collect::<Vec<_>>()
    };
    let mut acknowledged = 0_u64;
    for round in 0..60_u8 {
        if missing().is_empty() {
            break;
        }
        let works = (0..8_u8).map(|worker| {
            let (objects, records) = both.bad.clone();
            let key = ObjectKey::new([round, worker, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            let bytes = noise(40_000 + usize::from(worker) * 10, u64::from(round) * 8 + u64::from(worker));
            let record = RecordKey::new(format!("every/{round}/{worker}"));
            async move {
                let stored = upload(&objects, key, &bytes).await;
                let entered = records.swap(record.clone(), Expect::Absent, Change::Put(bytes.slice(..100))).await;
                let read = records.get(&record).await;
                if let (Ok(Outcome::Done(_)), Ok(found)) = (&entered, read) {
                    assert_eq!(found.expect("acknowledged").value, bytes.slice(..100), "read badly");
                }
                (key, stored, record, entered, bytes)
            }
        });
        for (key, stored, record, entered, bytes) in join_all(works).await {
            match stored {
                Ok(()) => {
                    acknowledged += 1;
                    assert!(read(&both.good.0, key).await.expect("it was acknowledged") == bytes, "other bytes");
                }
                Err(Error::Unavailable { .. } | Error::UploadLost) => {}
                Err(other) => panic!("{other}"),
            }
            match entered {
                Ok(Outcome::Done(_)) => {
                    let found = both.good.1.get(&record).await.unwrap().expect("it was acknowledged");
                    assert_eq!(found.value, bytes.slice(..100));
                }
                Ok(Outcome::Conflict) => panic!("a conflict with nobody"),
                Err(Error::Unavailable { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert_eq!(missing(), [], "these never happened");
    assert!(acknowledged > 20, "{acknowledged} went well");
}

async fn increment(records: &S3Records, counter: &RecordKey) -> Result<Outcome> {
    let (count, version) = records.get_json::<u64>(counter).await?.expect("it is there");
    records.put_json(counter.clone(), Expect::Version(version), &(count + 1)).await
}

async fn no_acknowledged_object_is_lost(place: &S3Config) {
    let both = both(place).await;
    let uploads = (0..12_u8).map(|number| {
        let objects = both.bad.0.clone();
        let key = ObjectKey::new([number; 16]);
        // Small ones, ones with a tail, ones in parts.
        let bytes = noise([1000, 700_000, 11 << 20][usize::from(number) % 3] + usize::from(number), number.into());
        async move { (key, upload(&objects, key, &bytes).await, bytes) }
    });
    let mut finished = 0;
    for (key, result, bytes) in join_all(uploads).await {
        match result {
            Ok(()) => {
                finished += 1;
                assert!(read(&both.good.0, key).await.expect("it was acknowledged") == bytes, "other bytes");
                let stream = both.bad.0.read(key, 0..bytes.len() as u64).await;
                if let Ok(stream) = stream {
                    let pieces: Result<Vec<Bytes>> = stream.expect("it is there").try_collect().await;
                    assert!(pieces.is_ok_and(|pieces| pieces.concat() == bytes), "read badly");
                }
            }
            Err(Error::Unavailable { .. } | Error::UploadLost) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(finished > 6, "{finished} of 12 went well");
    assert!(both.proxy.harmed.load(Ordering::Relaxed) > 3, "the network was too good");
}

/// In two steps, like most clients do.
async fn upload(objects: &S3Objects, key: ObjectKey, bytes: &Bytes) -> Result<()> {
    let half = bytes.len() * 2 / 3;
    let mut writer = objects.create(key).await?;
    writer.write(bytes.slice(..half)).await?;
    let checkpoint = writer.checkpoint().await?;
    drop(writer);
    let mut writer = objects.resume(key, &checkpoint).await?;
    writer.write(bytes.slice(half..)).await?;
    writer.finish().await
}

async fn a_service_that_is_gone_is_told_in_time(place: &S3Config) {
    let patience =
        Patience { connect: Duration::from_secs(1), answer: Duration::from_secs(1), retries: Duration::from_secs(2) };
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = S3Config { endpoint: Some(format!("http://127.0.0.1:{port}")), patience, ..fresh(place) };
    let begun = std::time::Instant::now();
    let error = open_engines(&gone).await.unwrap_err().to_string();
    assert!(error.contains("cannot be used as a store") && error.contains("refused"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

async fn a_service_without_conditions_is_refused(place: &S3Config) {
    for (header, shown) in [("if-none-match", "If-None-Match: *"), ("if-match", "If-Match")] {
        let good = fresh(place);
        let proxy = Proxy::start(good.endpoint.as_ref().unwrap(), move |_, _| Fate::Unconditional(header)).await;
        let config = S3Config { endpoint: Some(proxy.endpoint.clone()), ..good };
        let error = open_engines(&config).await.unwrap_err().to_string();
        assert!(error.contains(&format!("ignores `{shown}`")), "{error}");
    }
}
