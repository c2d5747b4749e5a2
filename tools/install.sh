#!/bin/sh
# usage: tools/install.sh install|uninstall DESTDIR PREFIX
# install: the executable, the stage1 images, bash completion, units, and the tables of users and directories. With DESTDIR (packaging) that is all; without it the
# tables are applied too: users, groups, the data directory, the configuration directories. What is there already is kept, so it is an upgrade as well.
# uninstall: takes the files away; images, pods, configuration and users stay.
set -eu
cd "$(dirname "$0")/.."
action=$1 destdir=$2 prefix=$3
case $prefix in
  /*) ;;
  *) echo "install: cannot use PREFIX \"$prefix\": expected an absolute path" >&2; exit 2 ;;
esac
lib=$destdir$prefix/lib
rkt=$destdir$prefix/bin/rkt
completion=$destdir$prefix/share/bash-completion/completions/rkt

install_files() {
  install -D -m 755 build/rkt "$rkt"
  for image in nspawn host fly; do
    install -D -m 644 "build/stage1-$image.aci" "$lib/rkt/stage1-images/stage1-$image.aci"
  done
  ln -sf stage1-nspawn.aci "$lib/rkt/stage1-images/stage1-coreos.aci"
  # A binary that was stripped, or cut short, is no longer rkt: it must say its own name.
  "$rkt" version | grep -q '^rkt Version: ' || { echo "install: \"$rkt\" does not run" >&2; exit 1; }

  install -D -m 644 dist/sysusers.d/rkt.conf "$lib/sysusers.d/rkt.conf"
  install -D -m 644 dist/tmpfiles.d/rkt.conf "$lib/tmpfiles.d/rkt.conf"
  for unit in dist/init/systemd/*; do
    target=$lib/systemd/system/${unit##*/}
    install -D -m 644 "$unit" "$target"
    sed -i "s|@PREFIX@|$prefix|" "$target"
  done
  install -d -m 755 "${completion%/*}"
  "$rkt" completion bash > "$completion"
  chmod 644 "$completion"
}

# sysusers.d(5), as far as the table uses it.
make_accounts() {
  command -v groupadd > /dev/null || { echo "install: cannot make users: groupadd is missing; run: apt-get install passwd" >&2; exit 1; }
  sed 's/#.*//' dist/sysusers.d/rkt.conf | while read -r kind name other rest; do
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
}

# tmpfiles.d(5), as far as the table uses it.
make_directories() {
  sed 's/#.*//' dist/tmpfiles.d/rkt.conf | while read -r kind path mode owner group; do
    [ "$kind" = d ] || continue
    install -d -m "$mode" -o "$owner" -g "$group" "$path"
    # A zero in front: chmod keeps the set-group-id bit, which is inherited, unless five digits say otherwise.
    chmod "0$mode" "$path"
  done
}

uninstall() {
  if [ -z "$destdir" ] && [ -x "$rkt" ] && "$rkt" list --no-legend | cut -f 4 | grep -q running; then
    echo "install: cannot uninstall: pods are running (see: rkt list)" >&2
    exit 1
  fi
  rm -f "$rkt" "$completion" "$lib/sysusers.d/rkt.conf" "$lib/tmpfiles.d/rkt.conf"
  for unit in dist/init/systemd/*; do rm -f "$lib/systemd/system/${unit##*/}"; done
  for image in nspawn host fly coreos; do rm -f "$lib/rkt/stage1-images/stage1-$image.aci"; done
  rmdir "$lib/rkt/stage1-images" "$lib/rkt" 2> /dev/null || true
  [ -n "$destdir" ] || echo "uninstall: kept: /var/lib/rkt (images, pods), /etc/rkt (configuration, keys), users rkt-fetch and rkt-verify, groups rkt and rkt-admin"
}

if [ "$action" = uninstall ]; then
  uninstall
  exit
fi
if [ -z "$destdir" ] && [ "$(id -u)" -ne 0 ]; then
  echo "install: cannot install for this machine: not root, expected root (or set DESTDIR, to make a package)" >&2
  exit 1
fi
install_files
[ -z "$destdir" ] || exit 0
make_accounts
make_directories
missing=$(tools/setup.sh --missing run)
[ -z "$missing" ] || echo "install: rkt is installed; to run pods it needs packages that are missing: apt-get install $missing"
