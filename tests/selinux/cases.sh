#!/bin/sh
# What selinux.test.ts asks of a host with SELinux enforcing. As root, unconfined. Answers are lines "@NAME VALUE".
rkt() { /opt/test/rkt --dir=/var/lib/rkt-test --insecure-options=image "$@"; }
say() { echo "@$1 $(echo "$2" | tr -d '\000\r' | tr '\n' ' ' | sed 's/ *$//')"; }
run() { # run NAME SCRIPT FLAGS…: a pod to its end
  name=$1 script=$2
  shift 2
  say "$name" "$(rkt run --net=none "$@" "$image" --exec=/bin/sh -- -c "$script" 2> /tmp/err)"
  [ ! -s /tmp/err ] || sed 's/^/err: /' /tmp/err
}
image=$(rkt fetch --full /opt/test/app.aci)
say caller "$(id -Z)"

# A pod that stays, with a file in its own tree and a volume of its own.
mkdir -p /srv/own /srv/both /srv/plain
for directory in own both plain; do echo "$directory" > /srv/$directory/file; done
rkt run --net=none --uuid-file-save=/tmp/first --require=selinux --volume=own,kind=host,source=/srv/own,relabel=private --mount=volume=own,target=/own \
  --volume=e,kind=empty --mount=volume=e,target=/empty --volume=t,kind=tmpfs --mount=volume=t,target=/memory \
  "$image" --exec=/bin/sh -- -c 'echo secret > /secret; cat /proc/self/attr/current; echo; cat /own/file; echo new > /own/new; echo x > /empty/x && echo x > /memory/x && echo x > /dev/null && echo volumes; echo up; sleep 100000' > /tmp/first.out 2>&1 < /dev/null &
first_pid=$!
turns=0
until grep -q up /tmp/first.out || [ $turns -gt 300 ]; do
  turns=$((turns + 1))
  sleep 0.5
done
sed 's/^/first: /' /tmp/first.out
first=$(cat /tmp/first)
say first.ready "$(rkt status --wait-ready=300s "$first" 2>&1 | grep -E '^(state|problem|error)')"
say first.supervisor "$(cat "/proc/$(cat "/var/lib/rkt-test/pods/run/$first/ppid")/attr/current")"
say first.process "$(grep -a -o 'system_u:[^ ]*' /tmp/first.out | head -n 1)"
say first.volumes "$(grep -a -c -E '^(own|volumes)' /tmp/first.out)"
say first.status "$(rkt status "$first" | grep '^selinux=')"
say first.isolation "$(rkt status "$first" | grep '^isolation=')"
say first.own "$(stat -c %C /srv/own/file) $(stat -c %C /srv/own/new)"
say first.entered "$(rkt enter "$first" /bin/cat /proc/self/attr/current 2>&1)"
tree=/var/lib/rkt-test/pods/run/$first/stage1/rootfs/opt/stage2/busybox/rootfs
[ -d "$tree" ] || tree=$(echo /var/lib/rkt-test/pods/run/"$first"/stage1/rootfs/opt/stage2/*/rootfs)
say first.tree "$(stat -c %C "$tree/secret")"

# Another pod that is given the first one's files: by mistake, or by a way out of its own tree.
other="--volume=tree,kind=host,source=$tree --mount=volume=tree,target=/tree --volume=own,kind=host,source=/srv/own --mount=volume=own,target=/own"
script='cat /proc/self/attr/current; echo; cat /tree/secret 2>&1; cat /own/file 2>&1; echo x 2> /dev/null > /own/file || echo kept; true'
# shellcheck disable=SC2086
run second "$script" $other
setenforce 0
# shellcheck disable=SC2086
run second.permissive 'cat /tree/secret /own/file' $other
say permissive.require "$(rkt run --net=none --require=selinux "$image" --exec=/bin/true 2>&1 | head -n 1)"
setenforce 1

# Volumes: nobody asked for another label, for one that every pod may use; what is mounted in one keeps its own.
mkdir /srv/both/mounted
mount --bind /srv/plain /srv/both/mounted
plain='--volume=v,kind=host,source=/srv/plain --mount=volume=v,target=/v'
both='--volume=v,kind=host,source=/srv/both,relabel=shared --mount=volume=v,target=/v'
# shellcheck disable=SC2086
{
  run plain 'cat /v/file 2>&1; true' $plain
  run both.one 'cat /v/file; echo more > /v/one; cat /v/one' $both
  run both.two 'cat /v/file /v/one; echo more > /v/one && echo wrote' $both
}
say both.label "$(stat -c %C /srv/both/file) $(stat -c %C /srv/both/one)"
say plain.label "$(stat -c %C /srv/plain/file)"
run refused true --volume=v,kind=host,source=/etc,relabel=shared --mount=volume=v,target=/v
say refused.error "$(head -n 1 /tmp/err)"
say refused.label "$(stat -c %C /etc/passwd)"

# Prepared first, started later; copied trees.
prepared=$(rkt prepare --quiet "$image" --exec=/bin/cat -- /proc/self/attr/current)
say prepared "$(rkt run-prepared --net=none "$prepared" 2> /dev/null)"
say prepared.status "$(rkt status "$prepared" | grep '^selinux=')"
run copied 'cat /proc/self/attr/current; echo; echo x > /file && cat /file' --no-overlay --uuid-file-save=/tmp/copied
say copied.environment "$(stat -c %C /var/lib/rkt-test/pods/run/"$(cat /tmp/copied)"/stage1/rootfs/rkt/env/*)"
run host 'cat /proc/self/attr/current; echo; echo x > /file && cat /file' --stage1-path=/opt/test/stage1-host.aci
run users 'cat /proc/self/attr/current; echo; echo x > /file && cat /file' --private-users

# Each has its own, until it is gone.
labels() { cat /var/lib/rkt-test/pods/*/*/selinux 2> /dev/null | grep -c '^process='; }
say labels "$(labels)"
say labels.different "$(cat /var/lib/rkt-test/pods/*/*/selinux | grep '^process=' | sort -u | wc -l)"
rkt stop "$first" > /dev/null
wait $first_pid
rkt gc --grace-period=0s > /dev/null 2>&1
rkt gc --grace-period=0s > /dev/null 2>&1
say labels.left "$(labels)"
