#!/bin/sh
# Installs what a target needs and this machine lacks: Debian packages (as root), and the exact npm packages of package-lock.json.
# usage: tools/setup.sh build|run|demo|test|deb|selinux|bench …    Does nothing, in about 50 ms, when everything is there.
#        tools/setup.sh --missing run                   only says which Debian packages are missing: what an installed rkt needs
set -eu
cd "$(dirname "$0")/.."

build="ca-certificates make xz-utils debian-archive-keyring gcc libc6-dev"
run="util-linux mount gpgv iptables containernetworking-plugins xz-utils bzip2 zstd"
demo="$run busybox-static gnupg umoci"
test="$demo qemu-system-x86 swtpm tpm2-tools nftables skopeo docker-registry mmdebstrap attr acl iproute2 procps strace libcap2-bin apache2-utils openssl python3-minimal curl passwd tzdata systemd systemd-container runit s6"
# Debian 12 has it in QEMU's packages.
version=$(. /etc/os-release && echo "${VERSION_ID:-99}")
[ "${version%%.*}" -lt 13 ] || test="$test virtiofsd"
deb="lintian man-db groff zsh fish"
selinux="mmdebstrap qemu-system-x86 e2fsprogs"
bench="$test runc crun podman systemd-container"

only_say=
if [ "${1:-}" = --missing ]; then
  only_say=1
  shift
fi
packages=
for set in "$@"; do
  case $set in
    build) packages="$packages $build" ;;
    run) packages="$packages $run" ;;
    demo) packages="$packages $demo" ;;
    test) packages="$packages $test" ;;
    deb) packages="$packages $deb" ;;
    selinux) packages="$packages $selinux" ;;
    bench) packages="$packages $bench" ;;
    *) echo "setup: unknown set \"$set\", expected build, run, demo, test, deb, selinux or bench" >&2; exit 2 ;;
  esac
done

missing=
for package in $(printf '%s\n' $packages | sort -u); do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done

if [ -n "$only_say" ]; then
  echo "${missing# }"
  exit
fi

if [ -n "$missing" ]; then
  echo "setup: installing Debian packages:$missing" >&2
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup: cannot install Debian packages: not root; run: apt-get install$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  # Services of the packages must not start on the build machine: tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
    trap 'rm -f $policy $log' EXIT
  else
    trap 'rm -f $log' EXIT
  fi
  # shellcheck disable=SC2086
  if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: cannot install Debian packages (above: the end of apt's output)" >&2
    exit 1
  fi
fi

stamp=node_modules/.package-lock.sum
if [ "$(cat $stamp 2>/dev/null)" != "$(cksum < package-lock.json)" ]; then
  echo "setup: npm ci" >&2
  # No package's install script runs: none is needed, and a script of a dependency is somebody else's code as root.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  cksum < package-lock.json > $stamp
fi

case " $* " in
  *" deb "*) tools/test-packages.sh trixie ;;
  *" selinux "*) tools/test-packages.sh selinux ;;
  *" test "*) tools/test-packages.sh ;;
esac
