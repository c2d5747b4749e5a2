#!/bin/sh
# Process 1 of the machine that selinux.test.ts starts: loads Debian's policy, makes it enforcing, and does what is asked for by /opt/test/cases.sh. Ends the machine.
# Everything that is said goes to the console; lines that begin with "@" are read by the test.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2> /dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -o remount,rw /
# Every refusal is told: without rules that keep silent, and without a limit of messages.
echo 1 > /proc/sys/kernel/printk
echo 0 > /proc/sys/kernel/printk_ratelimit
modprobe overlay
ip link set lo up
load_policy -i
restorecon -F /dev /dev/pts /run /sys/fs/cgroup 2> /dev/null
setenforce 1
echo "@enforcing $(getenforce) $(cat /proc/self/attr/current | tr -d '\000')"
# As a root shell of a login has it.
runcon unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023 sh /opt/test/cases.sh 2>&1
echo "@end $?"
# As a service that has no domain of its own, and no categories.
runcon system_u:system_r:initrc_t:s0 sh /opt/test/service.sh 2>&1
dmesg | grep 'avc:.*denied' | sed 's/^/@avc /'
echo o > /proc/sysrq-trigger
sleep 60
