#!/usr/bin/env python3
"""What a page of tags, or of the catalogue, costs in a large store against a small one. See README.md."""

import argparse
import hashlib
import http.client
import json
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

PAGE = 100
LIMIT = 2.0
REPOSITORY = "team/app"


class Server:
    """`wharf serve` on a store, and a connection to it."""

    def __init__(self, wharf, store):
        config = store.parent / "config.toml"
        config.touch()
        command = [wharf, "serve", "--store", store, "--config", config, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "://" not in line:
            raise SystemExit(f"wharf does not serve: {line}{self.process.stderr.read()}")
        self.connection = http.client.HTTPConnection(line.split("://")[1].strip(), timeout=60)

    def ask(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text}")
        return text

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def push(server):
    """One small image, tagged once."""
    def blob(content, kind):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        server.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}", content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(b"{}", "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(b"layer", "application/vnd.oci.image.layer.v1.tar")],
    })
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    server.ask("PUT", f"/v2/{REPOSITORY}/manifests/tag", manifest, kind)


def fill(store, key, names):
    """Copies the record of `key` under its last part's other names, with versions of their own."""
    database = sqlite3.connect(store / "records.sqlite")
    (value,) = database.execute("SELECT value FROM records WHERE key = ?", (key["of"],)).fetchone()
    (last,) = database.execute("SELECT last_version FROM counter").fetchone()
    rows = ((key["prefix"] + name, last + number, value) for number, name in enumerate(names, 1))
    with database:
        database.executemany("INSERT INTO records (key, version, value) VALUES (?, ?, ?)", rows)
        database.execute("UPDATE counter SET last_version = last_version + ?", (len(names),))
    database.close()


def prepare(wharf, work, what, count):
    store = work / f"{what}-{count}" / "store"
    store.parent.mkdir()
    server = Server(wharf, store)
    push(server)
    server.stop()
    names = [f"n{number:07}" for number in range(count)]
    if what == "tags":
        prefix = f"repos/{REPOSITORY}/_tags/"
        fill(store, {"of": prefix + "tag", "prefix": prefix}, names)
    else:
        fill(store, {"of": f"catalog/{REPOSITORY}", "prefix": "catalog/"}, names)
    return Server(wharf, store), names


def page(server, what, last):
    path = f"/v2/{REPOSITORY}/tags/list" if what == "tags" else "/v2/_catalog"
    after = f"&last={last}" if last else ""
    begun = time.perf_counter()
    answer = server.ask("GET", f"{path}?n={PAGE}{after}")
    took = time.perf_counter() - begun
    listed = json.loads(answer)["tags" if what == "tags" else "repositories"]
    return took, listed


def compare(wharf, work, what, counts, rounds):
    """Prints a line for each place of a page; the largest ratio."""
    servers = [prepare(wharf, work, what, count) for count in counts]
    worst = 0.0
    # The server remembers small answers while nothing is written; a page that was not asked for before has to be read.
    places = {
        "first": lambda names, _: None,
        "fresh": lambda names, number: names[number * 7919 % (len(names) - PAGE)],
        "last": lambda names, _: names[-PAGE - 1],
    }
    for place, choose in places.items():
        took = [[], []]
        for number in range(rounds):
            for index, (server, names) in enumerate(servers):
                last = choose(names, number)
                seconds, listed = page(server, what, last)
                if len(listed) != PAGE:
                    raise SystemExit(f"{what}: {len(listed)} entries on a page")
                took[index].append(seconds)
        small, large = (statistics.median(times) * 1000 for times in took)
        worst = max(worst, large / small)
        print(f"{what:8} {place:6} page of {PAGE}: {counts[0]:>9,}: {small:6.2f} ms   "
              f"{counts[1]:>9,}: {large:6.2f} ms   ratio {large / small:.2f}", flush=True)
    for server, _ in servers:
        server.stop()
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wharf", type=pathlib.Path)
    parser.add_argument("--tags", type=int, default=1_000_000)
    parser.add_argument("--repositories", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="wharf-tags-"))
    try:
        worst = max(compare(options.wharf, work, "tags", (1_000, options.tags), options.rounds),
                    compare(options.wharf, work, "catalog", (1_000, options.repositories), options.rounds))
    finally:
        shutil.rmtree(work)
    print(f"worst ratio {worst:.2f}; at most {LIMIT} is good")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
