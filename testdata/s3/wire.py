"""Requests to replicas that may be killed before they answer, and small images to push."""

import hashlib
import http.client
import json

KIND = "application/vnd.oci.image.manifest.v1+json"
GONE = (OSError, http.client.HTTPException)


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def ask(address, method, path, body=b"", **headers):
    """Status and body, on a connection of its own; one of GONE is raised when the replica is gone."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Image:
    """A small image: its blobs, the first its configuration, and its manifest."""

    def __init__(self, repository, blobs):
        def descriptor(blob):
            return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(blob), "size": len(blob)}

        self.repository, self.blobs = repository, blobs
        self.manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": KIND,
            "config": descriptor(blobs[0]),
            "layers": [descriptor(blob) for blob in blobs[1:]],
        }).encode()
        self.digest = digest(self.manifest)

    def path(self, rest):
        return f"/v2/{self.repository}/{rest}"

    def push_blobs(self, address):
        """As clients do: what is there is not sent. The status of what did not work."""
        for blob in self.blobs:
            if ask(address, "HEAD", self.path(f"blobs/{digest(blob)}"))[0] == 200:
                continue
            status, _ = ask(address, "POST", self.path(f"blobs/uploads/?digest={digest(blob)}"), blob)
            if status != 201:
                return status
        return None

    def put(self, address, tag=None):
        return ask(address, "PUT", self.path(f"manifests/{tag or self.digest}"), self.manifest, Content_Type=KIND)[0]

    def push(self, address, tag=None):
        return self.push_blobs(address) or self.put(address, tag)

    def delete(self, address):
        return ask(address, "DELETE", self.path(f"manifests/{self.digest}"))[0]

    def pull(self, address):
        """Whether it is there. When it is, all of it is, byte for byte."""
        status, manifest = ask(address, "GET", self.path(f"manifests/{self.digest}"), Accept=KIND)
        if status == 404:
            return False
        assert status == 200, f"{self.digest}: {status}"
        assert manifest == self.manifest, f"{self.digest}: another manifest"
        for blob in self.blobs:
            status, content = ask(address, "GET", self.path(f"blobs/{digest(blob)}"))
            assert status == 200, f"{self.digest} needs {digest(blob)}: {status}"
            assert content == blob, f"{digest(blob)}: other bytes"
        return True
