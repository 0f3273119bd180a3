#!/usr/bin/env bash
# podman: pull by tag and digest, push, run what was pulled. Storage, run state and configuration live in $WORK.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need podman runc busybox jq curl skopeo
describe_peer() { podman --version; }
with_registry

export CONTAINERS_REGISTRIES_CONF=$WORK/registries.conf CONTAINERS_STORAGE_CONF=$WORK/storage.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$REGISTRY" >"$WORK/registries.conf"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$WORK/graph" "$WORK/run" >"$WORK/storage.conf"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
podman_() { podman --cgroup-manager cgroupfs --events-backend none --tmpdir "$WORK/tmp" --runtime runc "$@"; }
pull() { podman_ pull -q --signature-policy "$WORK/policy.json" "$@"; }

digest=$(fixture "$WORK/app" v1 "hello from podman" 1)
skopeo --policy "$WORK/policy.json" copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$REGISTRY/podman/app:v1"

check "pull by tag" pull "$REGISTRY/podman/app:v1"
equal "podman knows the digest" "$digest" "$(podman_ image inspect --format '{{.Digest}}' "$REGISTRY/podman/app:v1")"
# runc, because crun refuses hybrid cgroups; limits low enough for a root without CAP_SYS_RESOURCE; the machine's own network.
said "run it" "hello from podman" podman_ run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host "$REGISTRY/podman/app:v1"
check "remove it" podman_ rmi -f "$REGISTRY/podman/app:v1"
check "pull by digest" pull "$REGISTRY/podman/app@$digest"
check "tag it anew" podman_ tag "$REGISTRY/podman/app@$digest" "$REGISTRY/podman/again:v2"
check "push it to another repository" podman_ push -q --signature-policy "$WORK/policy.json" --digestfile "$WORK/digest" "$REGISTRY/podman/again:v2"
digests_agree "what podman pushed" podman/again v2 "$(cat "$WORK/digest")"
check "pull what podman pushed" pull "$REGISTRY/podman/again:v2"
refused "an unknown tag is refused" pull "$REGISTRY/podman/app:none"

# No command of podman reaches into a registry to delete; `podman rmi` forgets the local copy alone. So the registry is asked directly,
# and what the client says of it is looked at.
delete_over_http "delete the tag" podman/app v1
not_found "the deleted tag is not found" "manifest unknown: podman/app has no manifest v1" pull "$REGISTRY/podman/app:v1"
check "its manifest is pulled by digest" pull "$REGISTRY/podman/app@$digest"
delete_over_http "delete the manifest" podman/app "$digest"
not_found "the deleted manifest is not found" "manifest unknown: podman/app has no manifest $digest" pull "$REGISTRY/podman/app@$digest"
finish
