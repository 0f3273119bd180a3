"""The steps of `full.sh` at a registry whose bucket is full: `full.py STEP ADDRESS STATE`. STATE is a file with what was acknowledged."""

import http.client
import json
import pathlib
import sys
import time

from wire import Image, ask, digest

SIZE = 4 << 20


def image(number):
    return Image("team/app", [json.dumps({"image": number}).encode(), f"{number:08}".encode() * (SIZE // 8)])


def in_words(status, body):
    assert status == 507, f"{status} {body[:300]}"
    message = json.loads(body)["errors"][0]["message"]
    assert "full" in message and "nothing was stored" in message, message


def fill(address, state):
    number = 0
    while True:
        status = image(number).push(address)
        if status != 201:
            break
        number += 1
        assert number < 100, "the bucket never gets full"
    assert status == 507, f"after {number} images: {status}"
    assert number > 3, f"only {number} images fit"
    state.write_text(json.dumps(number))
    print(f"{number} images fit")


def large():
    return b"large!!!" * (4 * SIZE // 8)


def refused(address, _state):
    blob = large()
    begun = time.monotonic()
    in_words(*ask(address, "POST", f"/v2/team/app/blobs/uploads/?digest={digest(blob)}", blob))
    chunk = blob[: 2 * SIZE]
    status, _, path = begin(address)
    assert status == 202, f"begin: {status}"
    in_words(*ask(address, "PATCH", path, chunk, Content_Type="application/octet-stream"))
    assert time.monotonic() - begun < 30, "it took long to say"


def begin(address):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/v2/team/app/blobs/uploads/")
    answer = connection.getresponse()
    body, place = answer.read(), answer.headers["Location"]
    connection.close()
    return answer.status, body, "/" + place.split("://", 1)[-1].split("/", 1)[-1] if place else None


def pull(address, state):
    for number in range(json.loads(state.read_text())):
        assert image(number).pull(address), f"image {number} is lost"


def again(address, state):
    number = json.loads(state.read_text())
    # The service looks at its disk only now and then.
    end = time.monotonic() + 30
    while (status := image(number).push(address)) == 507 and time.monotonic() < end:
        time.sleep(0.2)
    assert status == 201, f"the image that did not fit: {status}"
    blob = large()
    status, body = ask(address, "POST", f"/v2/team/app/blobs/uploads/?digest={digest(blob)}", blob)
    assert status == 201, f"{status} {body}"
    state.write_text(json.dumps(number + 1))


def delete(address, state):
    for number in range(json.loads(state.read_text())):
        assert image(number).delete(address) == 202, f"image {number}"


if __name__ == "__main__":
    step = {"fill": fill, "refused": refused, "pull": pull, "again": again, "delete": delete}[sys.argv[1]]
    step(sys.argv[2], pathlib.Path(sys.argv[3]))
