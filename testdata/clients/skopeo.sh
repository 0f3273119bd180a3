#!/usr/bin/env bash
# skopeo: the containers/image library (podman, CRI-O, buildah share it): streamed PATCH uploads, six separate Accept lines,
# cross-repository copies, deletion by digest.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need skopeo busybox jq curl
describe_peer() { skopeo --version; }
with_registry

skopeo_() { skopeo --policy "$WORK/policy.json" "$@"; }
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
to=(--dest-tls-verify=false)
from=(--src-tls-verify=false)
both=("${from[@]}" "${to[@]}")

digest=$(fixture "$WORK/app" v1 "hello from skopeo" 8)

check "push an OCI layout" skopeo_ copy -q "${to[@]}" "oci:$WORK/app:v1" "docker://$REGISTRY/skopeo/app:v1"
digests_agree "after the push" skopeo/app v1 "$digest"
equal "inspect names the digest" "$digest" "$(skopeo_ inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/skopeo/app:v1")"
check "push again: everything is there" skopeo_ copy -q "${to[@]}" "oci:$WORK/app:v1" "docker://$REGISTRY/skopeo/app:v1"

check "pull by tag" skopeo_ copy -q "${from[@]}" "docker://$REGISTRY/skopeo/app:v1" "oci:$WORK/by-tag:v1"
equal "pulled by tag: the same manifest" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/by-tag/index.json")"
check "pull by digest" skopeo_ copy -q "${from[@]}" "docker://$REGISTRY/skopeo/app@$digest" "oci:$WORK/by-digest:v1"
equal "pulled by digest: the same manifest" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/by-digest/index.json")"

check "copy to another repository" skopeo_ copy -q "${both[@]}" "docker://$REGISTRY/skopeo/app:v1" "docker://$REGISTRY/skopeo/copy:v2"
digests_agree "in the other repository" skopeo/copy v2 "$digest"

check "push as Docker schema 2" skopeo_ copy -q --format v2s2 "${to[@]}" "oci:$WORK/app:v1" "docker://$REGISTRY/skopeo/app:docker"
said "schema 2 is served as schema 2" application/vnd.docker.distribution.manifest.v2+json \
  skopeo_ inspect --tls-verify=false --raw "docker://$REGISTRY/skopeo/app:docker"
check "push zstd layers" skopeo_ copy -q --dest-compress-format zstd --dest-compress "${to[@]}" "oci:$WORK/app:v1" "docker://$REGISTRY/skopeo/app:zstd"

# An index with one member, pushed and pulled whole.
skopeo_ copy -q --all "oci:$WORK/app:v1" "dir:$WORK/plain" >/dev/null
size=$(stat -c %s "$WORK/app/blobs/sha256/${digest#sha256:}")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%s,"platform":{"architecture":"%s","os":"linux"}}]}' \
  "$digest" "$size" "$(go_arch)" >"$WORK/index"
index_size=$(stat -c %s "$WORK/index")
index=$(into_layout "$WORK/app" "$WORK/index")
jq --arg d "$index" --argjson s "$index_size" '.manifests += [{mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $s,
  annotations: {"org.opencontainers.image.ref.name": "multi"}}]' "$WORK/app/index.json" >"$WORK/index.json"
mv "$WORK/index.json" "$WORK/app/index.json"
check "push an index with its images" skopeo_ copy -q --all "${to[@]}" "oci:$WORK/app:multi" "docker://$REGISTRY/skopeo/app:multi"
digests_agree "the index" skopeo/app multi "$index"
check "pull the index whole" skopeo_ copy -q --all "${from[@]}" "docker://$REGISTRY/skopeo/app:multi" "oci:$WORK/all:multi"

said "list tags" '"v1"' skopeo_ list-tags --tls-verify=false "docker://$REGISTRY/skopeo/app"
check "delete the copy" skopeo_ delete --tls-verify=false "docker://$REGISTRY/skopeo/copy:v2"
refused "what is deleted is gone" skopeo_ inspect --tls-verify=false "docker://$REGISTRY/skopeo/copy:v2"
check "its origin is untouched" skopeo_ inspect --tls-verify=false "docker://$REGISTRY/skopeo/app:v1"
refused "an unknown tag is refused" skopeo_ inspect --tls-verify=false "docker://$REGISTRY/skopeo/app:none"
finish
