#!/bin/sh
# usage: setup-data-dir.sh [SYSUSERS TMPFILES]   makes rkt's users and groups, its data directory and its configuration directories, as the two tables say (sysusers.d(5) and
# tmpfiles.d(5), as far as they use them). For hosts with and without systemd. What is there already is kept. Needs root.
set -eu
sysusers=${1:-/usr/lib/sysusers.d/rkt.conf}
tmpfiles=${2:-/usr/lib/tmpfiles.d/rkt.conf}
[ "$(id -u)" -eq 0 ] || { echo "setup-data-dir: cannot make users and directories: not root" >&2; exit 1; }
command -v groupadd > /dev/null || { echo "setup-data-dir: cannot make users: groupadd is missing; run: apt-get install passwd" >&2; exit 1; }

sed 's/#.*//' "$sysusers" | while read -r kind name other rest; do
  case $kind in
    g) getent group "$name" > /dev/null || groupadd --system "$name" ;;
    u)
      comment=${rest#\"}
      getent passwd "$name" > /dev/null ||
        useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin --comment "${comment%%\"*}" "$name"
      ;;
    m) id -nG "$name" | tr ' ' '\n' | grep -qx "$other" || usermod --append --groups "$other" "$name" ;;
  esac
done

sed 's/#.*//' "$tmpfiles" | while read -r kind path mode owner group; do
  [ "$kind" = d ] || continue
  install -d -m "$mode" -o "$owner" -g "$group" "$path"
  # A zero in front: chmod keeps the set-group-id bit, which is inherited, unless five digits say otherwise.
  chmod "0$mode" "$path"
done
