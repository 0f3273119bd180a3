#!/usr/bin/env bash
# containerd 2 with parallel layer fetch: every GET carries `Range: bytes=0-`, then open-ended ranges each cut short by the client.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need containerd2 ctr2 busybox jq curl skopeo
describe_peer() { containerd2 --version; }
with_registry
ctr_() { ctr2 -a "$WORK/containerd.sock" "$@"; }

mkdir -p "$WORK/hosts/$REGISTRY"
printf 'server = "http://%s"\n[host."http://%s"]\ncapabilities = ["pull", "resolve", "push"]\n' "$REGISTRY" "$REGISTRY" >"$WORK/hosts/$REGISTRY/hosts.toml"
cat >"$WORK/config.toml" <<EOF
version = 3
root = "$WORK/root"
state = "$WORK/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.nri.v1.nri"]
[grpc]
address = "$WORK/containerd.sock"
[ttrpc]
address = "$WORK/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "$WORK/opt"
[plugins."io.containerd.transfer.v1.local"]
concurrent_layer_fetch_buffer = 4194304
max_concurrent_downloads = 4
EOF
daemon containerd containerd2 -c "$WORK/config.toml"
wait_for containerd 30 ctr_ version

echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
digest=$(fixture "$WORK/app" v1 "hello from containerd 2" 25)
skopeo --policy "$WORK/policy.json" copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$REGISTRY/containerd2/app:v1"
ref=$REGISTRY/containerd2/app:v1
local_digest() { ctr_ images ls "name==$1" | awk 'NR == 2 { print $3 }'; }
hosts=(--hosts-dir "$WORK/hosts")

check "pull by tag, in parallel ranges" ctr_ images pull "${hosts[@]}" "$ref"
equal "containerd knows the digest" "$digest" "$(local_digest "$ref")"
check "every layer is complete" ctr_ content get "$(layer_digests "$WORK/app" "$digest" | tail -n 1)"
equal "and unharmed" "$(layer_digests "$WORK/app" "$digest" | tail -n 1)" "sha256:$(sha "$WORK/out")"
check "pull by digest" ctr_ images pull "${hosts[@]}" "$REGISTRY/containerd2/app@$digest"
check "tag it anew" ctr_ images tag "$ref" "$REGISTRY/containerd2/pushed:v2"
check "push it to another repository" ctr_ images push "${hosts[@]}" "$REGISTRY/containerd2/pushed:v2"
digests_agree "what containerd pushed" containerd2/pushed v2 "$digest"
check "push through the old path: mounted from where it came" sh -c "
  ctr2 -a '$WORK/containerd.sock' images tag '$ref' '$REGISTRY/containerd2/mounted:v3' &&
  ctr2 -a '$WORK/containerd.sock' images push --local --plain-http '$REGISTRY/containerd2/mounted:v3'"
digests_agree "what was mounted" containerd2/mounted v3 "$digest"
refused "an unknown tag is refused" ctr_ images pull "${hosts[@]}" "$REGISTRY/containerd2/app:none"

# No command of `ctr` reaches into a registry to delete; `ctr images rm` forgets the local copy alone. So the registry is asked directly,
# and what the client says of it is looked at.
delete_over_http "delete the tag" containerd2/app v1
not_found "the deleted tag is not found" "$REGISTRY/containerd2/app:v1: not found" ctr_ images pull "${hosts[@]}" "$REGISTRY/containerd2/app:v1"
check "its manifest is pulled by digest" ctr_ images pull "${hosts[@]}" "$REGISTRY/containerd2/app@$digest"
delete_over_http "delete the manifest" containerd2/app "$digest"
not_found "the deleted manifest is not found" "$REGISTRY/containerd2/app@$digest: not found" ctr_ images pull "${hosts[@]}" "$REGISTRY/containerd2/app@$digest"
finish
