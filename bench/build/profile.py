#!/usr/bin/env python3
"""Where the time of Wharf's builds goes: run.py's cases under `perf`, and who had the processors meanwhile.

As root, from anywhere, with `perf`. Takes run.py's options, and leaves all other engines out. A symbol counts where it fits first.

    bench/build/profile.py --wharf target/x86_64-unknown-linux-gnu/release/wharf --base debian.tar --registry wharf
"""

import collections
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import run
from engines import Cost, Registry, Wharf

# What Wharf's own code does, and what the kernel does for it.
OWN = [
    ("SHA-256", r"sha256|sha2"),
    ("BLAKE3", r"blake3"),
    ("compression", r"squeeze|deflate|zstd|ZSTD|HUF_|FSE_|HIST_|XXH"),
    ("SQLite", r"sqlite3"),
]
KERNEL = [
    ("kernel: memory", r"clear_page|folio_alloc|alloc_pages|rmqueue|get_page_from|prep_new|fault|zap_|free_unref|free_pages|lru|"
                       r"copy_folio_from_iter|filemap_add|copy_page|vma|mmap|mas_|pte|pmd|tlb"),
    ("kernel: network", r"tcp|skb|inet|sock|net_|ip_rcv|ip_output|loopback"),
    ("kernel: files", r"ext4|jbd2|vfs|path|dentry|inode|lookup|d_|filemap|folio|blk|bio|virtio|ovl_|getname|xattr|stat|open|dents|"
                      r"iomap|xas_|mnt|mount|copy_to_iter|user_generic"),
]
REST = ["the rest of Wharf", "kernel: the rest", "the registry", "everything else", "idle"]


class Profiled(Wharf):
    """Builds as Wharf does, and keeps what the machine was seen doing from its start to its end."""

    def build(self, context: str, image: str, push: bool) -> Cost:
        self.data = self.log + ".perf"
        watch = ["perf", "record", "--quiet", "--all-cpus", "--event", "cpu-clock", "--freq", "1999"]
        watch += ["--clockid", "CLOCK_MONOTONIC", "--output", self.data]
        with subprocess.Popen(watch) as perf:
            # It needs a moment; what it sees before and after the build is left out.
            time.sleep(1)
            begun = time.monotonic()
            cost = super().build(context, image, push)
            self.span = f"{begun:.9f},{time.monotonic():.9f}"
            perf.send_signal(signal.SIGINT)
        return cost


class Profiles(run.Bench):
    """Counts samples beside the seconds."""

    def __init__(self, chosen, room: str, registry: Registry):
        super().__init__(chosen, room, registry.address)
        self.server = registry.daemon.process.pid
        self.seen: dict[str, collections.Counter] = {}

    def note(self, engine: Profiled, case: str, cost: Cost) -> None:
        super().note(engine, case, cost)
        self.seen.setdefault(case, collections.Counter()).update(self.samples(engine))

    def samples(self, engine: Profiled) -> collections.Counter:
        command = ["perf", "script", "--input", engine.data, "--time", engine.span, "--fields", "comm,pid,ip,sym,dso"]
        found = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout
        lines = re.findall(r"^ *(.+?) +(-?\d+) +[0-9a-f]+ (.*) \(([^()]*)\)$", found, re.MULTILINE)
        # The build's process is the one that runs the program and is not the registry.
        program = os.path.basename(engine.program)
        ours = {pid for _, pid, _, file in lines if os.path.basename(file) == program and int(pid) != self.server}
        counted: collections.Counter = collections.Counter()
        for name, pid, symbol, file in lines:
            if name == "swapper":
                counted["idle"] += 1
            elif int(pid) == self.server:
                counted["the registry"] += 1
            elif pid not in ours:
                counted["everything else"] += 1
            elif "kernel" in file:
                counted[kind(symbol, KERNEL, "kernel: the rest")] += 1
            else:
                counted[kind(symbol, OWN, "the rest of Wharf")] += 1
        return counted


def kind(symbol: str, kinds: list[tuple[str, str]], otherwise: str) -> str:
    return next((name for name, pattern in kinds if re.search(pattern, symbol)), otherwise)


def table(bench: Profiles) -> str:
    cases = [case for case, *_ in run.CASES if case in bench.seen]
    walls = [statistics.median(cost.wall for cost in bench.costs[case]["wharf"]) for case in cases]
    lines = ["| case | " + " | ".join(cases) + " |", "|---" * (len(cases) + 1) + "|",
             "| on the clock | " + " | ".join(f"{wall:.2f} s" for wall in walls) + " |"]
    for row in [name for name, _ in OWN + KERNEL] + REST:
        shares = [bench.seen[case][row] / bench.seen[case].total() for case in cases]
        lines.append(f"| {row} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return "\n".join(lines)


def main() -> int:
    chosen = run.options(__doc__)
    with run.place(chosen) as (room, registry):
        bench, engine = Profiles(chosen, room, registry), Profiled(chosen.wharf, room, registry.address, chosen.zstd)
        bench.warm_up(engine)
        bench.all_cases(engine)
        print("\nshares of both idle and busy time, all processors\n\n" + table(bench))
    return 0


if __name__ == "__main__":
    sys.exit(main())
