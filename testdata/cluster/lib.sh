# Sourced by the cluster scripts after the clients' library: a Debian base to build on, and a containerd to run with.
# shellcheck shell=bash
source "$TOP/testdata/clients/lib.sh"

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/wharf-ci

# debian_tar: the path of a bookworm root file system, made once per machine from whatever mirror this machine's apt uses.
debian_tar() {
  local tar mirror
  tar=$CACHE/debian-bookworm-$(go_arch)-1.tar
  if [[ ! -s $tar ]]; then
    mkdir -p "$CACHE"
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1)
    debootstrap --variant=minbase bookworm "$WORK/debian" ${mirror:+"$mirror"} >"$WORK/debootstrap.log" 2>&1
    rm -rf "$WORK/debian/var/cache/apt/archives"/*.deb "$WORK/debian/dev"/*
    tar --numeric-owner --xattrs -C "$WORK/debian" -cf "$tar.part" .
    mv "$tar.part" "$tar"
    rm -rf "$WORK/debian"
  fi
  echo "$tar"
}

# machine_apt_conf FILE: how this machine's apt fetches (proxy, certificates, dates), for an apt inside a build.
machine_apt_conf() { apt-config dump | grep -E '^Acquire::' >"$1"; }

# with_containerd: a containerd of our own and `ctr_` to speak to it.
with_containerd() {
  cat >"$WORK/containerd.toml" <<EOF
version = 2
root = "$WORK/containerd"
state = "$WORK/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
address = "$WORK/containerd.sock"
[ttrpc]
address = "$WORK/containerd.sock.ttrpc"
EOF
  daemon containerd containerd -c "$WORK/containerd.toml"
  wait_for containerd 30 ctr_ version
}
ctr_() { ctr -a "$WORK/containerd.sock" "$@"; }

# need_wharf: these scripts build and import, so they need the binary even where a registry already runs.
need_wharf() {
  unset REGISTRY
  WHARF=$(find_wharf)
  [[ -n $WHARF ]] || { echo "not ok - $SCRIPT: no wharf binary: build one or set WHARF"; echo "0 passed, 1 failed"; exit 1; }
  STORE=$WORK/store
}
