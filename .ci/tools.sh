# What the parts of `.ci/run` need beside a Rust and a Go toolchain, at pinned versions.
#
# Debian's packages are installed on the machine. Everything else is built once per machine and version into $CACHE, outside the
# tree, and linked into $CACHE/bin under the name the client scripts use.
# shellcheck shell=bash

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/wharf-ci
export PATH="$CACHE/bin:$PATH"

DEBIAN_PACKAGES=(
  ca-certificates curl jq procps git gcc libc6-dev
  skopeo podman containerd runc docker.io debootstrap busybox-static uidmap python3-venv
)

# name in $CACHE/bin | module | version | package inside the module
GO_TOOLS=(
  "crane|github.com/google/go-containerregistry|v0.22.1|cmd/crane"
  "regctl|github.com/regclient/regclient|v0.11.7|cmd/regctl"
  "oras|oras.land/oras|v1.3.2|cmd/oras"
  "containerd2|github.com/containerd/containerd/v2|v2.4.2|cmd/containerd"
  "ctr2|github.com/containerd/containerd/v2|v2.4.2|cmd/ctr"
  "helm|helm.sh/helm/v3|v3.22.0|cmd/helm"
  "buildkitd|github.com/moby/buildkit|v0.32.0|cmd/buildkitd"
  "buildctl|github.com/moby/buildkit|v0.32.0|cmd/buildctl"
  "buildx|github.com/docker/buildx|v0.37.2|cmd/buildx"
  "distribution|github.com/distribution/distribution/v3|v3.1.2|cmd/registry"
  "cosign|github.com/sigstore/cosign/v3|v3.1.3|cmd/cosign"
)

# A service for S3 in the tests; the module proxy serves this commit.
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
# A second one, in Python: `moto-python` is a Python that has it.
MOTO_VERSION=5.2.5

# The newest version of the official suite that the Go module proxy and its checksum database both know. Later ones, among them the
# rewritten suite of 2026, are commits that the proxy does not serve; raise this on purpose when it does.
CONFORMANCE_MODULE=github.com/opencontainers/distribution-spec/conformance
CONFORMANCE_VERSION=v0.0.0-20230516164017-7fcdf80f3c8b

# Of go.podman.io/storage and go.podman.io/image/v5: what podman, Buildah and CRI-O fetch images with.
CONTAINERS_VERSIONS=v1.64.2+v5.41.2

CARGO_DENY_VERSION=0.20.2

# What Go fetches and compiles for its tools is ten times their size, on a disk that the other parts need: it goes when they are built.
GO_CACHE=$CACHE/go

install_debian_packages() {
  local missing=() package
  for package in "${DEBIAN_PACKAGES[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return 0
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >"$CACHE/apt.log" 2>&1 || {
    tail -n 30 "$CACHE/apt.log"
    return 1
  }
}

# in_go_module MODULE VERSION COMMAND...: run in a throw-away module that requires exactly that version. (`go install pkg@version`
# would also ask the proxy for the list of versions, which it does not give for every module.)
in_go_module() {
  local module=$1 version=$2 dir status=0
  shift 2
  dir=$(mktemp -d)
  (
    cd "$dir"
    export GOFLAGS="-mod=mod -buildvcs=false -modcacherw" CGO_ENABLED=0 GOTOOLCHAIN=local
    export GOMODCACHE=$GO_CACHE/mod GOCACHE=$GO_CACHE/build
    go mod init tools >/dev/null 2>&1
    go mod edit -require "$module@$version"
    "$@"
  ) || status=$?
  rm -rf "$dir"
  return "$status"
}

# built NAME VERSION COMMAND...: unless done before, run the command with its last argument the path of the binary to make.
built() {
  local name=$1 version=$2 path started=$SECONDS
  path=$CACHE/tools/$name@$version
  shift 2
  if [[ ! -x $path ]]; then
    echo "building $name $version"
    "$@" "$path.part" >"$CACHE/$name.log" 2>&1 || { tail -n 20 "$CACHE/$name.log"; return 1; }
    mv "$path.part" "$path"
    echo "built $name in $((SECONDS - started)) s"
  fi
  ln -sf "$path" "$CACHE/bin/$name"
}

go_binary() { in_go_module "$1" "$2" go build -o "$4" "$1${3:+/$3}"; }
# The newest versions of the library whose modules the proxy gives all of, with one replaced by its last that needs no more.
containers_pull() { in_go_module go.podman.io/storage "${1%+*}" build_containers_pull "${1#*+}" "$2"; }
build_containers_pull() {
  cp "$TOP/testdata/clients/storage/main.go" . &&
    go mod edit -require "go.podman.io/image/v5@$1" -replace "github.com/vbauerster/mpb/v8=github.com/vbauerster/mpb/v8@v8.9.3" &&
    go build -tags "containers_image_openpgp exclude_graphdriver_btrfs" -o "$2" .
}
go_test_binary() { in_go_module "$1" "$2" go test -c -o "$3" "$1"; }
cargo_binary() {
  # Away from the tree: its cargo configuration is for Wharf.
  (cd / && cargo install --quiet --locked --root "$CACHE/cargo" "$1@$2") && cp "$CACHE/cargo/bin/$1" "$3"
}

# A script that starts the Python of an environment of its own, which lies beside it.
moto_python() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -m venv "$2.env" && break
  done
  "$2.env/bin/python" -m pip install --quiet "moto[server]==$1"
  printf '#!/bin/sh\nexec "%s/bin/python" "$@"\n' "$2.env" >"$2"
  chmod +x "$2"
}

install_tools() {
  local line name module version package failed=0
  mkdir -p "$CACHE/bin" "$CACHE/tools"
  install_debian_packages || failed=1
  built cargo-deny "$CARGO_DENY_VERSION" cargo_binary cargo-deny "$CARGO_DENY_VERSION" || failed=1
  built conformance "$CONFORMANCE_VERSION" go_test_binary "$CONFORMANCE_MODULE" "$CONFORMANCE_VERSION" || failed=1
  built minio "$MINIO_VERSION" go_binary github.com/minio/minio "$MINIO_VERSION" "" || failed=1
  built moto-python "$MOTO_VERSION" moto_python "$MOTO_VERSION" || failed=1
  built containers-pull "$CONTAINERS_VERSIONS" containers_pull "$CONTAINERS_VERSIONS" || failed=1
  for line in "${GO_TOOLS[@]}"; do
    IFS='|' read -r name module version package <<<"$line"
    built "$name" "$version" go_binary "$module" "$version" "$package" || failed=1
  done
  rm -rf "$GO_CACHE"
  return "$failed"
}
