#!/usr/bin/env bash
# regctl (regclient): the whole API by name: images, tags, blobs, artifacts and referrers.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need regctl busybox jq curl
describe_peer() { regctl version --format 'regctl {{.VCSTag}}'; }
with_registry

export REGCTL_CONFIG=$WORK/regctl.json
regctl registry set --tls disabled "$REGISTRY"
digest=$(fixture "$WORK/app" v1 "hello from regctl" 8)
repo=$REGISTRY/regctl/app

check "push an OCI layout" regctl image copy "ocidir://$WORK/app:v1" "$repo:v1"
digests_agree "after the push" regctl/app v1 "$digest"
equal "regctl digest" "$digest" "$(regctl image digest "$repo:v1")"
check "pull by tag" regctl image copy "$repo:v1" "ocidir://$WORK/by-tag:v1"
check "pull by digest" regctl image copy "$repo@$digest" "ocidir://$WORK/by-digest:v1"
equal "pulled: the same" "$digest" "$(regctl image digest "ocidir://$WORK/by-digest:v1")"
check "copy to another repository: mounted" regctl image copy "$repo:v1" "$REGISTRY/regctl/copy:v1"
digests_agree "in the other repository" regctl/copy v1 "$digest"

printf '%s' '{"made":"up"}' >"$WORK/sbom.json"
check "attach an artifact" regctl artifact put --artifact-type application/vnd.example.sbom --subject "$repo:v1" -f "$WORK/sbom.json"
said "its referrer is listed" application/vnd.example.sbom regctl artifact list "$repo:v1"
said "and filtered" application/vnd.example.sbom regctl artifact list --filter-artifact-type application/vnd.example.sbom "$repo:v1"
said "and read" '{"made":"up"}' regctl artifact get --subject "$repo:v1" --filter-artifact-type application/vnd.example.sbom
check "copy it with its referrers" regctl image copy --referrers "$repo:v1" "$REGISTRY/regctl/signed:v1"
said "the referrer came along" application/vnd.example.sbom regctl artifact list "$REGISTRY/regctl/signed:v1"

check "put a blob" sh -c "regctl blob put $repo <'$WORK/sbom.json'"
blob=sha256:$(sha "$WORK/sbom.json")
said "get it" '{"made":"up"}' regctl blob get "$repo" "$blob"
said "list tags" v1 regctl tag ls "$repo"
said "list repositories" regctl/app regctl repo ls "$REGISTRY"
check "delete a tag" regctl tag rm "$REGISTRY/regctl/copy:v1"
refused "the tag is gone" regctl manifest head "$REGISTRY/regctl/copy:v1"
check "delete a manifest" regctl manifest rm "$REGISTRY/regctl/signed@$digest"
refused "the manifest is gone" regctl manifest head "$REGISTRY/regctl/signed@$digest"
check "its origin is untouched" regctl manifest head "$repo:v1"
finish
