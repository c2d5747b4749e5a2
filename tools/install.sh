#!/bin/sh
# usage: tools/install.sh install|uninstall DESTDIR PREFIX
# install: the executable, the stage1 images, manual pages, completions, units, and the tables of users and directories. With DESTDIR (packaging) that is all; without it the
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
share=$destdir$prefix/share
rkt=$destdir$prefix/bin/rkt
# Debian's zsh looks for what packages bring there.
case $prefix in /usr) zsh=$share/zsh/vendor-completions/_rkt ;; *) zsh=$share/zsh/site-functions/_rkt ;; esac

install_files() {
  install -D -m 755 build/rkt "$rkt"
  for image in nspawn host fly kvm; do
    # Virtual machines are for x86-64 only: elsewhere there is no such image.
    [ $image != kvm ] || [ -e build/stage1-kvm.aci ] || continue
    install -D -m 644 "build/stage1-$image.aci" "$lib/rkt/stage1-images/stage1-$image.aci"
  done
  ln -sf stage1-nspawn.aci "$lib/rkt/stage1-images/stage1-coreos.aci"
  # A binary that was stripped, or cut short, is no longer rkt: it must say its own name.
  "$rkt" version | grep -q '^rkt Version: ' || { echo "install: \"$rkt\" does not run" >&2; exit 1; }

  install -D -m 755 dist/setup-data-dir.sh "$lib/rkt/setup-data-dir.sh"
  install -D -m 644 dist/sysusers.d/rkt.conf "$lib/sysusers.d/rkt.conf"
  install -D -m 644 dist/tmpfiles.d/rkt.conf "$lib/tmpfiles.d/rkt.conf"
  for unit in dist/init/systemd/*; do
    target=$lib/systemd/system/${unit##*/}
    install -D -m 644 "$unit" "$target"
    sed -i "s|@PREFIX@|$prefix|" "$target"
  done
  install -D -m 644 dist/selinux/rkt.cil "$share/rkt/selinux/rkt.cil"
  install -d -m 755 "$share/man/man1"
  install -m 644 build/man/*.1 "$share/man/man1"
  complete bash "$share/bash-completion/completions/rkt"
  complete zsh "$zsh"
  complete fish "$share/fish/vendor_completions.d/rkt.fish"
}

complete() { # complete SHELL FILE
  install -d -m 755 "${2%/*}"
  "$rkt" completion "$1" > "$2"
  chmod 644 "$2"
}

uninstall() {
  if [ -z "$destdir" ] && [ -x "$rkt" ] && "$rkt" list --no-legend | awk -F '\t+' '$4 == "running" { found = 1 } END { exit !found }'; then
    echo "install: cannot uninstall: pods are running (see: rkt list)" >&2
    exit 1
  fi
  rm -f "$rkt" "$lib/rkt/setup-data-dir.sh" "$lib/sysusers.d/rkt.conf" "$lib/tmpfiles.d/rkt.conf"
  rm -f "$share/bash-completion/completions/rkt" "$zsh" "$share/fish/vendor_completions.d/rkt.fish"
  rm -f "$share"/man/man1/rkt.1 "$share"/man/man1/rkt-*.1
  for unit in dist/init/systemd/*; do rm -f "$lib/systemd/system/${unit##*/}"; done
  for image in nspawn host fly kvm coreos; do rm -f "$lib/rkt/stage1-images/stage1-$image.aci"; done
  rm -f "$share/rkt/selinux/rkt.cil"
  rmdir "$share/rkt/selinux" "$share/rkt" "$lib/rkt/stage1-images" "$lib/rkt" 2> /dev/null || true
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
dist/setup-data-dir.sh dist/sysusers.d/rkt.conf dist/tmpfiles.d/rkt.conf
missing=$(tools/setup.sh --missing run)
[ -z "$missing" ] || echo "install: rkt is installed; to run pods it needs packages that are missing: apt-get install $missing"
