#!/bin/sh
# usage: tools/install.sh DESTDIR PREFIX: installs the binary, the stage1 images, users and groups, directories.
# With DESTDIR (packaging) only files are written; without it, users, groups and the data directory are made as well.
set -eu
cd "$(dirname "$0")/.."
destdir=$1
prefix=$2

install -D -m 755 build/rkt "$destdir$prefix/bin/rkt"
for image in nspawn fly; do
  install -D -m 644 "build/stage1-$image.aci" "$destdir$prefix/lib/rkt/stage1-images/stage1-$image.aci"
done
ln -sf stage1-nspawn.aci "$destdir$prefix/lib/rkt/stage1-images/stage1-coreos.aci"
install -D -m 644 dist/sysusers.d/rkt.conf "$destdir$prefix/lib/sysusers.d/rkt.conf"
install -D -m 644 dist/tmpfiles.d/rkt.conf "$destdir$prefix/lib/tmpfiles.d/rkt.conf"
for directory in net.d auth.d paths.d stage1.d trustedkeys/root.d trustedkeys/prefix.d; do
  install -d -m 755 "$destdir/etc/rkt/$directory"
done

# A binary that was stripped, or cut short, is no longer rkt: it must say its own name.
"$destdir$prefix/bin/rkt" version | grep -q '^rkt Version: ' || { echo "install: \"$destdir$prefix/bin/rkt\" does not run" >&2; exit 1; }

[ -z "$destdir" ] || exit 0
[ "$(id -u)" -eq 0 ] || { echo "install: users and the data directory need root" >&2; exit 1; }

group() { getent group "$1" > /dev/null || groupadd --system "$1"; }
user() { getent passwd "$1" > /dev/null || useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin --comment "$2" "$1"; }
group rkt
group rkt-admin
user rkt-fetch "rkt fetch worker"
user rkt-verify "rkt verify worker"
usermod --append --groups rkt rkt-fetch

# The same table that systemd-tmpfiles reads; hosts without systemd get the directories too.
while read -r kind path mode owner grp; do
  [ "$kind" = d ] || continue
  install -d -m "$mode" -o "$owner" -g "$grp" "$path"
  chmod "$mode" "$path"
done < dist/tmpfiles.d/rkt.conf
