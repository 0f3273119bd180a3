#!/usr/bin/env bash
# podman, told to fetch only what it lacks: of a layer in zstd:chunked or estargz in which one file of many changed, it fetches
# that file, and runs what it put together.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need podman runc busybox jq curl
describe_peer() { podman --version; }
with_registry

export CONTAINERS_REGISTRIES_CONF=$WORK/registries.conf CONTAINERS_STORAGE_CONF=$WORK/storage.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$REGISTRY" >"$WORK/registries.conf"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
podman_() { podman --cgroup-manager cgroupfs --events-backend none --tmpdir "$WORK/tmp" --runtime runc "$@"; }
# A storage of its own for each format: nothing is there before.
new_storage() {
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n[storage.options]\npull_options = {%s}\n' \
    "$WORK/$1/graph" "$WORK/$1/run" 'enable_partial_images = "true", use_hard_links = "false"' >"$WORK/storage.conf"
}
build() { "$WHARF" build --store "$WORK/builds" --compression "$1" -t "$REGISTRY/partial/app:$2" --push --insecure-registry "$REGISTRY" "$WORK/context"; }
# pull TAG: leaves in $WORK/missing how many bytes podman found missing, of how many.
pull() {
  podman_ --log-level debug pull --signature-policy "$WORK/policy.json" "$REGISTRY/partial/app:$1" >"$WORK/pull" 2>&1
  sed -n 's/.*Missing \([0-9]*\) bytes out of \([0-9]*\) .*/\1 \2/p' "$WORK/pull" >"$WORK/missing"
  [[ -s $WORK/missing ]]
}

mkdir "$WORK/context"
cp "$(command -v busybox)" "$WORK/context/busybox"
for n in $(seq 100); do head -c 20000 /dev/urandom | base64 >"$WORK/context/file$n"; done
# Larger than what is compressed at once.
head -c 9000000 /dev/urandom >"$WORK/context/large"
printf 'FROM scratch\nCOPY . /data/\nCMD ["/data/busybox", "cat", "/data/large", "/data/file7", "/data/file50"]\n' >"$WORK/context/Dockerfile"

for format in zstd:chunked estargz; do
  new_storage "${format%%:*}"
  check "$format: build and push" build "$format" "${format%%:*}-1"
  check "$format: pull" pull "${format%%:*}-1"
  equal "$format: at first all of it is missing" "$(awk '{ print $2 }' "$WORK/missing")" "$(awk '{ print $1 }' "$WORK/missing")"
  echo edited >>"$WORK/context/file50"
  check "$format: build and push with one file edited" build "$format" "${format%%:*}-2"
  check "$format: pull it" pull "${format%%:*}-2"
  equal "$format: only that file is missing" "$(stat -c %s "$WORK/context/file50")" "$(awk '{ print $1 }' "$WORK/missing")"
  podman_ run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host "$REGISTRY/partial/app:${format%%:*}-2" >"$WORK/ran" 2>"$WORK/err" </dev/null || true
  equal "$format: what runs is what was built" "$(cat "$WORK"/context/{large,file7,file50} | sha256sum)" "$(sha256sum <"$WORK/ran")"
done
finish
