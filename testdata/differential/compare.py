"""Builds the cases of testdata/builds twice, and compares what came out. Started by differential.sh."""

import argparse
import fnmatch
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builders import BuildKit, Docker, Wharf

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "builds"
PAGES = HERE.parent.parent / "docs" / "lint"


def prepare(case, work):
    """A copy of the case with the modes that the corpus test gives it."""
    room = work / "cases" / case.name
    shutil.copytree(case, room, symlinks=True)
    (room / "context").mkdir(exist_ok=True)
    for path in [room, *room.rglob("*")]:
        if path.is_symlink():
            continue
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    return room


def examples(work):
    """The examples of the linter's pages, as cases."""
    for page in sorted(PAGES.glob("*.md")):
        blocks = re.findall(r"```dockerfile\n(.*?)```", page.read_text(), re.DOTALL)
        # The list of rules shows directives only, and that base is for another platform.
        if page.stem in ["README", "InvalidBaseImagePlatform"]:
            continue
        for number, text in enumerate(blocks):
            case = work / "pages" / f"{page.stem}-{number}"
            (case / "context" / "notes").mkdir(parents=True)
            (case / "context" / ".dockerignore").write_text("notes\n")
            (case / "Dockerfile").write_text(text.replace("FROM base", "FROM shell"))
            yield case


def differences(ours, theirs):
    """`place: ours, theirs`, one a line."""
    found = []
    for path in sorted(ours.tree.keys() | theirs.tree.keys()):
        mine, yours = ours.tree.get(path), theirs.tree.get(path)
        if mine != yours:
            found.append((f"file {path}", mine, yours))
    for key in sorted((ours.config.get("config") or {}).keys() | (theirs.config.get("config") or {}).keys()):
        mine, yours = (ours.config.get("config") or {}).get(key), (theirs.config.get("config") or {}).get(key)
        if mine != yours:
            found.append((f"config {key}", mine, yours))
    for key in ["author", "os", "architecture", "variant"]:
        if ours.config.get(key) != theirs.config.get(key):
            found.append((f"image {key}", ours.config.get(key), theirs.config.get(key)))
    if ours.layers != theirs.layers:
        found.append(("layers", ours.layers, theirs.layers))
    history = [[(one.get("created_by"), one.get("empty_layer", False)) for one in image.config.get("history") or []]
               for image in (ours, theirs)]
    for number, (mine, yours) in enumerate(zip(*history)):
        if mine != yours:
            found.append((" ".join(["history", str(number), *mine[0].split()[:2]]), mine, yours))
    if len(history[0]) != len(history[1]):
        found.append(("history length", len(history[0]), len(history[1])))
    return found


def table(name):
    """The lines of a file here, if there is one: patterns and a reason, which may be that of the line before."""
    path = HERE / name
    lines = [line.strip() for line in path.read_text().splitlines()] if path.exists() else []
    lines = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    for before, line in zip(lines, lines[1:]):
        if line[-1] == "the same":
            line[-1] = before[-1]
    return lines


class Comparison:
    """Of Wharf with one engine."""

    def __init__(self, wharf, engine, work):
        self.wharf, self.engine, self.work = wharf, engine, work
        self.beyond = table(f"{engine.name}.not-asked")
        self.own_rules = table(f"{engine.name}.intended")
        # What is meant to differ from the newest of them differs from an older one as well, where that can be asked.
        self.rules = [*self.own_rules, *table("buildkit.intended")]

    def judge(self, case):
        """The lines that hold for it, the differences that none explains, and whether the engine was asked at all."""
        room = prepare(case, self.work)
        said = "".join(path.read_text() for path in [room / "Dockerfile", room / "arguments"] if path.exists())
        beyond = [line for line in self.beyond if re.search(line[0], said, re.MULTILINE)]
        (ours, our_error), (theirs, their_error) = self.build(room)
        checks = self.engine.checks(room)
        our_checks = None if checks is None else self.wharf.checks(room)
        shutil.rmtree(room)
        if beyond and theirs is None:
            return beyond, [], False
        if beyond:
            return beyond, [("outcome", f"not asked: {beyond[0][-1]}", "built")], True
        found = differences(ours, theirs) if ours and theirs else []
        if bool(ours) != bool(theirs):
            found.append(("outcome", our_error or "built", their_error or "built"))
        if our_checks is not None and our_checks != checks:
            found.append(("checks", our_checks, checks))
        return *self.explain(case, found), True

    def build(self, room):
        built = self.wharf.build(room), self.engine.build(room)
        if not self.engine.wants_a_layer(built[1][1]):
            return built
        with (room / "Dockerfile").open("a") as file:
            file.write("\nCOPY --from=shell /etc/group /\n")
        return self.wharf.build(room), self.engine.build(room)

    def explain(self, case, found):
        used, left = [], []
        for place, mine, yours in found:
            rule = next((rule for rule in self.rules if fnmatch.fnmatch(case.name, rule[0]) and fnmatch.fnmatch(place, rule[1])), None)
            (used.append(rule) if rule else left.append((place, mine, yours)))
        return used, left


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=["buildkit", "docker"])
    for flag in ["--wharf", "--shell", "--work"]:
        parser.add_argument(flag, required=True)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    work = Path(options.work)
    engine = BuildKit(options.shell) if options.engine == "buildkit" else Docker()
    comparison = Comparison(Wharf(options.wharf, options.shell, work), engine, work)
    cases = [*sorted(CASES.iterdir()), *examples(work)]
    cases = [case for case in cases if not options.cases or case.name in options.cases]
    passed = failed = not_asked = 0
    needed = []
    with ThreadPoolExecutor(2) as pool:
        for case, (rules, left, asked) in zip(cases, pool.map(comparison.judge, cases)):
            needed += rules
            reasons = "; ".join(dict.fromkeys(rule[-1] for rule in rules))
            if left:
                failed += 1
                print(f"not ok - {case.name}")
                for place, mine, yours in left:
                    print(f"    {place}\n      wharf    {mine}\n      {engine.name:8} {yours}")
            elif asked:
                passed += 1
                print(f"ok - {case.name}" + (f" (intended: {reasons})" if reasons else ""))
            else:
                not_asked += 1
                print(f"not asked - {case.name} ({reasons})")
    if not engine.lives():
        failed += 1
        print(f"not ok - {engine.name} died on the way, so what it refused says nothing")
    for line in [*comparison.own_rules, *comparison.beyond]:
        if line not in needed and not options.cases:
            failed += 1
            print(f"not ok - no case needs `{' | '.join(line)}`")
    print(f"{passed} passed, {failed} failed" + (f", {not_asked} not asked" if not_asked else ""))
    sys.exit(failed > 0)


main()
