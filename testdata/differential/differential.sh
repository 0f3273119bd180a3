#!/usr/bin/env bash
# Other builders, as oracles: every case of testdata/builds is built by one of them and by Wharf, and both must give the same files
# and the same configuration, or both refuse. Differences that are meant stand in `ENGINE.intended`, each with its reason.
#
#   testdata/differential/differential.sh buildkit [CASE...]   the BuildKit of today
#   testdata/differential/differential.sh docker [CASE...]     Debian's Docker engine, whose BuildKit is of 2020; what that cannot
#                                                              read stands in `docker.not-asked`
source "$(dirname "${BASH_SOURCE[0]}")/../clients/lib.sh"
case ${1:-} in
  buildkit) need buildkitd buildctl runc busybox jq python3 ;;
  docker) need dockerd /usr/bin/docker busybox jq python3 ;;
  *) echo "which engine: buildkit or docker?" >&2; exit 2 ;;
esac

# Nothing of this outlives the comparison, so nothing waits for a disk.
MEMORY=$WORK/memory
mkdir "$MEMORY"
mount -t tmpfs tmpfs "$MEMORY"

# The base image `shell` of the cases: busybox under every name it has.
push_shell() {
  local root=$WORK/shell/root name
  mkdir -p "$root/"{dev,proc,sys,bin} "$root/etc" "$root/tmp" "$root/usr"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for name in $(busybox --list); do [[ $name == busybox ]] || ln -s busybox "$root/bin/$name"; done
  ln -s ../bin "$root/usr/bin"
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  chmod 1777 "$root/tmp"
  layer_tar "$root" "$WORK/shell.tar"
  "$WHARF" import --quiet --store "$WORK/base" "$WORK/shell.tar" "$REGISTRY/shell:1" --change 'ENV PATH=/bin' >/dev/null
  "$WHARF" push --quiet --store "$WORK/base" "$REGISTRY/shell:1" >/dev/null
}

start_buildkit() {
  cat >"$WORK/buildkitd.toml" <<TOML
root = "$MEMORY/buildkit"
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
  export BUILDKIT_HOST=unix://$WORK/buildkit.sock
  daemon buildkitd buildkitd --config "$WORK/buildkitd.toml" --addr "$BUILDKIT_HOST"
  wait_for buildkitd 60 buildctl debug workers
  describe_peer() { buildctl --version; }
}

start_docker() {
  export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/config DOCKER_BUILDKIT=1
  daemon dockerd dockerd --data-root "$MEMORY/data" --exec-root "$WORK/exec" -H "$DOCKER_HOST" --pidfile "$WORK/docker.pid" \
    --iptables=false --ip6tables=false --bridge=none
  wait_for "the docker engine" 60 /usr/bin/docker version
  /usr/bin/docker pull -q "$REGISTRY/shell:1" >/dev/null
  /usr/bin/docker tag "$REGISTRY/shell:1" shell
  describe_peer() { /usr/bin/docker version --format 'docker engine {{.Server.Version}}'; }
}

with_registry
WHARF=$(find_wharf)
push_shell
"start_$1"
status=0
python3 -B "$TOP/testdata/differential/compare.py" "$@" --wharf "$WHARF" --shell "$REGISTRY/shell:1" --work "$MEMORY" || status=$?
describe_peer
exit "$status"
