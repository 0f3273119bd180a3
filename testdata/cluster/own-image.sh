#!/usr/bin/env bash
# Wharf builds its own image from its own Dockerfile, serves it, and containerd runs it as a registry that skopeo uses. The rust
# image that the Dockerfile names is composed here, from Debian and this machine's toolchain, and found in the store.
#
#   PROFILE   the cargo profile of the image's binary; `dev` keeps the check short
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$TOP/testdata/cluster/lib.sh"
need debootstrap containerd ctr runc skopeo cargo rustc git busybox jq curl
need_wharf
describe_peer() { "$WHARF" --version; }

base=$(debian_tar)
cp -r "$TOP/testdata/cluster/rust" "$WORK/rust"
machine_apt_conf "$WORK/rust/apt.conf"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$WORK/policy.json"
# Exactly what is committed, and what is about to be.
mkdir "$WORK/source"
(cd "$TOP" && git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -cf - 2>/dev/null) | tar -xf - -C "$WORK/source"

check "fetch the crates" sh -c "cd '$TOP' && cargo fetch --locked"
check "import a Debian root file system" "$WHARF" import --store "$STORE" "$base" debian:bookworm
image=$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' "$TOP/Dockerfile")
check "compose $image from build contexts" "$WHARF" build --store "$STORE" --progress=plain -t "$image" \
  --build-context "toolchain=$(rustc --print sysroot)" --build-context "crates=${CARGO_HOME:-$HOME/.cargo}/registry" "$WORK/rust"
check "build Wharf's own image" "$WHARF" build --store "$STORE" --progress=plain --build-arg "PROFILE=${PROFILE:-dev}" -t team/wharf:1 "$WORK/source"

with_registry
host=$REGISTRY
digests_agree "the image is served" team/wharf 1 "$(header_digest team/wharf 1)"
config=$(curl -fsS -H "Accept: $MANIFEST_TYPES" "http://$host/v2/team/wharf/manifests/1" | jq -r .config.digest)
curl -fsS "http://$host/v2/team/wharf/blobs/$config" >"$WORK/config.json"
equal "it runs as an ordinary user" 65532:65532 "$(jq -r .config.User "$WORK/config.json")"
equal "it announces its port" 5000/tcp "$(jq -r '.config.ExposedPorts | keys[0]' "$WORK/config.json")"

with_containerd
ref=$host/team/wharf:1
check "containerd pulls it" ctr_ images pull --plain-http "$ref"
said "it says its version" "$("$WHARF" --version)" ctr_ run --rm "$ref" "version-$$" /wharf --version
port=$(free_port)
undo ctr_ task kill -s KILL "wharf-$$"
daemon inner ctr_ run --rm --net-host "$ref" "wharf-$$" /wharf serve --listen "127.0.0.1:$port" --store /var/lib/wharf
inner=127.0.0.1:$port
wait_for "the registry in the container" 30 curl -fsS "http://$inner/v2/"
digest=$(fixture "$WORK/app" v1 "hello from inside" 4)
check "push into it" skopeo --policy "$WORK/policy.json" copy -q --dest-tls-verify=false "oci:$WORK/app:v1" "docker://$inner/a/b:v1"
check "pull out of it" skopeo --policy "$WORK/policy.json" copy -q --src-tls-verify=false "docker://$inner/a/b:v1" "oci:$WORK/back:v1"
equal "the same manifest came back" "$digest" "$(jq -r '.manifests[0].digest' "$WORK/back/index.json")"
check "the outer registry copies itself into the inner one" skopeo --policy "$WORK/policy.json" copy -q --src-tls-verify=false \
  --dest-tls-verify=false "docker://$ref" "docker://$inner/team/wharf:1"
REGISTRY=$inner
equal "and the digest is the same" "$(REGISTRY=$host header_digest team/wharf 1)" "$(header_digest team/wharf 1)"
check "it stops when asked" ctr_ task kill -s TERM "wharf-$$"
wait_for "the container to end" 20 sh -c "! curl -fsS http://$inner/v2/"
ok "and is gone"
finish
