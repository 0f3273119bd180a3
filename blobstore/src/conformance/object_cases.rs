//! What [`Objects`] promises.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Case, ObjectsBench, far_future};
use crate::{Checkpoint, Error, ObjectKey, ObjectWriter, Objects, Result};

type Bench = Arc<dyn ObjectsBench>;

/// Lists the cases once, for [`CASES`] and for the macro.
macro_rules! cases {
    (($d:tt) $($case:ident,)+) => {
        /// Every promise.
        pub const CASES: &[Case<dyn ObjectsBench>] =
            &[$(Case { name: stringify!($case), run: |bench| Box::pin($case(bench)) }),+];

        /// A module with one test per promise of [`Objects`](crate::Objects); `$make` is a function that makes a
        /// [`ObjectsBench`](crate::conformance::ObjectsBench), asynchronously.
        #[macro_export]
        macro_rules! objects_conformance {
            ($d module:ident, $d make:expr) => {
                mod $d module {
                    #[allow(unused_imports, reason = "the expression may name things of the module around it")]
                    use super::*;

                    $(
                        #[test]
                        fn $case() {
                            $crate::conformance::check_objects(stringify!($case), $d make);
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
    ranges_are_read_exactly,
    ranges_outside_of_the_object_are_refused,
    pieces_are_of_a_megabyte_at_most,
    an_empty_object_is_an_object,
    a_large_object_is_written_in_pieces_of_any_size,
    what_is_not_there_is_absent,
    an_object_is_invisible_until_it_is_finished,
    a_dropped_writer_leaves_nothing,
    an_upload_goes_on_from_its_checkpoint,
    an_upload_goes_on_through_another_handle,
    an_upload_goes_on_many_times,
    bytes_after_the_checkpoint_are_dropped,
    an_upload_goes_on_from_a_checkpoint_before_the_last,
    a_checkpoint_of_nothing_is_a_checkpoint,
    what_was_abandoned_is_lost,
    what_is_unfinished_is_named_until_it_is_finished_or_forgotten,
    what_was_finished_cannot_be_resumed,
    what_never_was_cannot_be_resumed,
    two_writers_of_one_upload_never_mix_their_bytes,
    one_of_many_writers_of_one_upload_finishes,
    a_late_writer_never_changes_what_a_checkpoint_covers,
    deleting_twice_is_fine,
    a_reader_sees_the_right_bytes_while_the_object_is_deleted,
    listing_goes_through_all_keys_in_order,
    many_objects_are_written_at_once,
    one_object_is_read_by_many_at_once,
    a_local_path_holds_the_bytes,
}

fn key(number: u8) -> ObjectKey {
    // Spread like real keys, ascending with the number.
    let mut bits = [number.wrapping_mul(89); 16];
    bits[0] = number;
    ObjectKey::new(bits)
}

/// Bytes in which no two neighbourhoods are alike.
pub fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = BytesMut::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.freeze()
}

async fn store(objects: &Arc<dyn Objects>, key: ObjectKey, bytes: &Bytes) {
    let mut writer = objects.create(key).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.finish().await.unwrap();
}

async fn read_range(objects: &Arc<dyn Objects>, key: ObjectKey, range: Range<u64>) -> Result<Option<Bytes>> {
    match objects.read(key, range).await? {
        Some(stream) => Ok(Some(stream.try_collect::<BytesMut>().await?.freeze())),
        None => Ok(None),
    }
}

/// The whole object; `None` when there is none.
async fn read(objects: &Arc<dyn Objects>, key: ObjectKey) -> Option<Bytes> {
    let size = objects.size(key).await.unwrap()?;
    read_range(objects, key, 0..size).await.unwrap()
}

/// Bytes are compared so that a failure does not print megabytes.
fn assert_same(found: Option<&Bytes>, expected: &Bytes) {
    let found = found.expect("the object is there");
    assert_eq!(found.len(), expected.len(), "length");
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    assert_eq!(differs, None, "the first byte that differs");
}

fn assert_lost<T>(result: Result<T>) {
    match result {
        Err(Error::UploadLost) => {}
        Err(other) => panic!("instead of UploadLost: {other}"),
        Ok(_) => panic!("instead of UploadLost: success"),
    }
}

async fn what_was_written_is_read(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(100_000, 1));
    store(&objects, key(1), &bytes).await;
    assert_eq!(objects.size(key(1)).await.unwrap(), Some(100_000));
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    let other = bench.objects().await;
    assert_same(read(&other, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn ranges_are_read_exactly(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(3_000_001, 2));
    store(&objects, key(1), &bytes).await;
    let end = bytes.len() as u64;
    let mut ranges = vec![0..0, 0..1, 0..end, 1..end, end - 1..end, end..end, 1_000_000..1_000_000, 7..2_999_999];
    // Around the sizes at which engines like to cut.
    for cut in [64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20] {
        ranges.extend([0..cut - 1, 0..cut, 0..cut + 1, cut - 1..cut + 1, cut..end, 5..cut + 5]);
    }
    for range in ranges {
        let expected = bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
        assert_same(read_range(&objects, key(1), range).await.unwrap().as_ref(), &expected);
    }
    objects.delete(key(1)).await.unwrap();
}

async fn ranges_outside_of_the_object_are_refused(bench: Bench) {
    let objects = bench.objects().await;
    store(&objects, key(1), &noise(1000, 3)).await;
    let backwards = Range { start: 2, end: 1 };
    for range in [0..1001, 1000..1001, 1001..1001, 5000..6000, 0..u64::MAX, backwards] {
        let result = read_range(&objects, key(1), range.clone()).await;
        assert!(result.is_err(), "{range:?} of 1000 bytes was read");
    }
    objects.delete(key(1)).await.unwrap();
}

async fn pieces_are_of_a_megabyte_at_most(bench: Bench) {
    let objects = bench.objects().await;
    store(&objects, key(1), &noise(5 << 20, 4)).await;
    let pieces: Vec<Bytes> = objects.read(key(1), 0..5 << 20).await.unwrap().unwrap().try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| (1..=1 << 20).contains(&piece.len())));
    objects.delete(key(1)).await.unwrap();
}

async fn an_empty_object_is_an_object(bench: Bench) {
    let objects = bench.objects().await;
    objects.create(key(1)).await.unwrap().finish().await.unwrap();
    store(&objects, key(2), &Bytes::new()).await;
    for key in [key(1), key(2)] {
        assert_eq!(objects.size(key).await.unwrap(), Some(0));
        assert_same(read(&objects, key).await.as_ref(), &Bytes::new());
        objects.delete(key).await.unwrap();
        assert_eq!(objects.size(key).await.unwrap(), None);
    }
}

async fn a_large_object_is_written_in_pieces_of_any_size(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(12_345_678, 5));
    let mut writer = objects.create(key(1)).await.unwrap();
    let mut rest = bytes.clone();
    for size in [1, 7, 8192, 65_536, 262_143, 262_144, 262_145, 3, 0, 1_048_577].into_iter().cycle() {
        writer.write(rest.split_to(size.min(rest.len()))).await.unwrap();
        if rest.is_empty() {
            break;
        }
    }
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn what_is_not_there_is_absent(bench: Bench) {
    let objects = bench.objects().await;
    assert_eq!(objects.size(key(1)).await.unwrap(), None);
    assert!(objects.read(key(1), 0..0).await.unwrap().is_none());
    assert!(objects.read(key(1), 0..10).await.unwrap().is_none());
    objects.delete(key(1)).await.unwrap();
    assert_eq!(objects.list(None, 10).await.unwrap(), []);
}

async fn an_object_is_invisible_until_it_is_finished(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(2_000_000, 6));
    let mut writer = objects.create(key(1)).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    let invisible = async || {
        assert_eq!(objects.size(key(1)).await.unwrap(), None);
        assert!(objects.read(key(1), 0..1).await.unwrap().is_none());
        assert_eq!(objects.list(None, 10).await.unwrap(), []);
    };
    invisible().await;
    writer.checkpoint().await.unwrap();
    invisible().await;
    writer.write(bytes.clone()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(objects.size(key(1)).await.unwrap(), Some(4_000_000));
    assert_eq!(objects.list(None, 10).await.unwrap(), [key(1)]);
    objects.delete(key(1)).await.unwrap();
}

async fn a_dropped_writer_leaves_nothing(bench: Bench) {
    let objects = bench.objects().await;
    for (number, length) in [(1, 0), (2, 10), (3, 3_000_000)] {
        let mut writer = objects.create(key(number)).await.unwrap();
        writer.write(noise(length, 7)).await.unwrap();
        drop(writer);
        assert_eq!(objects.size(key(number)).await.unwrap(), None);
    }
}

/// Writes `bytes`, and drops the writer after a checkpoint.
async fn begin(objects: &Arc<dyn Objects>, key: ObjectKey, bytes: &Bytes) -> Checkpoint {
    let mut writer = objects.create(key).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.checkpoint().await.unwrap()
}

async fn an_upload_goes_on_from_its_checkpoint(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(1_500_000, 8));
    let checkpoint = begin(&objects, key(1), &bytes.slice(..700_001)).await;
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(bytes.slice(700_001..)).await.unwrap();
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn an_upload_goes_on_through_another_handle(bench: Bench) {
    let bytes = noise(600_000, 9);
    let checkpoint = begin(&bench.objects().await, key(1), &bytes.slice(..300_000)).await;
    // As it is kept in a record.
    let checkpoint: Checkpoint = serde_json::from_str(&serde_json::to_string(&checkpoint).unwrap()).unwrap();
    let objects = bench.objects().await;
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(bytes.slice(300_000..)).await.unwrap();
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn an_upload_goes_on_many_times(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(1_000_000, 10));
    let mut checkpoint = begin(&objects, key(1), &bytes.slice(..1)).await;
    let mut written = 1;
    for length in [10, 0, 300_000, 262_144, 5] {
        let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
        writer.write(bytes.slice(written..written + length)).await.unwrap();
        writer.checkpoint().await.unwrap();
        writer.write(bytes.slice(written + length..=written + length)).await.unwrap();
        checkpoint = writer.checkpoint().await.unwrap();
        written += length + 1;
    }
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(bytes.slice(written..)).await.unwrap();
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn bytes_after_the_checkpoint_are_dropped(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(10_000, 11));
    let mut writer = objects.create(key(1)).await.unwrap();
    writer.write(bytes.slice(..5000)).await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    writer.write(noise(900_000, 12)).await.unwrap();
    drop(writer);
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(bytes.slice(5000..)).await.unwrap();
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn an_upload_goes_on_from_a_checkpoint_before_the_last(bench: Bench) {
    // Whoever checkpoints may be killed before anybody comes to know.
    let (objects, bytes) = (bench.objects().await, noise(800_000, 13));
    let checkpoint = begin(&objects, key(1), &bytes.slice(..400_000)).await;
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(noise(500_000, 14)).await.unwrap();
    writer.checkpoint().await.unwrap();
    drop(writer);
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(bytes.slice(400_000..)).await.unwrap();
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn a_checkpoint_of_nothing_is_a_checkpoint(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(1000, 15));
    let mut writer = objects.create(key(1)).await.unwrap();
    writer.checkpoint().await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    drop(writer);
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.finish().await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
}

async fn what_was_abandoned_is_lost(bench: Bench) {
    let objects = bench.objects().await;
    let checkpoint = begin(&objects, key(1), &noise(300_000, 16)).await;
    let mut writer = objects.resume(key(1), &checkpoint).await.unwrap();
    objects.abandon(key(1)).await.unwrap();
    assert_lost(objects.resume(key(1), &checkpoint).await);
    writer.write(noise(10, 17)).await.unwrap();
    assert_lost(writer.finish().await);
    assert_eq!(objects.size(key(1)).await.unwrap(), None);
    objects.abandon(key(1)).await.unwrap();
}

async fn what_is_unfinished_is_named_until_it_is_finished_or_forgotten(bench: Bench) {
    let objects = bench.objects().await;
    let named = async || {
        let found = bench.objects().await.unfinished(far_future()).await.unwrap();
        found.into_iter().map(|unfinished| (unfinished.key, unfinished.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(named().await, []);
    let second = begin(&objects, key(2), &noise(300_000, 40)).await;
    begin(&objects, key(1), &noise(10, 41)).await;
    assert_eq!(named().await, [(key(1), 10), (key(2), 300_000)]);
    assert_eq!(objects.unfinished(SystemTime::UNIX_EPOCH).await.unwrap(), [], "nobody left it alone for so long");
    objects.resume(key(2), &second).await.unwrap().finish().await.unwrap();
    assert_eq!(named().await, [(key(1), 10)]);
    objects.abandon(key(1)).await.unwrap();
    assert_eq!(named().await, []);
    objects.delete(key(2)).await.unwrap();
}

async fn what_was_finished_cannot_be_resumed(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(300_000, 18));
    let checkpoint = begin(&objects, key(1), &bytes).await;
    objects.resume(key(1), &checkpoint).await.unwrap().finish().await.unwrap();
    assert_lost(objects.resume(key(1), &checkpoint).await);
    objects.abandon(key(1)).await.unwrap();
    assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
    objects.delete(key(1)).await.unwrap();
    assert_lost(objects.resume(key(1), &checkpoint).await);
}

async fn what_never_was_cannot_be_resumed(bench: Bench) {
    let objects = bench.objects().await;
    let checkpoint = begin(&objects, key(1), &noise(10, 19)).await;
    assert_lost(objects.resume(key(2), &checkpoint).await);
    objects.abandon(key(2)).await.unwrap();
    for nonsense in ["", "x", "../../etc/passwd", "99999999999999999999999999"] {
        assert_lost(objects.resume(key(1), &Checkpoint(nonsense.to_owned())).await);
    }
    objects.abandon(key(1)).await.unwrap();
}

/// Each writer has hashed its own bytes only, so an object that mixes them is one whose digest was never checked.
async fn two_writers_of_one_upload_never_mix_their_bytes(bench: Bench) {
    let (objects, start) = (bench.objects().await, noise(400_000, 20));
    let checkpoint = begin(&objects, key(1), &start).await;
    let mut writers = Vec::new();
    for seed in [21, 22] {
        let writer = bench.objects().await.resume(key(1), &checkpoint).await.unwrap();
        writers.push((writer, noise(350_000 + usize::try_from(seed).unwrap(), seed)));
    }
    for piece in 0..4 {
        for (writer, bytes) in &mut writers {
            let length = bytes.len() / 4;
            let end = if piece == 3 { bytes.len() } else { (piece + 1) * length };
            // One of them may find out here that it is too late.
            let _ = writer.write(bytes.slice(piece * length..end)).await;
        }
    }
    let mut finished = Vec::new();
    for (writer, bytes) in writers {
        finished.extend(writer.finish().await.ok().map(|()| bytes));
    }
    assert!(finished.len() <= 1, "both finished one object");
    match finished.pop() {
        Some(bytes) => {
            let expected: Bytes = [start, bytes].concat().into();
            assert_same(read(&objects, key(1)).await.as_ref(), &expected);
        }
        None => assert_eq!(objects.size(key(1)).await.unwrap(), None),
    }
    objects.delete(key(1)).await.unwrap();
    objects.abandon(key(1)).await.unwrap();
}

async fn one_of_many_writers_of_one_upload_finishes(bench: Bench) {
    let objects = bench.objects().await;
    for round in 1..=10 {
        let checkpoint = begin(&objects, key(round), &Bytes::new()).await;
        let mut writers = Vec::new();
        for number in 0..6_u8 {
            let mut writer = bench.objects().await.resume(key(round), &checkpoint).await.unwrap();
            writer.write(noise(1000, number.into())).await.unwrap();
            writers.push((number, writer));
        }
        let finishes = writers
            .into_iter()
            .map(|(number, writer)| tokio::spawn(async move { writer.finish().await.ok().map(|()| number) }));
        let mut winners = Vec::new();
        for finish in finishes.collect::<Vec<_>>() {
            winners.extend(finish.await.unwrap());
        }
        match winners[..] {
            [] => assert_eq!(objects.size(key(round)).await.unwrap(), None),
            [winner] => assert_same(read(&objects, key(round)).await.as_ref(), &noise(1000, winner.into())),
            _ => panic!("{winners:?} finished one object"),
        }
        objects.delete(key(round)).await.unwrap();
        objects.abandon(key(round)).await.unwrap();
    }
}

/// Somebody who read an upload's record late goes on from an old checkpoint. That must not harm who was in time.
async fn a_late_writer_never_changes_what_a_checkpoint_covers(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(900_000, 23));
    let early = begin(&objects, key(1), &bytes.slice(..300_000)).await;
    let mut writer = objects.resume(key(1), &early).await.unwrap();
    writer.write(bytes.slice(300_000..600_000)).await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    drop(writer);

    let mut late = objects.resume(key(1), &early).await.unwrap();
    late.write(noise(700_000, 24)).await.unwrap();
    let _ = late.checkpoint().await;
    drop(late);

    match objects.resume(key(1), &checkpoint).await {
        Ok(mut writer) => {
            writer.write(bytes.slice(600_000..)).await.unwrap();
            writer.finish().await.unwrap();
            assert_same(read(&objects, key(1)).await.as_ref(), &bytes);
        }
        Err(Error::UploadLost) => {}
        Err(other) => panic!("{other}"),
    }
    objects.delete(key(1)).await.unwrap();
    objects.abandon(key(1)).await.unwrap();
}

async fn deleting_twice_is_fine(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(1000, 25));
    store(&objects, key(1), &bytes).await;
    store(&objects, key(2), &bytes).await;
    objects.delete(key(1)).await.unwrap();
    objects.delete(key(1)).await.unwrap();
    assert_eq!(objects.size(key(1)).await.unwrap(), None);
    assert_same(read(&objects, key(2)).await.as_ref(), &bytes);
    objects.delete(key(2)).await.unwrap();
}

async fn a_reader_sees_the_right_bytes_while_the_object_is_deleted(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(4_000_000, 26));
    store(&objects, key(1), &bytes).await;
    let mut stream = objects.read(key(1), 0..4_000_000).await.unwrap().unwrap();
    let mut seen = BytesMut::new();
    seen.extend_from_slice(&stream.next().await.unwrap().unwrap());
    objects.delete(key(1)).await.unwrap();
    let mut failed = false;
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => seen.extend_from_slice(&piece),
            Err(_) => failed = true,
        }
    }
    assert!(bytes.starts_with(&seen), "other bytes");
    assert!(failed || seen.len() == bytes.len(), "the end came early, and nobody was told");
    assert!(objects.read(key(1), 0..1).await.unwrap().is_none());
}

async fn listing_goes_through_all_keys_in_order(bench: Bench) {
    let objects = bench.objects().await;
    let mut keys: Vec<_> = (1..=12).map(|number| key(number * 21)).collect();
    // Neighbours that differ in their last bits only, and both ends.
    keys.extend((0..5).map(|last| ObjectKey::new([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, last])));
    keys.extend([ObjectKey::new([0; 16]), ObjectKey::new([255; 16])]);
    for key in &keys {
        objects.create(*key).await.unwrap().finish().await.unwrap();
    }
    keys.sort();
    assert_eq!(objects.list(None, usize::MAX).await.unwrap(), keys);
    assert_eq!(objects.list(None, 0).await.unwrap(), []);
    for limit in [1, 4, keys.len()] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = objects.list(after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(*last);
            listed.extend(page);
            assert!(listed.len() <= keys.len(), "listing does not get on");
        }
        assert_eq!(listed, keys);
    }
    let absent = ObjectKey::new([3; 16]);
    let expected: Vec<_> = keys.iter().copied().filter(|key| *key > absent).take(3).collect();
    assert_eq!(objects.list(Some(absent), 3).await.unwrap(), expected);
    for key in keys {
        objects.delete(key).await.unwrap();
    }
}

async fn many_objects_are_written_at_once(bench: Bench) {
    let objects = bench.objects().await;
    let writes = (0..32).map(|number| {
        let objects = Arc::clone(&objects);
        tokio::spawn(async move { store(&objects, key(number), &noise(10_007 * usize::from(number), 27)).await })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    for number in 0..32 {
        let expected = noise(10_007 * usize::from(number), 27);
        assert_same(read(&objects, key(number)).await.as_ref(), &expected);
        objects.delete(key(number)).await.unwrap();
    }
}

async fn one_object_is_read_by_many_at_once(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(2_000_000, 28));
    store(&objects, key(1), &bytes).await;
    let reads = (0..16).map(|_| {
        let objects = Arc::clone(&objects);
        tokio::spawn(async move { read(&objects, key(1)).await })
    });
    for found in reads.collect::<Vec<_>>() {
        assert_same(found.await.unwrap().as_ref(), &bytes);
    }
    objects.delete(key(1)).await.unwrap();
}

async fn a_local_path_holds_the_bytes(bench: Bench) {
    let (objects, bytes) = (bench.objects().await, noise(1000, 29));
    store(&objects, key(1), &bytes).await;
    if let Some(path) = objects.local_path(key(1)) {
        assert_same(Some(&std::fs::read(&path).unwrap().into()), &bytes);
        objects.delete(key(1)).await.unwrap();
        assert!(!path.exists());
    } else {
        objects.delete(key(1)).await.unwrap();
    }
}

/// Writers may be sent from thread to thread while they write.
const _: fn() = || {
    fn is_send<T: Send + ?Sized>() {}
    is_send::<dyn ObjectWriter>();
};
