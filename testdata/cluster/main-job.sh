#!/usr/bin/env bash
# The README's main job: `wharf up testdata/hello` serves, builds and tags; the image is pulled and run; Ctrl-C ends it.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$TOP/testdata/cluster/lib.sh"
need containerd ctr runc skopeo curl jq
need_wharf
describe_peer() { "$WHARF" --version; }
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"

REGISTRY=127.0.0.1:$(free_port)
# A background job of a script ignores SIGINT from birth; `env` gives it back, as a terminal would.
daemon up env --default-signal=INT "$WHARF" up --listen "$REGISTRY" --store "$STORE" "$TOP/testdata/hello"
pid=${PIDS[-1]}
tag() { curl -fsS "http://$REGISTRY/v2/hello/tags/list" | jq -er '.tags[0]'; }
wait_for "the image at $REGISTRY" 120 tag
ref=$REGISTRY/hello:$(tag)
digest=$(header_digest hello "$(tag)")
check "skopeo pulls it" skopeo --policy "$WORK/policy.json" copy -q --src-tls-verify=false "docker://$ref" "oci:$WORK/hello:1"
equal "skopeo: the same digest" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/hello/index.json")"
with_containerd
check "containerd pulls it" ctr_ images pull --plain-http "$ref"
said "containerd runs it" "hello" ctr_ run --rm "$ref" "hello-$$"
said "it told how to pull" "$REGISTRY/hello" cat "$WORK/up.log"

kill -INT "$pid"
status=0
wait "$pid" || status=$?
equal "Ctrl-C ends it well" 0 "$status"
refused "nothing listens any more" curl -fsS "http://$REGISTRY/v2/"
finish
