#!/bin/bash
# Tries the README as a newcomer would: a Debian with nothing but what the README asks for, a fresh clone of the last commit, and in it the commands given
# (default: `make demo`, then `make test`). The kernel and the cgroups are this machine's, everything else is the new system's: files, processes, network,
# /run, /dev/shm. Needs root, and mmdebstrap, slirp4netns and busybox-static on this machine.
# usage: tools/try-fresh-machine.sh bookworm|trixie [COMMAND…]
# The new system is kept as it was before the first command, so that the next try starts sooner: /var/tmp/rkt-fresh-SUITE (remove it by hand).
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:?usage: tools/try-fresh-machine.sh bookworm|trixie [COMMAND…]}
shift
[ $# -gt 0 ] || set -- "make demo" "make test"
[ "$(id -u)" -eq 0 ] || { echo "try-fresh-machine: must run as root" >&2; exit 1; }

pristine=/var/tmp/rkt-fresh-$suite
if [ ! -e "$pristine" ]; then
  echo "== a new Debian $suite in $pristine"
  # Without a mirror named: Debian's own, and its security archive.
  mmdebstrap --quiet --variant=apt --include=ca-certificates,git,make,nodejs,npm "$suite" "$pristine.new"
  mv "$pristine.new" "$pristine"
fi
work=$(mktemp -d /var/tmp/rkt-try-XXXXXX)
network=
clean_up() {
  [ -z "$network" ] || kill "$network" 2> /dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
root=$work/root
cp -a --reflink=auto "$pristine" "$root"

# How this machine reaches the npm registry and whose certificates it believes are the machine's affair, not the project's.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
[ ! -e "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$root/root/.npmrc"
echo "nameserver 10.0.2.3" > "$root/etc/resolv.conf"
echo "127.0.0.1 localhost fresh" > "$root/etc/hosts"
git -c safe.directory='*' clone --quiet "file://$PWD" "$root/root/rkt"
git log -1 --format='== commit %h (%cs): %s'

inside='
  for command in "$@"; do
    echo "== $command"
    started=$(date +%s)
    env -i --default-signal HOME=/root USER=root LOGNAME=root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      sh -c "cd /root/rkt && $command"
    echo "== $command: done in $(($(date +%s) - started)) s"
  done
'
export inside
# A network of its own, with a way out through an ordinary process: addresses, firewall and leases of this machine stay as they are.
mkfifo "$work/asks" "$work/answers"
unshare --mount --propagation private --pid --fork --kill-child --net --uts --ipc -- bash -euc '
  work=$1 root=$1/root
  shift
  hostname fresh
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
  mount --bind /dev "$root/dev"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mkdir -m 1777 "$root/run/lock"
  echo up > "$work/asks"
  read -r -n 1 _ < "$work/answers"
  # A real root, not chroot: the new system sees its own mounts and no others. It has no umount yet: a static one of this machine is taken along.
  exec 9< /bin/busybox
  cd "$root"
  pivot_root . mnt
  cd /
  (exec -a busybox /proc/self/fd/9 umount -l /mnt)
  exec 9<&-
  exec /bin/bash -euc "$inside" inside "$@"
' try "$work" "$@" < /dev/null &
machine=$!
read -r _ < "$work/asks"
slirp4netns --configure --mtu=65520 --disable-host-loopback --ready-fd=8 "$(pgrep -P $machine | head -n 1)" tap0 > "$work/network.log" 2>&1 8> "$work/answers" &
network=$!
status=0
wait $machine || status=$?
echo "== $suite: exit status $status"
exit $status
