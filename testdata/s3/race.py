"""Replicas of one store racing on tags: `race.py ADDRESS ADDRESS`. Every push, rollback and delete that was acknowledged is one
version, exactly once, in one order that both replicas tell; of those who say what they think the tag is, one wins.
Prints `N passed, M failed`."""

import json
import sys
import threading

from wire import Image, ask

REPOSITORY = "race/app"
results = []


def check(name, problem):
    results.append(problem is None)
    print(f"ok - {name}" if problem is None else f"not ok - {name}: {problem}", flush=True)


def api(tag, what):
    return f"/api/v1/repositories/{REPOSITORY}/tags/{tag}/{what}"


def history(address, tag):
    status, body = ask(address, "GET", api(tag, "history"))
    assert status == 200, f"history of {tag}: {status}"
    return json.loads(body)


def together(works):
    """Runs them at once, from one start; what they return."""
    start, answers = threading.Barrier(len(works)), [None] * len(works)

    def run(index):
        start.wait()
        try:
            answers[index] = works[index]()
        except Exception as error:
            answers[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def images(tag, count):
    return [Image(REPOSITORY, [b"{}", f"{tag} {number}".encode()]) for number in range(count)]


def one_history(addresses, tag):
    """The tag's history, if both replicas tell the same and its numbers are whole."""
    told = [history(address, tag) for address in addresses]
    assert told[0] == told[1], "the replicas tell different histories"
    numbers = [version["version"] for version in told[0]["history"]]
    assert numbers == list(range(told[0]["version"], 0, -1)), f"versions {numbers}"
    return told[0]


def guarded(name, test):
    try:
        test()
        check(name, None)
    except Exception as error:
        check(name, f"{type(error).__name__}: {error}")


def pushes(addresses, tag):
    """Everybody pushes images of his own to one tag: all are versions, once each."""
    mine = images(tag, 8)
    together([lambda image=image, to=to: image.push_blobs(addresses[to % 2]) for to, image in enumerate(mine)])
    answers = together([lambda image=image, to=to: image.put(addresses[to % 2], tag) for to, image in enumerate(mine)])
    told = one_history(addresses, tag)
    versions = [version["descriptor"]["digest"] for version in told["history"]]
    acknowledged = [image.digest for image, status in zip(mine, answers) if status == 201]
    assert acknowledged, f"nobody got through: {answers}"
    assert set(answers) <= {201, 429}, f"{answers}"
    assert sorted(versions) == sorted(set(versions)), "a version twice"
    lost = [digest for digest in acknowledged if digest not in versions]
    assert not lost, f"{len(lost)} acknowledged versions are lost"
    assert told["current"]["digest"] == versions[0], "the tag is not its newest version"
    for address in addresses:
        served = ask(address, "GET", f"/v2/{REPOSITORY}/manifests/{tag}")[1]
        assert any(served == image.manifest and image.digest == versions[0] for image in mine), "another manifest"


def conditions(addresses, tag):
    """Everybody thinks that the tag is at its first version: one is right."""
    first, *others = images(tag, 7)
    assert first.push(addresses[0], tag) == 201
    for image in others:
        assert image.push(addresses[1]) == 201

    def put(image, to):
        path = f"/v2/{REPOSITORY}/manifests/{tag}"
        kind = "application/vnd.oci.image.manifest.v1+json"
        return ask(addresses[to % 2], "PUT", path, image.manifest, Content_Type=kind, If_Match=f'"{first.digest}"')[0]

    answers = together([lambda image=image, to=to: put(image, to) for to, image in enumerate(others)])
    assert sorted(answers) == [201] + [412] * 5, f"{answers}"
    told = one_history(addresses, tag)
    winner = others[answers.index(201)].digest
    assert told["version"] == 2 and told["current"]["digest"] == winner, "the winner is not the tag's version"


def mixed(addresses, tag):
    """Pushes, rollbacks and deletes of the tag at once: what was acknowledged is there, and nothing points at what is not."""
    mine = images(tag, 10)
    for image in mine[:3]:
        assert image.push(addresses[0], tag) == 201
    for image in mine[3:]:
        assert image.push_blobs(addresses[1]) is None
    rollback = lambda to: ("rollback", ask(addresses[to], "POST", api(tag, "rollback"), b'{"version": 1}')[0])
    delete = lambda to: ("delete", ask(addresses[to], "DELETE", f"/v2/{REPOSITORY}/manifests/{tag}")[0])
    push = lambda image, to: (image.digest, image.put(addresses[to % 2], tag))
    works = [lambda image=image, to=to: push(image, to) for to, image in enumerate(mine[3:])]
    works += [lambda: rollback(0), lambda: rollback(1), lambda: delete(0), lambda: delete(1)]
    answers = together(works)
    told = one_history(addresses, tag)
    versions = told["history"]
    hows = [version["how"] for version in versions]
    for what, status in answers:
        assert status in (200, 201, 202, 404, 429), f"{what}: {status}"
        if status == 201:
            pushed = [version for version in versions if version["how"] == "push" and version["descriptor"]["digest"] == what]
            assert len(pushed) == 1, f"an acknowledged push is {len(pushed)} versions"
    # Who finds done what he wanted to do adds nothing.
    for how, good in (("rollback", 200), ("delete", 202)):
        done = sum(1 for what, status in answers if (what, status) == (how, good))
        assert hows.count(how) <= done, f"{hows.count(how)} versions of {done} acknowledged {how}s"
        assert done == 0 or hows.count(how) >= 1 or how == "rollback", f"an acknowledged {how} is lost"
    newest = versions[0]["descriptor"]
    assert told["current"] == newest, "the tag is not its newest version"
    status = ask(addresses[1], "GET", f"/v2/{REPOSITORY}/manifests/{tag}")[0]
    assert status == (404 if newest is None else 200), f"the tag's manifest: {status}"


def digests(addresses, tag):
    """One pushes an image to a tag while the other deletes the image by its digest: no tag dangles."""
    (image,) = images(tag, 1)
    assert image.push(addresses[0], tag) == 201
    for _ in range(5):
        put, deleted = together([lambda: image.push(addresses[0], tag), lambda: image.delete(addresses[1])])
        assert put in (201, 404, 429) and deleted in (202, 404, 405, 429), f"{put} {deleted}"
        for address in addresses:
            tagged = ask(address, "GET", f"/v2/{REPOSITORY}/manifests/{tag}")[0]
            there = image.pull(address)
            assert tagged == 404 or there, f"the tag points at what is gone (put {put}, delete {deleted})"


def main(addresses):
    for number in range(10):
        guarded(f"pushes to one tag, {number}", lambda: pushes(addresses, f"pushes{number}"))
        guarded(f"one of many conditions holds, {number}", lambda: conditions(addresses, f"conditions{number}"))
        guarded(f"pushes, rollbacks and deletes, {number}", lambda: mixed(addresses, f"mixed{number}"))
        guarded(f"a push against a delete, {number}", lambda: digests(addresses, f"digests{number}"))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


main(sys.argv[1:3])
