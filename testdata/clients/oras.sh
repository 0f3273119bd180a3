#!/usr/bin/env bash
# oras: files as artifacts, attached to images and discovered through the referrers API.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need oras busybox jq curl
describe_peer() { oras version | sed -n '1s/Version: */oras /p'; }
with_registry

oras_() { local verb=$1; shift; (cd "$WORK" && command oras "$verb" --plain-http "$@"); }
digest=$(fixture "$WORK/app" v1 "hello from oras" 8)
repo=$REGISTRY/oras/app

check "push an OCI layout" oras copy --no-tty --from-oci-layout --to-plain-http "$WORK/app:v1" "$repo:v1"
digests_agree "after the push" oras/app v1 "$digest"
equal "oras resolve" "$digest" "$(oras_ resolve "$repo:v1")"
check "copy to another repository: mounted" oras copy --no-tty --from-plain-http --to-plain-http "$repo:v1" "$REGISTRY/oras/copy:v1"
digests_agree "in the other repository" oras/copy v1 "$digest"

printf 'a file\n' >"$WORK/note.txt"
check "push a file" oras_ push --no-tty --artifact-type application/vnd.example.note "$REGISTRY/oras/note:1" note.txt:text/plain
mkdir "$WORK/pulled"
check "pull the file" oras_ pull --no-tty -o "$WORK/pulled" "$REGISTRY/oras/note:1"
equal "the same file" "a file" "$(cat "$WORK/pulled/note.txt")"
mkdir "$WORK/by-digest"
check "pull it by digest" oras_ pull --no-tty -o "$WORK/by-digest" "$REGISTRY/oras/note@$(header_digest oras/note 1)"
equal "pulled by digest: the same file" "a file" "$(cat "$WORK/by-digest/note.txt")"

check "attach a file to an image" oras_ attach --no-tty --artifact-type application/vnd.example.sbom --distribution-spec v1.1-referrers-api "$repo:v1" note.txt:text/plain
said "discover it" application/vnd.example.sbom oras_ discover --distribution-spec v1.1-referrers-api "$repo:v1"
equal "one referrer" 1 "$(oras_ discover --format json --distribution-spec v1.1-referrers-api "$repo:v1" | jq '(.referrers // .manifests) | length')"
check "attach through the fallback tag" oras_ attach --no-tty --artifact-type application/vnd.example.old --distribution-spec v1.1-referrers-tag "$repo:v1" note.txt:text/plain
said "both are discovered" application/vnd.example.old oras_ discover --distribution-spec v1.1-referrers-api "$repo:v1"
said "the first is still there" application/vnd.example.sbom oras_ discover --distribution-spec v1.1-referrers-api "$repo:v1"
check "copy with everything attached" oras copy --no-tty -r --from-plain-http --to-plain-http "$repo:v1" "$REGISTRY/oras/all:v1"
said "the referrer came along" application/vnd.example.sbom oras_ discover --distribution-spec v1.1-referrers-api "$REGISTRY/oras/all:v1"

said "list tags" v1 oras repo tags --plain-http "$repo"
check "delete a manifest" oras manifest delete --plain-http -f "$REGISTRY/oras/copy@$digest"
refused "it is gone" oras_ resolve "$REGISTRY/oras/copy:v1"
equal "its origin is untouched" "$digest" "$(oras_ resolve "$repo:v1")"
check "delete by tag" oras manifest delete --plain-http -f "$REGISTRY/oras/note:1"
not_found "the tag is gone" "oras/note:1: not found" oras_ resolve "$REGISTRY/oras/note:1"
note=sha256:$(sha "$WORK/note.txt")
check "delete a blob" oras blob delete --plain-http -f "$REGISTRY/oras/note@$note"
equal "the blob is gone" 404 "$(status GET "/v2/oras/note/blobs/$note")"
equal "from that repository alone" 200 "$(status GET "/v2/oras/app/blobs/$note")"
not_found "an unknown tag is refused" "oras/app:none: not found" oras_ resolve "$repo:none"
finish
