#!/bin/sh
# What selinux.test.ts asks of rkt when a service calls it. After cases.sh.
rkt() { /opt/test/rkt --dir=/var/lib/rkt-test --insecure-options=image "$@"; }
echo "@service.caller $(id -Z)"
rkt run --net=none --uuid-file-save=/tmp/service --require=selinux /opt/test/app.aci --exec=/bin/sh -- -c 'cat /proc/self/attr/current; echo; sleep 100000' > /tmp/service.out 2>&1 < /dev/null &
pid=$!
turns=0
until grep -q container_t /tmp/service.out || [ $turns -gt 300 ]; do
  turns=$((turns + 1))
  sleep 0.5
done
sed 's/^/service: /' /tmp/service.out
echo "@service.process $(grep -a -o 'system_u:[^ ]*' /tmp/service.out | head -n 1 | tr -d '\000\r')"
uuid=$(cat /tmp/service)
echo "@service.ready $(rkt status --wait-ready=300s "$uuid" 2>&1 | grep -E '^(state|problem|error)')"
echo "@service.supervisor $(tr -d '\000' < "/proc/$(cat "/var/lib/rkt-test/pods/run/$uuid/ppid")/attr/current")"
rkt stop "$uuid" > /dev/null
wait $pid
