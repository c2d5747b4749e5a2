#!/bin/sh
# usage: tools/apart.sh COMMAND…   runs it with a private copy of the machine's mounts, network and firewall, so that neither can harm the other.
# Mounts are shared among what runs inside, as on a host that systemd set up; /tmp, /run/netns and CNI's directory begin empty.
set -eu
exec unshare --net --mount --propagation private sh -euc '
  ip link set lo up
  mkdir -p /run/netns /run/systemd/nspawn /var/lib/cni
  for directory in /run/netns /var/lib/cni; do mount -t tmpfs tmpfs $directory; done
  mount -t tmpfs -o mode=1777 tmpfs /tmp
  # The bare systemd-nspawn that is measured refuses a /run on a disk; rkt copes by itself.
  [ "$(stat -f -c %T /run)" = tmpfs ] || mount -t tmpfs tmpfs /run/systemd/nspawn
  mount --make-rshared /
  exec "$@"' apart "$@"
