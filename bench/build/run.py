#!/usr/bin/env python3
"""Builds and pushes the same things with Wharf, BuildKit, Docker and buildah, and says how their times compare.

As root, from anywhere; everything happens below --room, on loopback. Engines that are not installed are left out.

    bench/build/run.py --wharf target/x86_64-unknown-linux-gnu/release/wharf --base debian.tar
    bench/build/run.py --full ...          30,000 files of 475 MB in all, five times
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

import tree
from engines import BuildFailed, BuildKit, Buildah, Docker, Registry, Wharf, missing

# case, what is built, whether it is pushed, the goal: a part of BuildKit's time
CASES = [
    ("cold", "COPY of a new tree", False, 8),
    ("unchanged", "the same again", False, 10),
    ("edit", "one file edited", False, 15),
    ("cold-push", "COPY of a new tree, pushed", True, 8),
    ("unchanged-push", "the same again, pushed", True, 10),
    ("edit-push", "one file edited, pushed", True, 15),
    ("runs-push", "15 trivial RUN steps, pushed", True, 5),
    ("runs-unchanged", "the same again", False, 5),
    ("apt", "`apt-get install git`: what is not apt's own time", False, 2),
]


def options(what: str | None = __doc__) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wharf", default="wharf", help="the binary, a release build")
    parser.add_argument("--base", required=True, help="tar of a Debian root file system")
    parser.add_argument("--buildkit", default="", help="directory with buildkitd and buildctl")
    parser.add_argument("--engines", default="wharf,buildkit,docker,buildah")
    parser.add_argument("--cases", default=",".join(case[0] for case in CASES))
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--megabytes", type=int, default=48)
    parser.add_argument("--tree", default="", help="a real directory that is copied, in place of --files and --megabytes")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--zstd", action="store_true", help="layers in zstd instead of what is each builder's default")
    parser.add_argument("--registry", choices=["docker-registry", "wharf"], default="docker-registry", help="what all push to")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--port", type=int, default=5987)
    parser.add_argument("--room", default="", help="where all of it lies; removed at the end unless given")
    parser.add_argument("--json", default="", help="also write every number to this file")
    chosen = parser.parse_args()
    if chosen.full:
        chosen.files, chosen.megabytes, chosen.times = 30000, 475, 5
    return chosen


def make_tree(root: str, chosen: argparse.Namespace, salt: str) -> None:
    """In a process of its own: the memory of a parent counts as that of the children it starts."""
    size = str(chosen.megabytes * 1_000_000)
    subprocess.run([sys.executable, tree.__file__, root, str(chosen.files), size, chosen.tree, salt], check=True)


@contextlib.contextmanager
def place(chosen: argparse.Namespace):
    """A room, and a registry that has the base, for as long as something is measured."""
    room = chosen.room or tempfile.mkdtemp(prefix="wharf-bench-")
    os.makedirs(room, exist_ok=True)
    registry = Registry(room, chosen.port, chosen.wharf if chosen.registry == "wharf" else None)
    try:
        store, name = Wharf(chosen.wharf, room, registry.address, chosen.zstd).store, f"{registry.address}/base:1"
        for command in (["import", chosen.base, name], ["push", name]):
            subprocess.run([chosen.wharf, *command, "--store", store, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        yield room, registry
    finally:
        registry.stop()
        if not chosen.room:
            shutil.rmtree(room, ignore_errors=True)


def start(name: str, chosen: argparse.Namespace, room: str, registry: str):
    if name == "wharf":
        return Wharf(chosen.wharf, room, registry, chosen.zstd)
    if name == "buildkit" and chosen.buildkit and not missing("runc"):
        return BuildKit(chosen.buildkit, room, registry, chosen.zstd)
    if name == "docker" and not missing("/usr/sbin/dockerd"):
        return Docker(room, registry)
    if name == "buildah" and not missing("buildah"):
        return Buildah(room, registry)
    return None


class Bench:
    def __init__(self, chosen: argparse.Namespace, room: str, registry: str):
        self.chosen, self.room, self.registry = chosen, room, registry
        self.costs: dict[str, dict[str, list]] = {}

    def dockerfile(self, context: str, lines: list[str]) -> None:
        os.makedirs(context, exist_ok=True)
        with open(os.path.join(context, "Dockerfile"), "w") as file:
            file.write("\n".join([f"FROM {self.registry}/base:1", *lines]) + "\n")

    def tree(self, name: str, salt: str) -> str:
        context = os.path.join(self.room, "context", name)
        shutil.rmtree(context, ignore_errors=True)
        self.dockerfile(context, ["COPY . /app"])
        with open(os.path.join(context, ".dockerignore"), "w") as file:
            file.write("Dockerfile\n.dockerignore\n")
        make_tree(context, self.chosen, salt)
        # Hashes of files that changed a moment ago are not remembered: a checkout is older than its build.
        os.sync()
        time.sleep(3)
        return context

    def note(self, engine, case: str, cost) -> None:
        self.costs.setdefault(case, {}).setdefault(engine.name, []).append(cost)
        print(f"  {engine.name:9} {case:15} {cost.wall:8.2f} s {cost.cpu:8.2f} cpu {cost.memory:7.0f} MB", flush=True)

    def series(self, engine, push: bool, wanted: set[str]) -> None:
        """A new tree, the same tree, and the tree with one file edited, as often as asked."""
        suffix = "-push" if push else ""
        if not wanted & {"cold" + suffix, "unchanged" + suffix, "edit" + suffix}:
            return
        for turn in range(self.chosen.times):
            context = self.tree(engine.name, f"{engine.name} {turn} {push}")
            image = f"{self.registry}/{engine.name}{suffix}:{turn}"
            self.note(engine, "cold" + suffix, engine.build(context, image, push))
            self.note(engine, "unchanged" + suffix, engine.build(context, image, push))
            tree.edit(context, turn, f"{engine.name} {turn}")
            time.sleep(3)
            self.note(engine, "edit" + suffix, engine.build(context, image, push))
            shutil.rmtree(context)

    def runs(self, engine, wanted: set[str]) -> None:
        if not wanted & {"runs-push", "runs-unchanged"}:
            return
        for turn in range(self.chosen.times):
            context = os.path.join(self.room, "context", engine.name + "-runs")
            self.dockerfile(context, [f"RUN echo {engine.name} {turn} > /step{step}" for step in range(15)])
            image = f"{self.registry}/{engine.name}-runs:{turn}"
            self.note(engine, "runs-push", engine.build(context, image, True))
            self.note(engine, "runs-unchanged", engine.build(context, image, False))

    def apt(self, engine, wanted: set[str]) -> None:
        """Packages that lie in the context: no network is measured. What the step says it took is apt's own."""
        if "apt" not in wanted:
            return
        context = os.path.join(self.room, "context", "apt")
        packages(os.path.join(context, "debs"))
        for turn in range(self.chosen.times):
            self.dockerfile(context, [
                "RUN --mount=type=bind,target=/context b=$(date +%s%N) \\",
                f" && : {engine.name} {turn} \\",
                " && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /context/debs/*.deb \\",
                " && echo apt took $(($(date +%s%N) - b)) ns",
            ])
            cost = engine.build(context, f"{self.registry}/{engine.name}-apt:{turn}", False)
            with open(engine.log, errors="replace") as log:
                cost.wall -= int(re.findall(r"apt took (\d+) ns", log.read())[-1]) / 1e9
            self.note(engine, "apt", cost)

    def all_cases(self, engine) -> None:
        """All that were asked for."""
        wanted = set(self.chosen.cases.split(","))
        self.series(engine, False, wanted)
        self.series(engine, True, wanted)
        self.runs(engine, wanted)
        self.apt(engine, wanted)

    def warm_up(self, engine) -> None:
        """The base is pulled and unpacked before anything is measured."""
        context = os.path.join(self.room, "context", "warm")
        self.dockerfile(context, ["RUN true"])
        engine.build(context, f"{self.registry}/warm-{engine.name}:1", False)


def packages(directory: str) -> None:
    """git and all that it needs, from wherever this machine's apt gets packages."""
    if os.path.isdir(directory):
        return
    os.makedirs(directory)
    # apt fetches as a user of its own.
    os.chmod(directory, 0o777)
    listed = ["apt-cache", "depends", "--recurse"]
    listed += [f"--no-{what}" for what in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    found = subprocess.run([*listed, "git"], check=True, capture_output=True, text=True).stdout
    names = sorted({line for line in found.splitlines() if line and line[0].isalnum()})
    subprocess.run(["apt-get", "-qq", "download", *names], check=True, cwd=directory, stdout=subprocess.DEVNULL)


def floor(chosen: argparse.Namespace, room: str) -> dict[str, float]:
    """What the same bytes cost without any builder: one thread, no image."""
    context = os.path.join(room, "context", "floor")
    make_tree(context, chosen, "floor")
    paths = tree.files_of(context)
    start = time.monotonic()
    for path in paths:
        os.lstat(path)
    seconds = {"stat": time.monotonic() - start}
    start, hasher = time.monotonic(), hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            hasher.update(file.read())
    seconds["read and sha256"] = time.monotonic() - start
    start, squeezer, squeezed = time.monotonic(), zlib.compressobj(6, wbits=31), bytearray()
    for path in paths:
        with open(path, "rb") as file:
            squeezed += squeezer.compress(file.read())
    squeezed += squeezer.flush()
    seconds["gzip -6, zlib, one thread"] = time.monotonic() - start
    start = time.monotonic()
    with open(os.path.join(room, "floor.gz"), "wb") as file:
        file.write(squeezed)
        os.fsync(file.fileno())
    seconds[f"write and fsync {len(squeezed) / 1e6:.0f} MB"] = time.monotonic() - start
    shutil.rmtree(context)
    return seconds


def table(bench: Bench, names: list[str]) -> str:
    lines = ["| case | " + " | ".join(names) + " | to BuildKit | goal |", "|---" * (len(names) + 3) + "|"]
    for case, what, _, goal in CASES:
        costs = bench.costs.get(case)
        if not costs:
            continue
        middle = {name: statistics.median(cost.wall for cost in costs[name]) for name in names if name in costs}
        memory = {name: max(cost.memory for cost in costs[name]) for name in names if name in costs}
        cells = [f"{middle[n]:.2f} s, {memory[n]:.0f} MB" if n in middle else "-" for n in names]
        against = middle.get("buildkit", middle.get("docker"))
        ratio = f"1/{against / middle['wharf']:.1f}" if against and "wharf" in middle else "-"
        lines.append(f"| {what} | " + " | ".join(cells) + f" | {ratio} | {f'1/{goal}' if goal else ''} |")
    return "\n".join(lines)


def main() -> int:
    chosen = options()
    started, names = [], []
    with place(chosen) as (room, registry):
        try:
            bench = Bench(chosen, room, registry.address)
            for engine_name in chosen.engines.split(","):
                engine = start(engine_name, chosen, room, registry.address)
                if engine is None:
                    print(f"{engine_name} is not here and left out")
                    continue
                started.append(engine)
                try:
                    bench.warm_up(engine)
                    names.append(engine_name)
                    bench.all_cases(engine)
                except BuildFailed as failure:
                    print(f"{engine_name}: {failure}", file=sys.stderr)
                # One at a time: a daemon that idles still takes memory and time.
                started.remove(engine)
                engine.stop()
            report(bench, names, floor(chosen, room))
        finally:
            for engine in started:
                engine.stop()
    return 0


def report(bench: Bench, names: list[str], least: dict[str, float]) -> None:
    chosen = bench.chosen
    with open("/proc/loadavg") as file:
        load = file.read().split()[0]
    what = chosen.tree or f"{chosen.files} files, {chosen.megabytes} MB"
    print(f"\n{what}, median of {chosen.times}, {os.cpu_count()} cores, load {load}, pushed to {chosen.registry}\n")
    print(table(bench, names))
    print("\nfloor: " + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in least.items()))
    if chosen.json:
        numbers = {case: {name: [vars(cost) for cost in costs] for name, costs in found.items()}
                   for case, found in bench.costs.items()}
        with open(chosen.json, "w") as file:
            json.dump({"costs": numbers, "floor": least, "options": vars(chosen)}, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
