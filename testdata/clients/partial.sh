#!/usr/bin/env bash
# Debian's podman, and a newer version of the library that podman, Buildah and CRI-O fetch images with, told to fetch only what they
# lack: of a layer in zstd:chunked or estargz in which one file of many changed, they fetch that file, and what they put together
# is what was built. Of estargz the newer library takes no parts, on purpose, but the whole.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need podman containers-pull runc busybox jq curl
describe_peer() { podman --version; }
with_registry

export CONTAINERS_REGISTRIES_CONF=$WORK/registries.conf CONTAINERS_STORAGE_CONF=$WORK/storage.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$REGISTRY" >"$WORK/registries.conf"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
# A storage of its own for each: nothing is there before.
new_storage() {
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n[storage.options]\npull_options = {%s}\n' \
    "$WORK/$1/graph" "$WORK/$1/run" 'enable_partial_images = "true", use_hard_links = "false"' >"$WORK/storage.conf"
}
podman_() { podman --cgroup-manager cgroupfs --events-backend none --tmpdir "$WORK/tmp" --runtime runc "$@"; }
podman_pull() { podman_ --log-level debug pull --signature-policy "$WORK/policy.json" "$1"; }
podman_shows() { podman_ run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host "$1" </dev/null; }
library_pull() { containers-pull pull "$1"; }
library_shows() {
  local root
  root=$(containers-pull mount "$1" 2>/dev/null) && (cd "$root/data" && cat large file7 file50)
  containers-pull unmount "$1" 2>/dev/null
}
build() { "$WHARF" build --store "$WORK/builds" --compression "$1" -t "$REGISTRY/partial/app:$2" --push --insecure-registry "$REGISTRY" "$WORK/context"; }
# pulled CLIENT TAG: leaves in $WORK/missing how many bytes the client found missing, of how many.
pulled() {
  "${1}_pull" "$REGISTRY/partial/app:$2" >"$WORK/pull" 2>&1 || { tail -n 20 "$WORK/pull" && return 1; }
  sed -n 's/.*Missing \([0-9]*\) bytes out of \([0-9]*\) .*/\1 \2/p' "$WORK/pull" >"$WORK/missing"
  [[ -s $WORK/missing ]] || { tail -n 20 "$WORK/pull" && return 1; }
}

mkdir "$WORK/context"
cp "$(command -v busybox)" "$WORK/context/busybox"
for n in $(seq 100); do head -c 20000 /dev/urandom | base64 >"$WORK/context/file$n"; done
# Larger than what is compressed at once.
head -c 9000000 /dev/urandom >"$WORK/context/large"
printf 'FROM scratch\nCOPY . /data/\nCMD ["/data/busybox", "cat", "/data/large", "/data/file7", "/data/file50"]\n' >"$WORK/context/Dockerfile"

shown() {
  "$1_shows" "$REGISTRY/partial/app:$2" >"$WORK/shown" 2>"$WORK/err" || true
  equal "$format: what $1 has is what was built" "$(cat "$WORK"/context/{large,file7,file50} | sha256sum)" "$(sha256sum <"$WORK/shown")"
}

for format in zstd:chunked estargz; do
  for client in podman library; do
    name=${format%%:*}-$client
    new_storage "$name"
    if [[ $name == estargz-library ]]; then
      check "$format: build and push" build "$format" "$name"
      check "$format: $client pulls the whole" library_pull "$REGISTRY/partial/app:$name"
      shown "$client" "$name"
      continue
    fi
    check "$format: build and push" build "$format" "$name-1"
    check "$format: $client pulls" pulled "$client" "$name-1"
    equal "$format: at first all of it is missing" "$(awk '{ print $2 }' "$WORK/missing")" "$(awk '{ print $1 }' "$WORK/missing")"
    echo edited >>"$WORK/context/file50"
    check "$format: build and push with one file edited" build "$format" "$name-2"
    check "$format: $client pulls it" pulled "$client" "$name-2"
    equal "$format: only that file is missing" "$(stat -c %s "$WORK/context/file50")" "$(awk '{ print $1 }' "$WORK/missing")"
    shown "$client" "$name-2"
  done
done
finish
