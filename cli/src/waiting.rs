//! What a server that waits keeps in memory.

use std::fs;
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// Lets go of the parts of the program that only starting needed. The kernel has mapped much around what was called; what serving
/// calls comes back from the page cache, a few pages at a time.
pub fn let_go_of_the_start() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    let Some(program) = mapping_of(let_go_of_the_start as *const () as usize, &maps) else { return };
    #[expect(unsafe_code, reason = "the program's own pages are nobody else's to give back")]
    // SAFETY: the pages are the program's code, which nobody writes to: the kernel has them in the file as they are here.
    let _ = unsafe { madvise(ptr::with_exposed_provenance_mut(program.start), program.len(), Advice::LinuxDontNeed) };
}

/// The part of the address space with code that `address` lies in, from lines like `7f00-7f80 r-xp 00000000 fe:00 12 /bin/wharf`.
fn mapping_of(address: usize, maps: &str) -> Option<Range<usize>> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let hexadecimal = |text| usize::from_str_radix(text, 16).ok();
        let range = hexadecimal(start)?..hexadecimal(end)?;
        (fields.next() == Some("r-xp") && range.contains(&address)).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_let_go_of() {
        let maps = "1000-2000 r--p 00000000 fe:00 12 /bin/wharf\n2000-4000 r-xp 00001000 fe:00 12 /bin/wharf\n\
                    4000-5000 rw-p 00003000 fe:00 12 /bin/wharf\n6000-7000 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(mapping_of(0x2abc, maps), Some(0x2000..0x4000));
        assert_eq!(mapping_of(0x1abc, maps), None, "constants, some of them made when the program was loaded");
        assert_eq!(mapping_of(0x4abc, maps), None, "data");
    }

    #[test]
    fn the_program_goes_on() {
        let before = std::env::args().count();
        let_go_of_the_start();
        assert_eq!(std::env::args().count(), before);
        let program = mapping_of(mapping_of as *const () as usize, &fs::read_to_string("/proc/self/maps").unwrap());
        assert!(program.is_some_and(|program| !program.is_empty()));
    }
}
