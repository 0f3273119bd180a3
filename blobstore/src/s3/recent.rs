//! Records that were read or written lately, by entity tag. The bucket is still asked every time; but what has not
//! changed is not sent again, and a listing reads only what it does not know.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::lineage::Lineage;

/// Values of this many bytes are kept, twice.
const BUDGET: usize = 16 << 20;

/// Larger ones are not worth it.
const LARGEST: usize = 1 << 20;

/// A record that is still what it was while its entity tag is.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) tag: String,
    pub(super) value: Bytes,
    pub(super) lineage: Lineage,
}

/// Two generations: a full younger one becomes the older, and the older is forgotten.
#[derive(Debug, Default)]
pub(super) struct Recent {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    younger: HashMap<String, Known>,
    older: HashMap<String, Known>,
    /// Bytes that the younger one has taken in.
    size: usize,
}

impl Recent {
    pub(super) fn get(&self, name: &str) -> Option<Known> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = generations.younger.get(name) {
            return Some(known.clone());
        }
        let known = generations.older.remove(name)?;
        generations.keep(name, known.clone());
        Some(known)
    }

    pub(super) fn put(&self, name: &str, known: Known) {
        if known.value.len() <= LARGEST {
            self.generations.lock().unwrap_or_else(PoisonError::into_inner).keep(name, known);
        }
    }

    pub(super) fn forget(&self, name: &str) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.younger.remove(name);
        generations.older.remove(name);
    }
}

impl Generations {
    fn keep(&mut self, name: &str, known: Known) {
        self.size += known.value.len() + known.lineage.size() + name.len() + 100;
        if self.size > BUDGET {
            self.older = std::mem::take(&mut self.younger);
            self.size = 0;
        }
        self.younger.insert(name.to_owned(), known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lately_stays_and_memory_is_bounded() {
        let recent = Recent::default();
        let known = |tag: &str| Known {
            tag: tag.to_owned(),
            value: Bytes::from(vec![0; LARGEST]),
            lineage: Lineage::nothing(),
        };
        recent.put("used", known("1"));
        for number in 0..200 {
            recent.put(&number.to_string(), known("x"));
            assert_eq!(recent.get("used").unwrap().tag, "1");
        }
        assert!(recent.get("0").is_none());
        let held = recent.generations.lock().unwrap();
        assert!(held.younger.len() + held.older.len() <= 2 * BUDGET / LARGEST);
        drop(held);
        recent.forget("used");
        assert!(recent.get("used").is_none());
    }
}
