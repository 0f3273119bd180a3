"""Rounds of pushes, deletes, rollbacks and collections by several clients at two replicas of one store in S3, each ended by kill -9 of
one of the replicas, and of a `wharf gc`, at a random moment: `killed.py WHARF ROUNDS`. The replica is started again; then every image
whose push was acknowledged pulls from both, every acknowledged delete and every tag is as it was told, and `wharf fsck` is content.
The store and its credentials stand in the environment. Prints `N passed, M failed`."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

from wire import GONE, Image, ask

CLIENTS = 4
IMAGES = 5


class Replica:
    def __init__(self, wharf, config, log):
        self.wharf, self.config, self.log = wharf, config, log
        self.start()

    def start(self):
        command = [self.wharf, "serve", "--config", self.config, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert "://" in line, f"no replica: {line}{self.process.stderr.read()}"
        self.address = line.rsplit("://", 1)[1].strip()
        # Or it would wait for somebody to read.
        threading.Thread(target=self.drain, args=(self.process.stderr,), daemon=True).start()

    def drain(self, pipe):
        for line in pipe:
            self.log.write(line)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Client:
    """Its images are pushed by nobody else, but others push the same base layers; so is its tag."""

    def __init__(self, number):
        def image(image):
            base = f"base {image % 3} ".encode() * 2000
            own = f"client {number}, image {image} ".encode() * 500
            return Image(f"team/app{number % 2}", [json.dumps({"image": image}).encode(), base, own])

        self.images = [image(number) for number in range(IMAGES)]
        # Digest to what was told of it last: True, False, or None when nobody can know.
        self.told = {image.digest: None for image in self.images}
        self.tag, self.tagged = f"client{number}", None
        self.dice, self.counts, self.problem = random.Random(number), {}, None

    def work(self, replicas, stop):
        try:
            while not stop.is_set():
                replica = self.dice.choice(replicas)
                image = self.dice.choice(self.images)
                what = self.dice.choice(["push", "push", "push", "delete", "rollback"])
                try:
                    {"push": self.push, "delete": self.delete, "rollback": self.rollback}[what](replica.address, image)
                except GONE:
                    stop.wait(0.01)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def did(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def push(self, address, image):
        before, tag_before = self.told[image.digest], self.tagged
        self.told[image.digest], self.tagged = None, None
        status = image.push(address, self.tag)
        if status == 201:
            self.told[image.digest], self.tagged = True, image.digest
            self.did("push")
        elif status in (404, 429):
            # A blob went while it was pushed, or others changed the same: the tag may have moved, if it was 429.
            self.told[image.digest] = before if status == 404 else None
            self.tagged = tag_before if status == 404 else None
        else:
            raise AssertionError(f"push: {status}")

    def delete(self, address, image):
        before, tag_before = self.told[image.digest], self.tagged
        self.told[image.digest], self.tagged = None, None
        status = image.delete(address)
        if status == 202:
            self.told[image.digest] = False
            self.tagged = None if tag_before == image.digest else tag_before
            self.did("delete")
        elif status == 404:
            self.told[image.digest], self.tagged = before, tag_before
        else:
            assert status == 429, f"delete: {status}"

    def rollback(self, address, _image):
        self.tagged = None
        path = f"/api/v1/repositories/{self.images[0].repository}/tags/{self.tag}/rollback"
        status, body = ask(address, "POST", path)
        if status == 200:
            self.tagged = json.loads(body)["current"]["digest"]
            self.did("rollback")
        else:
            assert status in (404, 409, 429), f"rollback: {status}"

    def verify(self, address):
        assert self.problem is None, self.problem
        for image in self.images:
            there, told = image.pull(address), self.told[image.digest]
            assert told is not True or there, f"an acknowledged push is lost: {image.digest}"
            assert told is not False or not there, f"an acknowledged delete is undone: {image.digest}"
        status, body = ask(address, "GET", self.images[0].path(f"manifests/{self.tag}"))
        assert status in (200, 404), f"the tag: {status}"
        if status == 200:
            assert body in [image.manifest for image in self.images], "the tag is another manifest"
        if self.tagged is not None:
            expected = next(image.manifest for image in self.images if image.digest == self.tagged)
            assert body == expected, f"the tag is not what was acknowledged last: {status}"


def each(works):
    """Runs them at once; the first problem."""
    problems = []

    def run(work):
        try:
            work()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def fsck(wharf, config):
    done = subprocess.run([wharf, "fsck", "--config", config], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"fsck: {done.stdout}{done.stderr}"


def one_round(wharf, config, replicas, clients, dice):
    stop = threading.Event()
    threads = [threading.Thread(target=client.work, args=(replicas, stop)) for client in clients]
    for thread in threads:
        thread.start()
    collector = subprocess.Popen([wharf, "--quiet", "gc", "--grace", "2s", "--config", config])
    time.sleep(0.3 + dice.random() * 1.5)
    victim = dice.choice(replicas)
    victim.kill()
    collector.kill()
    collector.wait()
    # The other one goes on alone for a while.
    time.sleep(dice.random() * 0.3)
    stop.set()
    for thread in threads:
        thread.join()
    victim.start()
    each([lambda client=client, replica=replica: client.verify(replica.address)
          for client in clients for replica in replicas])
    fsck(wharf, config)


def main(wharf, rounds):
    seed = int(os.environ.get("WHARF_FAULT_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}", flush=True)
    dice, clients = random.Random(seed), [Client(number) for number in range(1, CLIENTS + 1)]
    passed, work = 0, pathlib.Path(tempfile.mkdtemp(prefix="wharf-killed-"))
    config = work / "config.toml"
    config.write_text("[serve]\ngc-interval = 1\ngc-grace = 2\n")
    with open(work / "log", "w") as log:
        replicas = [Replica(wharf, config, log) for _ in range(2)]
        try:
            for number in range(1, rounds + 1):
                one_round(wharf, config, replicas, clients, dice)
                passed += 1
                print(f"round {number} passed", flush=True)
        except Exception as error:
            print(f"not ok - round {passed + 1}: {type(error).__name__}: {error}")
        finally:
            for replica in replicas:
                replica.kill()
    done = {what: sum(client.counts.get(what, 0) for client in clients) for what in ("push", "delete", "rollback")}
    print("acknowledged: " + ", ".join(f"{count} {what}" for what, count in done.items()))
    if passed < rounds:
        print(f"logs: {work}")
    else:
        for path in (config, work / "log"):
            path.unlink()
        work.rmdir()
    print(f"{passed} passed, {rounds - passed} failed")
    sys.exit(passed < rounds)


main(sys.argv[1], int(sys.argv[2]))
