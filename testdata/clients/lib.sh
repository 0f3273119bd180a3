# Sourced by every client script: one registry, one fixture image, a few words to assert with.
#
#   REGISTRY   host:port of a registry that already runs; without it one is started from WHARF
#   WHARF      the `wharf` binary to test (default: target/*/release or target/release of this tree, then PATH)
#   CI         true: a client that is missing is a failure, not a skip
#
# A script starts with `need`, calls `with_registry`, asserts with `check`, `equal`, `refused`, and ends with `finish`.
# Everything it starts or mounts lies under $WORK and is gone when it ends, however it ends.
# shellcheck shell=bash
set -euo pipefail
umask 022
export LC_ALL=C

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SCRIPT=$(basename "${BASH_SOURCE[-1]}" .sh)
# The pinned tools that `.ci/run tools` builds. Debian's own come first for the names that both have.
export PATH="/usr/sbin:/usr/bin:/sbin:/bin:${XDG_CACHE_HOME:-$HOME/.cache}/wharf-ci/bin:$PATH"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/wharf-$SCRIPT.XXXXXX")
PASSED=0
FAILED=0
PIDS=()
UNDO=()

# ---------------------------------------------------------------------------------------------- life and death

# undo COMMAND...: run it at the end, last in first out.
undo() { UNDO+=("$(printf '%q ' "$@")"); }

# daemon NAME COMMAND...: start in the background, log to $WORK/NAME.log, stop at the end.
daemon() {
  local name=$1
  shift
  "$@" >"$WORK/$name.log" 2>&1 </dev/null &
  PIDS+=("$!")
}

# stop PID: TERM, ten seconds of patience, KILL.
stop() {
  local pid=$1 n
  kill -TERM "$pid" 2>/dev/null || return 0
  for n in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    # A finished child stays a zombie until it is waited for.
    [[ $(ps -o stat= -p "$pid" 2>/dev/null) == Z* ]] && return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

cleanup() {
  local status=$? i
  trap - EXIT INT TERM
  set +e
  for ((i = ${#UNDO[@]} - 1; i >= 0; i--)); do eval "${UNDO[i]}" >/dev/null 2>&1; done
  for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do stop "${PIDS[i]}"; wait "${PIDS[i]}" 2>/dev/null; done
  # Storage drivers leave mounts behind; the deepest go first.
  awk -v w="$WORK/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r m; do umount -l "$m"; done
  if [[ -n ${KEEP_WORK:-} ]]; then echo "kept $WORK"; else rm -rf "$WORK"; fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# need COMMAND...: what this script cannot do without.
need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null && continue
    if [[ ${CI:-} == true ]]; then
      echo "not ok - $SCRIPT: $tool is not installed"
      echo "0 passed, 1 failed"
      exit 1
    fi
    echo "skipped: $SCRIPT: $tool is not installed"
    exit 0
  done
}

# wait_for WHAT SECONDS COMMAND...: poll until the command succeeds.
wait_for() {
  local what=$1 tries=$(($2 * 10)) n
  shift 2
  for ((n = 0; n < tries; n++)); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  echo "not ok - $SCRIPT: $what did not come up"
  tail -n 30 "$WORK"/*.log 2>/dev/null | sed 's/^/    /'
  echo "$PASSED passed, $((FAILED + 1)) failed"
  exit 1
}

# free_port: a loopback port nobody listens on.
free_port() {
  local port
  for port in $(shuf -i 20000-29999 -n 50); do
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

find_wharf() {
  local path
  for path in "${WHARF:-}" "$TOP"/target/*/release/wharf "$TOP"/target/release/wharf "$(command -v wharf || true)"; do
    [[ -n $path && -x $path ]] && { echo "$path"; return; }
  done
  # Whoever asked says that there is none.
  return 0
}

# with_registry: sets REGISTRY (host:port) and, when it starts Wharf itself, STORE.
with_registry() {
  if [[ -z ${REGISTRY:-} ]]; then
    WHARF=$(find_wharf)
    [[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
    STORE=${STORE:-$WORK/store}
    REGISTRY=127.0.0.1:$(free_port)
    daemon registry "$WHARF" serve --listen "$REGISTRY" --store "$STORE"
  fi
  wait_for "the registry at $REGISTRY" 20 curl -fsS "http://$REGISTRY/v2/"
}

# ---------------------------------------------------------------------------------------------- asserting

ok() { PASSED=$((PASSED + 1)); echo "ok - $1"; }
not_ok() { FAILED=$((FAILED + 1)); echo "not ok - $1"; }

# check NAME COMMAND...: it succeeds. Its output is shown only when it does not, and is left in $WORK/out.
check() {
  local name=$1 status=0
  shift
  "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
  if ((status == 0)); then ok "$name"; return 0; fi
  not_ok "$name (exit $status): $*"
  tail -n 20 "$WORK/out" "$WORK/err" | sed 's/^/    /'
}

# refused NAME COMMAND...: it fails.
refused() {
  local name=$1
  shift
  if "$@" >"$WORK/out" 2>"$WORK/err" </dev/null; then not_ok "$name: succeeded: $*"; else ok "$name"; fi
}

# not_found NAME TEXT COMMAND...: it fails, and says TEXT, the client's own words for what is not there.
not_found() {
  local name=$1 text=$2
  shift 2
  if "$@" >"$WORK/out" 2>"$WORK/err" </dev/null; then not_ok "$name: succeeded: $*"; return 0; fi
  if grep -qF -- "$text" "$WORK/out" "$WORK/err"; then ok "$name"; return 0; fi
  not_ok "$name: failed, but not with '$text': $*"
  tail -n 20 "$WORK/out" "$WORK/err" | sed 's/^/    /'
}

# delete_over_http NAME REPOSITORY REFERENCE: a tag or a digest, on behalf of the clients that have no word for it.
delete_over_http() { equal "$1" 202 "$(status DELETE "/v2/$2/manifests/$3")"; }

# equal NAME WANTED GOT
equal() {
  if [[ $2 == "$3" && -n $2 ]]; then ok "$1"; else not_ok "$1: wanted '$2', got '$3'"; fi
}

# said NAME TEXT COMMAND...: it succeeds and its standard output holds TEXT.
said() {
  local name=$1 text=$2 status=0
  shift 2
  "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
  if ((status == 0)) && grep -qF -- "$text" "$WORK/out"; then ok "$name"; return 0; fi
  not_ok "$name (exit $status), wanted '$text': $*"
  tail -n 20 "$WORK/out" "$WORK/err" | sed 's/^/    /'
}

finish() {
  if ((FAILED > 0)) && [[ -s $WORK/registry.log ]]; then
    echo "the registry's last words:"
    tail -n 20 "$WORK/registry.log" | sed 's/^/    /'
  fi
  echo "$SCRIPT: $(describe_peer)"
  echo "$PASSED passed, $FAILED failed"
  ((FAILED == 0))
}

# A script may say which version it drove.
describe_peer() { echo "done"; }

# ---------------------------------------------------------------------------------------------- looking at the wire

MANIFEST_TYPES='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'

# header_digest REPOSITORY REFERENCE: what the registry says the digest is.
header_digest() {
  curl -fsSI -H "Accept: $MANIFEST_TYPES" "http://$REGISTRY/v2/$1/manifests/$2" | tr -d '\r' |
    awk 'tolower($1) == "docker-content-digest:" { print $2 }'
}

# body_digest REPOSITORY REFERENCE: what the served bytes hash to.
body_digest() {
  curl -fsS -H "Accept: $MANIFEST_TYPES" "http://$REGISTRY/v2/$1/manifests/$2" | sha256sum | sed 's/^/sha256:/; s/ .*//'
}

# digests_agree NAME REPOSITORY REFERENCE WANTED: header, body and the client's own idea are one.
digests_agree() {
  equal "$1: digest in the header" "$4" "$(header_digest "$2" "$3" || true)"
  equal "$1: digest of the bytes" "$4" "$(body_digest "$2" "$3" || true)"
}

# status METHOD PATH: the bare HTTP status.
status() { curl -sS -o /dev/null -w '%{http_code}' -X "$1" -H "Accept: $MANIFEST_TYPES" "http://$REGISTRY$2"; }

# ---------------------------------------------------------------------------------------------- the fixture image

sha() { sha256sum "$1" | cut -d' ' -f1; }

# Moves FILE into the layout's blobs and prints its digest.
into_layout() {
  local dir=$1 file=$2 hex
  hex=$(sha "$file")
  mkdir -p "$dir/blobs/sha256"
  mv "$file" "$dir/blobs/sha256/$hex"
  echo "sha256:$hex"
}

layer_tar() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$2" .; }

# fixture DIR TAG TEXT [MIB]: an OCI layout with one runnable image: busybox in one layer, TEXT in /etc/fixture in another,
# and, when asked, MIB of incompressible bytes in a third. Prints the manifest's digest.
fixture() {
  local dir=$1 tag=$2 text=$3 mib=${4:-0} tmp layers=() ids=() n root config manifest
  tmp=$(mktemp -d "$WORK/fixture.XXXXXX")
  mkdir -p "$tmp/0/bin" "$tmp/1/etc" "$tmp/1/tmp" "$dir"
  cp "$(command -v busybox)" "$tmp/0/bin/busybox"
  for n in sh cat echo id uname sleep ls; do ln -s busybox "$tmp/0/bin/$n"; done
  printf '%s\n' "$text" >"$tmp/1/etc/fixture"
  printf 'root:x:0:0:root:/:/bin/sh\n' >"$tmp/1/etc/passwd"
  root=(0 1)
  if ((mib > 0)); then
    mkdir -p "$tmp/2/srv"
    head -c "$((mib * 1024 * 1024))" /dev/urandom >"$tmp/2/srv/noise"
    root=(0 1 2)
  fi
  for n in "${root[@]}"; do
    layer_tar "$tmp/$n" "$tmp/$n.tar"
    ids+=("sha256:$(sha "$tmp/$n.tar")")
    gzip -n "$tmp/$n.tar"
    local size digest
    size=$(stat -c %s "$tmp/$n.tar.gz")
    digest=$(into_layout "$dir" "$tmp/$n.tar.gz")
    layers+=("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"$digest\",\"size\":$size}")
  done
  jq -nc --arg arch "$(go_arch)" '{created: "2020-01-01T00:00:00Z", architecture: $arch, os: "linux",
      config: {Env: ["PATH=/bin"], Cmd: ["/bin/cat", "/etc/fixture"]},
      rootfs: {type: "layers", diff_ids: $ARGS.positional}}' --args "${ids[@]}" >"$tmp/config"
  local config_size
  config_size=$(stat -c %s "$tmp/config")
  config=$(into_layout "$dir" "$tmp/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[%s]}' \
    "$config" "$config_size" "$(IFS=,; echo "${layers[*]}")" >"$tmp/manifest"
  local manifest_size
  manifest_size=$(stat -c %s "$tmp/manifest")
  manifest=$(into_layout "$dir" "$tmp/manifest")
  printf '{"imageLayoutVersion":"1.0.0"}' >"$dir/oci-layout"
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
    "$manifest" "$manifest_size" "$(go_arch)" "$tag" >"$dir/index.json"
  rm -rf "$tmp"
  echo "$manifest"
}

# The machine's architecture in the registry world's spelling.
go_arch() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac; }

# layer_digests LAYOUT MANIFEST_DIGEST
layer_digests() { jq -r '.layers[].digest' "$1/blobs/sha256/${2#sha256:}"; }
