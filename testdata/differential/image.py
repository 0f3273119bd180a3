"""An image in a tar, as a layout of OCI or as `docker save` writes it: its configuration, and its files once all layers are applied."""

import gzip
import hashlib
import io
import json
import tarfile


class Image:
    def __init__(self, path):
        with tarfile.open(path) as archive:
            # A layer that comes twice is a link to the first, in what `docker save` writes.
            self.files = {name.name: archive.extractfile(name).read() for name in archive if not name.isdir()}
        config, layers = self.of_docker() if "manifest.json" in self.files else self.of_layout()
        self.config = json.loads(config)
        self.layers = len(layers)
        self.tree = {}
        for layer in layers:
            self.apply(layer)

    def of_docker(self):
        [image] = json.loads(self.files["manifest.json"])
        return self.files[image["Config"]], [self.files[layer] for layer in image["Layers"] or []]

    def of_layout(self):
        manifest = json.loads(self.files["index.json"])["manifests"][0]
        manifest = json.loads(self.blob(manifest["digest"]))
        if "manifests" in manifest:
            manifest = json.loads(self.blob(manifest["manifests"][0]["digest"]))
        return self.blob(manifest["config"]["digest"]), [self.blob(layer["digest"]) for layer in manifest["layers"] or []]

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
