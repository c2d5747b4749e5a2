#!/bin/bash
# The main job of rkt, shown step by step on images made here: build, sign, trust, fetch, refuse, run, list, status, gc. Needs root; touches no network
# but its own. Everything lies in one temporary directory and is gone at the end, also after Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
rkt_bin=$PWD/build/rkt
[ "$(id -u)" -eq 0 ] || { echo "demo: must run as root, since pods need mounts and namespaces" >&2; exit 1; }

work=$(mktemp -d /tmp/rkt-demo-XXXXXX)
data=$work/data
config=$work/etc-rkt
gpg_home=$work/gnupg
mkdir -m 700 "$gpg_home"
mkdir -p "$config" "$data"

rkt() { "$rkt_bin" --dir="$data" --local-config="$config" "$@"; }

clean_up() {
  status=$?
  trap - EXIT
  set +e
  if [ -d "$data/pods" ]; then
    for uuid in $(rkt list --full --no-legend 2>/dev/null | awk '$0 !~ /^\t/ && NF {print $1}'); do
      rkt stop --force "$uuid" > /dev/null 2>&1
    done
    rkt gc --grace-period=0s --expire-prepared=0s > /dev/null 2>&1
    rkt gc --grace-period=0s --expire-prepared=0s > /dev/null 2>&1
  fi
  gpgconf --homedir "$gpg_home" --kill all > /dev/null 2>&1
  # Never across a mount: what is still mounted below is somebody's file system, not ours.
  rm -rf --one-file-system "$work"
  if [ -e "$work" ]; then
    echo "demo: \"$work\" could not be removed; see what is mounted with: findmnt | grep $work" >&2
    [ $status -ne 0 ] || status=1
  fi
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
expect() { # expect STATUS COMMAND…
  wanted=$1
  shift
  printf '$ %s\n' "$*"
  got=0
  "$@" || got=$?
  printf '(exit status %s)\n' "$got"
  [ "$got" -eq "$wanted" ] || { echo "demo: expected exit status $wanted, got $got" >&2; exit 1; }
}

step "1. Two images of Debian's busybox: an App Container image and an OCI layout"
aci=$work/aci
mkdir -p "$aci/rootfs/bin" "$aci/rootfs/etc"
cp /bin/busybox "$aci/rootfs/bin/busybox"
for applet in sh ls cat echo id hostname ip uname sleep; do ln -s busybox "$aci/rootfs/bin/$applet"; done
printf 'root:x:0:0:root:/:/bin/sh\ndemo:x:1000:1000::/:/bin/sh\n' > "$aci/rootfs/etc/passwd"
printf 'root:x:0:\ndemo:x:1000:\n' > "$aci/rootfs/etc/group"
arch=$(uname -m | sed 's/x86_64/amd64/')
cat > "$aci/manifest" <<MANIFEST
{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/demo/busybox",
 "labels":[{"name":"version","value":"1.0"},{"name":"os","value":"linux"},{"name":"arch","value":"$arch"}],
 "app":{"exec":["/bin/sh","-c","echo hello from \$(hostname); id; ip -4 -o addr show eth0"],"user":"demo","group":"demo"}}
MANIFEST
tar -C "$aci" -czf "$work/busybox.aci" manifest rootfs
umoci init --layout "$work/oci"
umoci new --image "$work/oci:demo"
umoci insert --image "$work/oci:demo" "$aci/rootfs" / 2> /dev/null
umoci config --image "$work/oci:demo" --config.cmd /bin/sh --config.cmd -c --config.cmd 'echo hello from an OCI image; exit 42'
# The fetch worker is another user: it may read what everybody may.
chmod -R a+rX "$work/oci"
ls -l "$work/busybox.aci"
du -sh "$work/oci"

step "2. Unsigned, the image is refused"
expect 254 rkt fetch "$work/busybox.aci"

step "3. Sign it with a throw-away OpenPGP key, and trust that key for the image's prefix"
gpg --homedir "$gpg_home" --batch --quiet --passphrase '' --quick-generate-key 'demo <demo@example.com>' ed25519 sign never 2> /dev/null
gpg --homedir "$gpg_home" --batch --quiet --armor --detach-sign --output "$work/busybox.aci.asc" "$work/busybox.aci"
gpg --homedir "$gpg_home" --batch --armor --export demo@example.com > "$work/demo.pub"
show rkt trust --prefix=example.com/demo --skip-fingerprint-review "$work/demo.pub"

step "4. Fetch: the signature is checked, the image is stored and unpacked"
show rkt fetch "$work/busybox.aci"
show rkt image list

step "5. Run it as a pod, under systemd-nspawn, on a network of its own"
expect 0 rkt run example.com/demo/busybox:1.0

step "6. An OCI image, which nobody signed: refused, then run because the operator says so"
expect 254 rkt run --net=none "oci:$work/oci:demo"
expect 42 rkt --insecure-options=image run --net=none "oci:$work/oci:demo"

step "7. The same under the fly stage1: a chroot, nothing else"
expect 7 rkt --insecure-options=image run --stage1-name=coreos.com/rkt/stage1-fly "oci:$work/oci:demo" --exec=/bin/sh -- -c 'echo "hello from fly"; exit 7'

step "8. What is there, and how each pod ended"
show rkt list
for uuid in $(rkt list --full --no-legend | awk '$0 !~ /^\t/ && NF {print $1}'); do
  show rkt status "$uuid"
done

step "9. Collect the garbage"
show rkt gc --grace-period=0s
show rkt list
left=$(findmnt -rno TARGET | grep -c "^$work" || true)
[ "$left" -eq 0 ] || { echo "demo: $left mounts were left below $work" >&2; exit 1; }

step "Done: an image was verified, ran as a pod, told how it ended, and left nothing behind"
