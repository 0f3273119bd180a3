#!/usr/bin/env bash
# From nothing to a running container: a Debian root file system made here is imported, an image with a package from apt is
# built on it, served from the same store, and pulled, run and pushed by containerd, podman, skopeo and docker.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$TOP/testdata/cluster/lib.sh"
need debootstrap containerd ctr runc podman skopeo dockerd /usr/bin/docker jq curl
need_wharf
describe_peer() { "$WHARF" --version; }
export PODMAN_IGNORE_CGROUPSV1_WARNING=1

base=$(debian_tar)
cp -r "$TOP/testdata/cluster/debian" "$WORK/context"
machine_apt_conf "$WORK/context/apt.conf"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"

check "import a Debian root file system" "$WHARF" import --store "$STORE" "$base" debian:bookworm
check "build on it, apt-get install in RUN" "$WHARF" build --store "$STORE" --progress=plain -t team/facts:1 "$WORK/context"
check "build again" "$WHARF" build --store "$STORE" --progress=plain -t team/facts:2 "$WORK/context"
with_registry
digest=$(header_digest team/facts 1)
digests_agree "the build is served without a push" team/facts 1 "$digest"
equal "built again: everything came from the cache" "$digest" "$(header_digest team/facts 2)"

# containerd
with_containerd
ref=$REGISTRY/team/facts:1
check "containerd pulls it" ctr_ images pull --plain-http "$ref"
equal "containerd: the same digest" "$digest" "$(ctr_ images ls "name==$ref" | awk 'NR == 2 { print $3 }')"
said "containerd runs it" "hello from debian" ctr_ run --rm "$ref" "facts-$$"
said "containerd runs it as the user it names" 4711 ctr_ run --rm "$ref" "whoami-$$" id -u
said "the package is installed" "ii  jq" ctr_ run --rm "$ref" "dpkg-$$" dpkg -l jq

# skopeo
skopeo_() { skopeo --policy "$WORK/policy.json" "$@"; }
check "skopeo pulls it" skopeo_ copy -q --src-tls-verify=false "docker://$ref" "oci:$WORK/pulled:1"
equal "skopeo: the same digest" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/pulled/index.json")"
check "skopeo pushes it" skopeo_ copy -q --dest-tls-verify=false "oci:$WORK/pulled:1" "docker://$REGISTRY/team/by-skopeo:1"
digests_agree "what skopeo pushed" team/by-skopeo 1 "$digest"

# podman
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$REGISTRY" >"$WORK/registries.conf"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$WORK/graph" "$WORK/run" >"$WORK/storage.conf"
export CONTAINERS_REGISTRIES_CONF=$WORK/registries.conf CONTAINERS_STORAGE_CONF=$WORK/storage.conf
podman_() { podman --cgroup-manager cgroupfs --events-backend none --tmpdir "$WORK/tmp" --runtime runc "$@"; }
check "podman pulls it" podman_ pull -q --signature-policy "$WORK/policy.json" "$ref"
equal "podman: the same digest" "$digest" "$(podman_ image inspect --format '{{.Digest}}' "$ref")"
said "podman runs it" "hello from debian" podman_ run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host "$ref"

# docker
docker_() { DOCKER_HOST="unix://$WORK/docker.sock" DOCKER_CONFIG="$WORK/docker-config" /usr/bin/docker "$@"; }
daemon dockerd dockerd --data-root "$WORK/docker" --exec-root "$WORK/docker-exec" -H "unix://$WORK/docker.sock" --pidfile "$WORK/docker.pid" \
  --iptables=false --ip6tables=false --bridge=none
wait_for "the docker engine" 60 docker_ version
check "docker pulls it" docker_ pull -q "$ref"
said "docker: the same digest" "$digest" docker_ image inspect --format '{{.RepoDigests}}' "$ref"
said "docker runs it" "hello from debian" docker_ run --rm --network none "$ref"
check "docker tags it" docker_ tag "$ref" "$REGISTRY/team/by-docker:1"
said "docker pushes it" "digest: sha256:" docker_ push "$REGISTRY/team/by-docker:1"
pushed=$(sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p' "$WORK/out")
digests_agree "what docker pushed" team/by-docker 1 "$pushed"
said "containerd runs what docker pushed" "hello from debian" sh -c "
  ctr -a '$WORK/containerd.sock' images pull --plain-http '$REGISTRY/team/by-docker:1' >/dev/null &&
  ctr -a '$WORK/containerd.sock' run --rm '$REGISTRY/team/by-docker:1' by-docker-$$"
finish
