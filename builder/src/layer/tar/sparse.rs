//! Files with holes, in the four ways GNU tar has stored them over the years.

use std::collections::VecDeque;

use super::BLOCK;
use super::fields::{decimal, size as size_field};

type Fault = &'static str;

/// The most regions a map may have; GNU tar makes one per hole.
const MOST_REGIONS: usize = 1 << 16;

/// What is left of a file's content: stored regions with holes between and after them.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    regions: VecDeque<(u64, u64)>,
    position: u64,
    size: u64,
}

impl Segments {
    /// A file without holes.
    pub(super) fn whole(size: u64) -> Self {
        let regions = if size == 0 { VecDeque::new() } else { VecDeque::from([(0, size)]) };
        Self { regions, position: 0, size }
    }

    fn new(map: &[u64], size: u64, stored: u64) -> Result<Self, Fault> {
        let (mut regions, mut end, mut sum) = (VecDeque::new(), 0_u64, 0_u64);
        for pair in map.chunks(2) {
            let &[offset, length] = pair else { return Err("sparse map") };
            if offset < end {
                return Err("sparse map");
            }
            end = offset.checked_add(length).filter(|end| *end <= size).ok_or("sparse map")?;
            sum += length;
            if length > 0 {
                regions.push_back((offset, length));
            }
        }
        if sum == stored { Ok(Self { regions, position: 0, size }) } else { Err("sparse map") }
    }

    /// Length of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many zeros come next, if any do.
    pub(super) fn hole(&self) -> Option<u64> {
        let next = self.regions.front().map_or(self.size, |(offset, _)| *offset);
        next.checked_sub(self.position).filter(|hole| *hole > 0)
    }

    /// How many stored bytes come next, when no hole does.
    pub(super) fn stored(&self) -> u64 {
        self.regions.front().map_or(0, |(offset, length)| (offset + length).saturating_sub(self.position.max(*offset)))
    }

    /// How many stored bytes are left in all.
    pub(super) fn all_stored(&self) -> u64 {
        self.stored() + self.regions.iter().skip(1).map(|(_, length)| length).sum::<u64>()
    }

    /// `count` bytes of the file are done.
    pub(super) fn take(&mut self, count: u64) {
        self.position += count;
        if let Some((offset, length)) = self.regions.front()
            && self.position >= offset + length
        {
            self.regions.pop_front();
        }
    }
}

/// The map in the header of type `S`.
pub(super) struct OldMap {
    numbers: Vec<u64>,
    real_size: u64,
    /// Whether a block with more of it follows.
    pub(super) continues: bool,
}

impl OldMap {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, Fault> {
        let real_size = size_field(&block[483..495]).ok_or("sparse map")?;
        let mut map = Self { numbers: Vec::new(), real_size, continues: block[482] != 0 };
        map.regions(&block[386..482])?;
        Ok(map)
    }

    pub(super) fn extend(&mut self, block: &[u8; BLOCK]) -> Result<(), Fault> {
        self.continues = block[504] != 0;
        self.regions(&block[..504])
    }

    fn regions(&mut self, fields: &[u8]) -> Result<(), Fault> {
        // An unused place is all zeros.
        for field in fields.chunks_exact(12).take_while(|field| field[0] != 0) {
            self.numbers.push(size_field(field).ok_or("sparse map")?);
        }
        if self.numbers.len() > 2 * MOST_REGIONS { Err("sparse map") } else { Ok(()) }
    }

    pub(super) fn finish(self, stored: u64) -> Result<Segments, Fault> {
        Segments::new(&self.numbers, self.real_size, stored)
    }
}

/// The map in PAX records, or (version 1.0) only the announcement of one.
#[derive(Clone, Debug, Default)]
pub(super) struct PaxMap {
    numbers: Vec<u64>,
    real_size: Option<u64>,
    major: u32,
}

impl PaxMap {
    /// Takes in a record, its key without `GNU.sparse.`.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let parsed = || decimal(value).ok_or("sparse map");
        match key {
            b"major" => self.major = decimal(value).ok_or("sparse map")?,
            b"size" | b"realsize" => self.real_size = Some(parsed()?),
            b"offset" | b"numbytes" => self.numbers.push(parsed()?),
            b"map" => {
                let numbers: Option<_> = value.split(|byte| *byte == b',').map(decimal).collect();
                self.numbers = numbers.ok_or("sparse map")?;
            }
            _ => {}
        }
        if self.numbers.len() > 2 * MOST_REGIONS { Err("sparse map") } else { Ok(()) }
    }

    /// Whether the map stands before the content.
    pub(super) fn in_content(&self) -> bool {
        self.major == 1
    }

    pub(super) fn with_list(mut self, list: Vec<u64>, stored: u64) -> Result<Segments, Fault> {
        self.numbers = list;
        self.finish(stored)
    }

    pub(super) fn finish(self, stored: u64) -> Result<Segments, Fault> {
        match self.real_size {
            Some(size) => Segments::new(&self.numbers, size, stored),
            // Stray records without a map: an ordinary file.
            None => Ok(Segments::whole(stored)),
        }
    }
}

/// Parses the list before the content: a count, then that many offsets and lengths, one number a line.
#[derive(Default)]
pub(super) struct ListParser {
    count: Option<usize>,
    numbers: Vec<u64>,
    digits: Vec<u8>,
}

impl ListParser {
    pub(super) fn complete(&self) -> bool {
        self.count.is_some_and(|count| self.numbers.len() >= 2 * count)
    }

    pub(super) fn feed(&mut self, block: &[u8]) -> Result<(), Fault> {
        for byte in block {
            if self.complete() {
                break;
            }
            if *byte != b'\n' {
                self.digits.push(*byte);
                if self.digits.len() > 20 {
                    return Err("sparse map");
                }
                continue;
            }
            let number: u64 = decimal(&self.digits).ok_or("sparse map")?;
            self.digits.clear();
            if self.count.is_some() {
                self.numbers.push(number);
            } else {
                let count = usize::try_from(number).ok().filter(|count| *count <= MOST_REGIONS);
                self.count = Some(count.ok_or("sparse map")?);
            }
        }
        Ok(())
    }

    pub(super) fn numbers(self) -> Vec<u64> {
        self.numbers
    }
}
