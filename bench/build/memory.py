#!/usr/bin/env python3
"""How much memory Wharf needs for builds of huge contexts, huge layers and huge steps, and how that compares with a limit.

As root, from anywhere; everything happens below --room. Memory is the largest resident size that the kernel saw of the process or of
one that it started (`ru_maxrss`); it does not depend on what else the machine does. Times do.

    bench/build/memory.py --wharf target/x86_64-unknown-linux-gnu/release/wharf --base debian.tar
    bench/build/memory.py --cases cold,unchanged,edit --files 500000 ...

Needs about 5 GB of disk; contexts are made once and used by all cases.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import tree
from engines import BuildFailed, run

# case, what is built
CASES = [
    ("cold", "`COPY` of {files:,} files, {megabytes} MB"),
    ("unchanged", "the same again"),
    ("edit", "one file edited"),
    ("large", "`COPY` of 4 files, {gigabytes} GB"),
    ("run", "`RUN` that makes {files:,} files"),
    ("onto", "`FROM` that, `COPY` of a file"),
    ("onto-unknown", "the same, what its layers hold is not known"),
    ("stage", "`COPY --from` that, all of it"),
    ("tiny", "`COPY` of {tiny:,} empty files"),
    ("tiny-unchanged", "the same again"),
]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wharf", default="wharf", help="the binary, a release build")
    parser.add_argument("--base", default="", help="tar of a Debian root file system; without it, no steps are run")
    parser.add_argument("--cases", default=",".join(case for case, _ in CASES))
    parser.add_argument("--files", type=int, default=150_000)
    parser.add_argument("--megabytes", type=int, default=150)
    parser.add_argument("--gigabytes", type=int, default=10)
    parser.add_argument("--tiny", type=int, default=500_000)
    parser.add_argument("--limit", type=int, default=200, help="MB; more is said, and ends with exit code 1")
    parser.add_argument("--compression", default="", help="of layers, as `wharf build` has it")
    parser.add_argument("--room", default="", help="where all of it lies; removed at the end unless given")
    return parser.parse_args()


def make_small(root: str, chosen: argparse.Namespace) -> None:
    """In a process of its own: the memory of a parent counts as that of the children it starts."""
    if not os.path.isdir(root):
        size = str(chosen.megabytes * 1_000_000)
        subprocess.run([sys.executable, tree.__file__, root, str(chosen.files), size, "", "memory"], check=True)
        settle()


def make_tiny(root: str, count: int) -> None:
    if os.path.isdir(root):
        return
    for number in range(count):
        directory = os.path.join(root, f"package{number // 100 % 50:02}", f"module{number // 100:05}")
        if number % 100 == 0:
            os.makedirs(directory)
        open(os.path.join(directory, f"file{number % 100:02}.txt"), "w").close()
    settle()


def make_large(root: str, gigabytes: int) -> None:
    """Mostly holes: what counts is how much is read, hashed and compressed."""
    os.makedirs(root, exist_ok=True)
    rng = random.Random(5)
    for name in range(4):
        with open(os.path.join(root, f"part{name}"), "wb") as file:
            file.truncate(gigabytes * (1 << 30) // 4)
            for at in range(0, gigabytes * (1 << 30) // 4, 64 << 20):
                file.seek(at)
                file.write(rng.randbytes(1 << 20))
    settle()


def settle() -> None:
    """Hashes of files that changed a moment ago are not remembered: a checkout is older than its build."""
    os.sync()
    time.sleep(3)


class Memory:
    def __init__(self, chosen: argparse.Namespace, room: str):
        self.chosen, self.room, self.rows = chosen, room, []
        self.store, self.log = os.path.join(room, "store"), os.path.join(room, "wharf.log")

    def context(self, name: str) -> str:
        return os.path.join(self.room, name)

    def build(self, case: str, context: str, lines: list[str], tag: str = "memory:1") -> None:
        dockerfile = os.path.join(self.room, "Dockerfile." + case)
        with open(dockerfile, "w") as file:
            file.write("\n".join(lines) + "\n")
        command = [self.chosen.wharf, "build", "--store", self.store, "--progress", "plain", "-f", dockerfile, "-t", tag]
        if self.chosen.compression:
            command += ["--compression", self.chosen.compression]
        wall, cpu, peak = run([*command, context], self.log)
        self.rows.append((case, wall, cpu, peak))
        print(f"  {case:15} {wall:8.2f} s {cpu:8.2f} cpu {peak:7.0f} MB", flush=True)

    def copies(self, wanted: set[str]) -> None:
        if wanted & {"cold", "unchanged", "edit"}:
            small = self.context("small")
            make_small(small, self.chosen)
            lines = ["FROM scratch", "COPY . /app"]
            self.build("cold", small, lines)
            self.build("unchanged", small, lines)
            tree.edit(small, 0, "memory")
            time.sleep(3)
            self.build("edit", small, lines)
        if wanted & {"tiny", "tiny-unchanged"}:
            tiny = self.context("tiny")
            make_tiny(tiny, self.chosen.tiny)
            for case in ("tiny", "tiny-unchanged"):
                self.build(case, tiny, ["FROM scratch", "COPY . /app"])
        if "large" in wanted:
            large = self.context("large")
            make_large(large, self.chosen.gigabytes)
            self.build("large", large, ["FROM scratch", "COPY . /app"])
            shutil.rmtree(large)

    def steps(self, wanted: set[str]) -> None:
        if not self.chosen.base or not wanted & {"run", "onto", "onto-unknown", "stage"}:
            return
        base = [self.chosen.wharf, "import", self.chosen.base, "base:1", "--store", self.store, "--quiet"]
        subprocess.run(base, check=True, stdout=subprocess.DEVNULL)
        small, one = self.context("small"), self.context("one")
        make_small(small, self.chosen)
        os.makedirs(one, exist_ok=True)
        with open(os.path.join(one, "file"), "w") as file:
            file.write("one\n")
        made = "RUN --mount=type=bind,target=/context cp -r /context /made"
        self.build("run", small, ["FROM base:1", made], "made:1")
        for case in ("onto", "onto-unknown"):
            if case in wanted:
                if case == "onto-unknown":
                    self.forget_indexes()
                self.build(case, one, ["FROM made:1", f"COPY file /made/{case}"])
        if "stage" in wanted:
            self.build("stage", one, ["FROM scratch", "COPY --from=made:1 /made /all"])

    def forget_indexes(self) -> None:
        for directory, _, _ in os.walk(self.store):
            if os.path.basename(directory) == "index":
                shutil.rmtree(directory)
                os.mkdir(directory)


def table(memory: Memory, chosen: argparse.Namespace) -> str:
    what = dict(CASES)
    lines = ["| case | peak | time | processor |", "|---|---|---|---|"]
    for case, wall, cpu, peak in memory.rows:
        over = f" (over {chosen.limit})" if peak > chosen.limit else ""
        lines.append(f"| {what[case].format(**vars(chosen))} | {peak:.0f} MB{over} | {wall:.1f} s | {cpu:.1f} s |")
    return "\n".join(lines)


def main() -> int:
    chosen = options()
    room = chosen.room or tempfile.mkdtemp(prefix="wharf-memory-")
    os.makedirs(room, exist_ok=True)
    memory = Memory(chosen, room)
    try:
        wanted = set(chosen.cases.split(","))
        memory.copies(wanted)
        memory.steps(wanted)
    except BuildFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    finally:
        if not chosen.room:
            shutil.rmtree(room, ignore_errors=True)
    print(f"\n{os.cpu_count()} cores\n")
    print(table(memory, chosen))
    return 1 if any(peak > chosen.limit for *_, peak in memory.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
