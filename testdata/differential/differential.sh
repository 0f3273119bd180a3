#!/usr/bin/env bash
# BuildKit, as an oracle: every case of testdata/builds is built by it and by Wharf, and both must give the same files and the
# same configuration, or both refuse. Differences that are meant stand in `intended`, each with its reason.
#
#   testdata/differential/differential.sh [CASE...]
source "$(dirname "${BASH_SOURCE[0]}")/../clients/lib.sh"
need buildkitd buildctl runc busybox jq python3
describe_peer() { buildctl --version; }
with_registry
WHARF=$(find_wharf)

# The base image `shell` of the cases: busybox under every name it has.
mkdir -p "$WORK/shell/root/"{dev,proc,sys,bin} "$WORK/shell/root/etc" "$WORK/shell/root/tmp" "$WORK/shell/root/usr"
cp "$(command -v busybox)" "$WORK/shell/root/bin/busybox"
for name in $(busybox --list); do [[ $name == busybox ]] || ln -s busybox "$WORK/shell/root/bin/$name"; done
ln -s ../bin "$WORK/shell/root/usr/bin"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$WORK/shell/root/etc/passwd"
printf 'root:x:0:\n' >"$WORK/shell/root/etc/group"
chmod 1777 "$WORK/shell/root/tmp"
layer_tar "$WORK/shell/root" "$WORK/shell.tar"
"$WHARF" import --quiet --store "$WORK/base" "$WORK/shell.tar" "$REGISTRY/shell:1" --change 'ENV PATH=/bin' >/dev/null
"$WHARF" push --quiet --store "$WORK/base" "$REGISTRY/shell:1" >/dev/null

cat >"$WORK/buildkitd.toml" <<TOML
root = "$WORK/buildkit"
[worker.oci]
  enabled = true
  networkMode = "host"
  gc = false
[worker.containerd]
  enabled = false
[registry."$REGISTRY"]
  http = true
  insecure = true
TOML
daemon buildkitd buildkitd --config "$WORK/buildkitd.toml" --addr "unix://$WORK/buildkit.sock"
wait_for buildkitd 60 buildctl --addr "unix://$WORK/buildkit.sock" debug workers

status=0
python3 "$TOP/testdata/differential/compare.py" --wharf "$WHARF" --address "unix://$WORK/buildkit.sock" \
  --shell "$REGISTRY/shell:1" --work "$WORK" "$@" || status=$?
describe_peer
exit "$status"
