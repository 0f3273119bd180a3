#!/usr/bin/env bash
# crane (go-containerregistry; ko, kaniko, Flux and Tekton share it): POST, PATCH, PUT; `GET /v2/` before each command; no resume.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need crane busybox jq curl
describe_peer() { echo "crane $(crane version)"; }
with_registry

digest=$(fixture "$WORK/app" v1 "hello from crane" 8)
repo=$REGISTRY/crane/app

check "push an OCI layout" crane push "$WORK/app" "$repo:v1"
digests_agree "after the push" crane/app v1 "$digest"
equal "crane digest" "$digest" "$(crane digest "$repo:v1")"
check "validate: every blob is what it says" crane validate --remote "$repo:v1"
check "pull by tag" crane pull --format oci "$repo:v1" "$WORK/by-tag"
equal "pulled by tag: the same" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/by-tag/index.json")"
check "pull by digest" crane pull --format oci "$repo@$digest" "$WORK/by-digest"
equal "pulled by digest: the same" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/by-digest/index.json")"
said "export the file system" "hello from crane" sh -c "crane export $repo:v1 - | tar -xOf - --wildcards '*etc/fixture'"

check "copy to another repository: mounted" crane copy "$repo:v1" "$REGISTRY/crane/copy:v1"
digests_agree "in the other repository" crane/copy v1 "$digest"
check "append a layer" crane append -b "$repo:v1" -f "$WORK/app/blobs/sha256/$(layer_digests "$WORK/app" "$digest" | sed -n '1s/sha256://p')" -t "$repo:v2"
check "tag" crane tag "$repo:v1" stable
said "list tags" stable crane ls "$repo"
said "list repositories" crane/app crane catalog "$REGISTRY"
check "delete a tag" crane delete "$repo:stable"
not_found "the tag is gone" "MANIFEST_UNKNOWN" crane manifest "$repo:stable"
equal "its manifest is not" "$digest" "$(crane digest "$repo@$digest")"
check "delete by digest" crane delete "$REGISTRY/crane/copy@$digest"
refused "what is deleted is gone" crane digest "$REGISTRY/crane/copy:v1"
equal "its origin is untouched" "$digest" "$(crane digest "$repo:v1")"
refused "an unknown tag is refused" crane digest "$repo:none"
finish
