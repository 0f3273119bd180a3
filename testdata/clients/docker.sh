#!/usr/bin/env bash
# The Docker engine: pushes layers as streamed PATCH without a length, five at a time, in Docker schema 2; pulls by tag and
# digest and runs what it pulled. The engine is started here, by hand, with everything it owns under $WORK.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need dockerd /usr/bin/docker busybox jq curl skopeo
describe_peer() { docker_ version --format 'docker engine {{.Server.Version}}'; }
docker_() { DOCKER_HOST="unix://$WORK/docker.sock" DOCKER_CONFIG="$WORK/config" /usr/bin/docker "$@"; }
with_registry

echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
digest=$(fixture "$WORK/app" v1 "hello from docker" 8)
skopeo --policy "$WORK/policy.json" copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$REGISTRY/docker/app:v1"

daemon dockerd dockerd --data-root "$WORK/data" --exec-root "$WORK/exec" -H "unix://$WORK/docker.sock" --pidfile "$WORK/docker.pid" \
  --iptables=false --ip6tables=false --bridge=none
wait_for "the docker engine" 60 docker_ version

repo_digest() { docker_ image inspect --format '{{join .RepoDigests "\n"}}' "$1" | grep "^$2@" | sed 's/.*@//'; }

check "pull by tag" docker_ pull -q "$REGISTRY/docker/app:v1"
equal "docker knows the digest" "$digest" "$(repo_digest "$REGISTRY/docker/app:v1" "$REGISTRY/docker/app")"
said "run it" "hello from docker" docker_ run --rm --network none "$REGISTRY/docker/app:v1"
check "remove it" docker_ rmi -f "$REGISTRY/docker/app:v1"
check "pull by digest" docker_ pull -q "$REGISTRY/docker/app@$digest"

check "tag it anew" docker_ tag "$REGISTRY/docker/app@$digest" "$REGISTRY/docker/pushed:v2"
said "push it" "digest: sha256:" docker_ push "$REGISTRY/docker/pushed:v2"
pushed=$(sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p' "$WORK/out")
digests_agree "what docker pushed" docker/pushed v2 "$pushed"
said "push it to a third repository: layers are mounted" "Mounted from docker/" \
  sh -c "export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/config
         /usr/bin/docker tag $REGISTRY/docker/pushed:v2 $REGISTRY/docker/third:v3 && /usr/bin/docker push $REGISTRY/docker/third:v3"
digests_agree "in the third repository" docker/third v3 "$pushed"

mkdir "$WORK/context"
printf 'FROM %s/docker/app:v1\nRUN echo built by docker > /etc/built\nCMD ["cat", "/etc/built"]\n' "$REGISTRY" >"$WORK/context/Dockerfile"
check "build on it and tag" env DOCKER_BUILDKIT=1 DOCKER_HOST="unix://$WORK/docker.sock" DOCKER_CONFIG="$WORK/config" \
  /usr/bin/docker build -q --network none -t "$REGISTRY/docker/built:v1" "$WORK/context"
check "push the build" docker_ push "$REGISTRY/docker/built:v1"
check "forget everything" sh -c "DOCKER_HOST=unix://$WORK/docker.sock /usr/bin/docker image prune -af"
docker_ rmi -f "$REGISTRY/docker/built:v1" >/dev/null 2>&1 || true
check "pull the build" docker_ pull -q "$REGISTRY/docker/built:v1"
said "run the build" "built by docker" docker_ run --rm --network none "$REGISTRY/docker/built:v1"

# Built by Wharf, and loaded without any registry in between.
WHARF=$(find_wharf)
mkdir "$WORK/loading"
printf 'FROM %s/docker/app:v1\nCOPY message /message\nCMD ["cat", "/message"]\n' "$REGISTRY" >"$WORK/loading/Dockerfile"
echo "loaded by wharf" >"$WORK/loading/message"
load() { DOCKER_HOST="unix://$WORK/docker.sock" "$WHARF" --progress plain build --store "$WORK/store" --load "$@" "$WORK/loading" 2>&1; }
said "wharf build --load" "loaded it" load -t team/loaded:1 -t "$REGISTRY/docker/loaded:2"
said "run what was loaded" "loaded by wharf" docker_ run --rm --network none team/loaded:1
said "under its other name" "loaded by wharf" docker_ run --rm --network none "$REGISTRY/docker/loaded:2"
said "an image that is there only gets a name" "had it already" load -t team/again:3
said "run it under that name" "loaded by wharf" docker_ run --rm --network none team/again:3
refused "an engine that is not there" env DOCKER_HOST="unix://$WORK/none.sock" "$WHARF" build --store "$WORK/store" --load "$WORK/loading"
refused "an unknown tag is refused" docker_ pull -q "$REGISTRY/docker/app:none"

# No command of docker reaches into a registry to delete; `docker rmi` forgets the local copy alone. So the registry is asked directly,
# and what the client says of it is looked at.
delete_over_http "delete the tag" docker/app v1
not_found "the deleted tag is not found" "docker/app:v1 not found: manifest unknown: docker/app has no manifest v1" docker_ pull -q "$REGISTRY/docker/app:v1"
check "its manifest is pulled by digest" docker_ pull -q "$REGISTRY/docker/app@$digest"
# The engine asks nobody for a manifest it has seen in a repository, so this one lies where it has not looked yet.
skopeo --policy "$WORK/policy.json" copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$REGISTRY/docker/unseen:v1"
delete_over_http "delete a manifest" docker/unseen "$digest"
not_found "the deleted manifest is not found" "manifest unknown: docker/unseen has no manifest $digest" \
  docker_ pull -q "$REGISTRY/docker/unseen@$digest"
finish
