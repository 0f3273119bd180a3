#!/usr/bin/env bash
# containerd (Debian's) and runc: HEAD then GET by digest with one long Accept line, blobs in parallel, one monolithic PUT when it
# pushes; pulls, and runs what it pulled.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need containerd ctr runc busybox jq curl skopeo
describe_peer() { containerd --version; }
with_registry
ctr_() { ctr -a "$WORK/containerd.sock" "$@"; }

cat >"$WORK/config.toml" <<EOF
version = 2
root = "$WORK/root"
state = "$WORK/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
address = "$WORK/containerd.sock"
[ttrpc]
address = "$WORK/containerd.sock.ttrpc"
EOF
daemon containerd containerd -c "$WORK/config.toml"
wait_for containerd 30 ctr_ version

echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
digest=$(fixture "$WORK/app" v1 "hello from containerd" 8)
skopeo --policy "$WORK/policy.json" copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$REGISTRY/containerd/app:v1"
ref=$REGISTRY/containerd/app:v1

local_digest() { ctr_ images ls "name==$1" | awk 'NR == 2 { print $3 }'; }

check "pull by tag" ctr_ images pull --plain-http "$ref"
equal "containerd knows the digest" "$digest" "$(local_digest "$ref")"
said "run it" "hello from containerd" ctr_ run --rm "$ref" "fixture-$$"
check "pull by digest" ctr_ images pull --plain-http "$REGISTRY/containerd/app@$digest"
equal "pulled by digest: the same" "$digest" "$(local_digest "$REGISTRY/containerd/app@$digest")"
check "tag it anew" ctr_ images tag "$ref" "$REGISTRY/containerd/pushed:v2"
check "push it: mounted from where it came" ctr_ images push --plain-http "$REGISTRY/containerd/pushed:v2"
digests_agree "what containerd pushed" containerd/pushed v2 "$digest"

# The same bytes from a file, so that nothing can be mounted and every blob is uploaded.
tar -C "$WORK/app" -cf "$WORK/app.tar" .
check "import an archive" ctr_ images import --base-name "$REGISTRY/containerd/uploaded" "$WORK/app.tar"
check "push it: uploaded whole" ctr_ images push --plain-http "$REGISTRY/containerd/uploaded:v1"
digests_agree "what was uploaded" containerd/uploaded v1 "$digest"
refused "an unknown tag is refused" ctr_ images pull --plain-http "$REGISTRY/containerd/app:none"

# No command of `ctr` reaches into a registry to delete; `ctr images rm` forgets the local copy alone. So the registry is asked directly,
# and what the client says of it is looked at.
delete_over_http "delete the tag" containerd/app v1
not_found "the deleted tag is not found" "$REGISTRY/containerd/app:v1: not found" ctr_ images pull --plain-http "$REGISTRY/containerd/app:v1"
check "its manifest is pulled by digest" ctr_ images pull --plain-http "$REGISTRY/containerd/app@$digest"
delete_over_http "delete the manifest" containerd/app "$digest"
not_found "the deleted manifest is not found" "$REGISTRY/containerd/app@$digest: not found" ctr_ images pull --plain-http "$REGISTRY/containerd/app@$digest"
finish
