"""Builds the cases of testdata/builds twice and compares what came out. Started by differential.sh."""

import argparse
import fnmatch
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "builds"
PAGES = HERE.parent.parent / "docs" / "lint"
PATIENCE = 120


def arguments(case):
    """Lines of `arguments` as pairs."""
    path = case / "arguments"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split(" ", 1) for line in lines if line]


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


def wharf(room, options):
    """The beginning of a command, and its end."""
    command = [options.wharf, "--progress=quiet", "--store", str(options.work / "store"), "build"]
    command += ["-f", str(room / "Dockerfile")]
    command += ["--build-context", f"shell=docker-image://{options.shell}"]
    for flag, value in arguments(room):
        if flag == "--build-context":
            name, directory = value.split("=", 1)
            value = f"{name}={room / directory}"
        command += [flag, value]
    return [*command, str(room / "context")]


def buildkit(room, options):
    command = ["buildctl", "--addr", options.address, "build", "--progress=plain", "--frontend=dockerfile.v0"]
    command += ["--local", f"context={room}/context", "--local", f"dockerfile={room}"]
    command += ["--opt", f"context:shell=docker-image://{options.shell}"]
    for number, (flag, value) in enumerate(arguments(room)):
        if flag == "--build-context":
            name, directory = value.split("=", 1)
            command += ["--local", f"named{number}={room / directory}", "--opt", f"context:{name}=local:named{number}"]
        elif flag == "--target":
            command += ["--opt", f"target={value}"]
        else:
            command += ["--opt", f"{flag.removeprefix('--')}:{value}"]
    return command


def by_wharf(room, options):
    return run([*wharf(room, options), "-o", f"type=oci,dest={room}/wharf.tar"], room / "wharf.tar")


def by_buildkit(room, options):
    return run([*buildkit(room, options), "--output", f"type=oci,dest={room}/buildkit.tar"], room / "buildkit.tar")


def wharf_checks(room, options):
    """What the linter finds, as `Rule line`; None for a file that cannot be built."""
    command = [*wharf(room, options), "--call=check,format=json,ignorestatus=true"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout or '{"buildError": 1}')
    if "buildError" in answer:
        return None
    return sorted(f"{one['ruleName']} {one['location']['ranges'][0]['start']['line']}" for one in answer["warnings"])


def buildkit_checks(room, options):
    command = [*buildkit(room, options), "--opt", "requestid=frontend.lint"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        return None
    found = re.findall(r"^WARNING: (\w+).*\n(?:.*\n)*?Dockerfile:(\d+)$", done.stdout, re.MULTILINE)
    return sorted(f"{rule} {line}" for rule, line in found)


def run(command, result):
    """The image, or why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return None, "it does not end"
    if done.returncode != 0:
        return None, (done.stderr or done.stdout).strip().splitlines()[-12:]
    return Image(result), None


class Image:
    """An OCI layout in a tar: its configuration, and its files once all layers are applied."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {name.name: archive.extractfile(name).read() for name in archive if name.isfile()}
        manifest = json.loads(self.files["index.json"])["manifests"][0]
        manifest = json.loads(self.blob(manifest["digest"]))
        if "manifests" in manifest:
            manifest = json.loads(self.blob(manifest["manifests"][0]["digest"]))
        self.config = json.loads(self.blob(manifest["config"]["digest"]))
        layers = manifest["layers"] or []
        self.layers = len(layers)
        self.tree = {}
        for layer in layers:
            self.apply(self.blob(layer["digest"]))

    def blob(self, digest):
        return self.files["blobs/" + digest.replace(":", "/")]

    def apply(self, layer):
        if layer[:2] == b"\x1f\x8b":
            layer = gzip.decompress(layer)
        new = {}
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for entry in archive:
                path = "/" + entry.name.strip("/").removeprefix("./")
                directory, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    self.remove(directory, below=True)
                elif name.startswith(".wh."):
                    self.remove(f"{directory}/{name[4:]}")
                else:
                    new[path] = self.describe(entry, archive, new)
        for path, node in new.items():
            if node["type"] != "dir":
                self.remove(path)
            elif self.tree.get(path, node)["type"] != "dir":
                del self.tree[path]
            self.tree[path] = node
        self.tree.pop("/", None)
        self.tree.pop("/.", None)

    def remove(self, path, below=False):
        gone = [one for one in self.tree if one.startswith(path + "/") or (one == path and not below)]
        for one in gone:
            del self.tree[one]

    def describe(self, entry, archive, new):
        if entry.islnk():
            target = "/" + entry.linkname.strip("/").removeprefix("./")
            return dict(new.get(target) or self.tree[target])
        kinds = [("dir", entry.isdir()), ("link", entry.issym()), ("file", entry.isfile())]
        node = {"type": next((kind for kind, is_it in kinds if is_it), entry.type.decode())}
        node |= {"owner": f"{entry.uid}:{entry.gid}"}
        if entry.issym():
            return node | {"target": entry.linkname}
        node["mode"] = f"{entry.mode & 0o7777:o}"
        if entry.isfile():
            content = archive.extractfile(entry).read()
            node |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()[:12]}
        attributes = {key: value for key, value in entry.pax_headers.items() if key.startswith("SCHILY.xattr.")}
        return node | {"xattrs": attributes} if attributes else node


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
            found.append((f"history {number}", mine, yours))
    if len(history[0]) != len(history[1]):
        found.append(("history length", len(history[0]), len(history[1])))
    return found


def intended():
    """`case | place | reason`; case and place are patterns."""
    lines = [line.strip() for line in (HERE / "intended").read_text().splitlines()]
    return [[part.strip() for part in line.split("|", 2)] for line in lines if line and not line.startswith("#")]


def judge(case, options, rules):
    room = prepare(case, options.work)
    (ours, our_error), (theirs, their_error) = by_wharf(room, options), by_buildkit(room, options)
    checks = wharf_checks(room, options), buildkit_checks(room, options)
    shutil.rmtree(room)
    if ours is None and theirs is None:
        found = []
    elif ours is None or theirs is None:
        found = [("outcome", our_error or "built", their_error or "built")]
    else:
        found = differences(ours, theirs)
    if None not in checks and checks[0] != checks[1]:
        found.append(("checks", *checks))
    used, left = [], []
    for place, mine, yours in found:
        rule = next((rule for rule in rules if fnmatch.fnmatch(case.name, rule[0]) and fnmatch.fnmatch(place, rule[1])), None)
        (used.append(rule) if rule else left.append((place, mine, yours)))
    return used, left


def main():
    parser = argparse.ArgumentParser()
    for flag in ["--wharf", "--address", "--shell", "--work"]:
        parser.add_argument(flag, required=True)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    options.work = Path(options.work)
    rules = intended()
    cases = [*sorted(CASES.iterdir()), *examples(options.work)]
    cases = [case for case in cases if not options.cases or case.name in options.cases]
    passed = failed = 0
    used = []
    with ThreadPoolExecutor(2) as pool:
        for case, verdict in zip(cases, pool.map(lambda case: judge(case, options, rules), cases)):
            rules_used, left = verdict
            used += rules_used
            if not left:
                passed += 1
                reasons = "; ".join(dict.fromkeys(rule[2] for rule in rules_used))
                print(f"ok - {case.name}" + (f" (intended: {reasons})" if reasons else ""))
                continue
            failed += 1
            print(f"not ok - {case.name}")
            for place, mine, yours in left:
                print(f"    {place}\n      wharf    {mine}\n      buildkit {yours}")
    if not options.cases:
        for rule in rules:
            if rule not in used:
                failed += 1
                print(f"not ok - nothing differs as `{' | '.join(rule)}` says")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
