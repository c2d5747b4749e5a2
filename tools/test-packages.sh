#!/bin/sh
# Downloads the Debian packages (with all that they depend on) of which tests make images: build/.cache/test-packages/NAME/*.deb, once.
# And small Debians to boot: bookworm, and those that are named as arguments. The host's own sources and apt's signature checks are used; nothing is installed on the host. `make clean` makes the next run ask the mirror again.
set -eu
cd "$(dirname "$0")/.."
cache=build/.cache/test-packages

fetch() { # fetch NAME PACKAGE…
  name=$1
  shift
  target=$cache/$name
  [ ! -e "$target/complete" ] || return 0
  rm -rf "$target.new"
  mkdir -p "$target.new/partial"
  # An empty status file: apt then resolves as if nothing were installed, and takes every dependency.
  : > "$target.new/status"
  here=$PWD/$target.new
  set -- -q -y --no-install-recommends --download-only \
    -o Dir::State::status="$here/status" -o Dir::Cache::archives="$here" -o APT::Sandbox::User= -o Debug::NoLocking=true install "$@"
  echo "setup: packages of the test image $name" >&2
  # The lists may be older than the mirror: then once more with new ones.
  if ! apt-get "$@" > "$here/log" 2>&1; then
    if ! { apt-get update && apt-get "$@"; } > "$here/log" 2>&1; then
      tail -n 20 "$here/log" >&2
      echo "setup: cannot download the packages of the test image $name (above: the end of apt's output)" >&2
      exit 1
    fi
  fi
  rm -rf "$target" "$here/partial" "$here/log" "$here/status"
  touch "$here/complete"
  mv "$here" "$target"
}

# A whole small Debian that can be booted (tests/harness/booted-debian.ts): build/.cache/test-roots/SUITE. From Debian's own archive, or the host's mirror of it.
debian() { # debian SUITE
  root=build/.cache/test-roots/$1
  [ ! -e "$root" ] || return 0
  echo "setup: a Debian $1 to boot in tests" >&2
  rm -rf --one-file-system "$root.new"
  mkdir -p build/.cache/test-roots
  include=systemd-sysv,systemd-container,dbus,mount,iproute2,iptables,containernetworking-plugins,gpgv,xz-utils,bzip2,zstd,procps
  if ! mmdebstrap --quiet --mode=root --variant=minbase --include=$include --dpkgopt=path-exclude='/usr/share/doc/*' \
    --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/locale/*' "$1" "$root.new" > "$root.log" 2>&1; then
    tail -n 20 "$root.log" >&2
    echo "setup: cannot make a Debian $1 (above: the end of mmdebstrap's output)" >&2
    exit 1
  fi
  rm -f "$root.log"
  mv "$root.new" "$root"
}

# A Debian with SELinux, to boot in a virtual machine (tests/harness/selinux-machine.ts): build/.cache/test-roots/selinux.
selinux() {
  root=build/.cache/test-roots/selinux
  [ ! -e "$root" ] || return 0
  echo "setup: a Debian with SELinux to boot in tests" >&2
  rm -rf --one-file-system "$root.new"
  mkdir -p build/.cache/test-roots
  include=systemd-sysv,systemd-container,kmod,initramfs-tools,linux-image-cloud-amd64,selinux-policy-default,policycoreutils,selinux-utils,mount,iproute2,iptables,gpgv,xz-utils,bzip2,zstd,procps
  if ! mmdebstrap --quiet --mode=root --variant=minbase --include=$include --dpkgopt=path-exclude='/usr/share/doc/*' \
    --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/locale/*' bookworm "$root.new" > "$root.log" 2>&1; then
    tail -n 20 "$root.log" >&2
    echo "setup: cannot make a Debian with SELinux (above: the end of mmdebstrap's output)" >&2
    exit 1
  fi
  rm -f "$root.log"
  mv "$root.new" "$root"
}

mkdir -p "$cache"
fetch base base-files base-passwd dash coreutils libc-bin netbase util-linux
fetch nginx nginx
fetch redis redis-server
fetch python python3
fetch postgres postgresql
debian bookworm
for suite in "$@"; do
  if [ "$suite" = selinux ]; then selinux; else debian "$suite"; fi
done
