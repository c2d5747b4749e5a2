#!/bin/sh
# Runs as an app and prints what a process of the app finds itself to be: one fact a line, NAME VALUE. It decides nothing; the cases that read it do.
# Needs a static busybox as /bin/sh and nothing else of the image.
me=/proc/$$
for one in cgroup ipc mnt net pid user uts; do echo "namespace.$one $(readlink $me/ns/$one)"; done
while IFS=":	 " read -r name value; do
  case $name in Uid | Gid | Groups | Cap* | NoNewPrivs | Seccomp | SigIgn | SigBlk) echo "status.$name" $value ;; esac
done < $me/status
sed -n '2,$s/^\(.\{25\}\) \([^ ]*\)  *\([^ ]*\).*/limit.\1=\2:\3/p' $me/limits | tr -s ' ' _ | sed 's/_*=/ /'
while read -r _ _ _ root target options rest; do
  set -- ${rest#*- }
  echo "mount.$target $1 $options $3 $root"
done < $me/mountinfo
env | sed -n 's/^\([A-Za-z_0-9]*\)=/variable.\1 /p'
echo "directory $(pwd)"
echo "umask $(umask)"
echo "host.name $(hostname)"
echo "boot $(sed -n 's/^btime //p' /proc/stat)"
# Without $(…), which would have a descriptor of its own.
for one in $me/fd/*; do
  printf 'descriptor.%s ' "${one##*/}"
  readlink "$one" || echo
done
for one in /dev/* /dev/net/tun; do [ ! -e "$one" ] || echo "device.$one $(stat -c '%F:%t:%T:%a' "$one" | tr ' ' _)"; done
for one in fd stdin stdout stderr ptmx log; do echo "link./dev/$one $(readlink /dev/$one)"; done
echo "link./etc/mtab $(readlink /etc/mtab)"
for one in hostname hosts resolv.conf; do echo "file./etc/$one $(tr '\n' '|' < /etc/$one 2> /dev/null)"; done
# What tells about the host: hidden is a file without content, a directory without entries, or no permission.
for one in /proc/config.gz /proc/kallsyms /proc/kcore /proc/kmem /proc/mem /proc/sched_debug /sys/firmware /sys/fs /sys/hypervisor /sys/module /sys/power; do
  if [ -d $one ]; then seen=$(ls -A $one 2> /dev/null | head -n 1); else seen=$(head -c 1 $one 2> /dev/null | od -An -tx1); fi
  [ -z "$seen" ] && echo "hidden.$one yes" || echo "hidden.$one no"
done
# What is the kernel's must not be written, by whatever right: opening for writing is enough, nothing is written.
for one in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/panic_on_oom /proc/irq/default_smp_affinity /sys/kernel/uevent_helper /sys/kernel/mm/ksm/run; do
  [ -e $one ] || continue
  (: >> $one) 2> /dev/null && echo "writable.$one yes" || echo "writable.$one no"
done
for one in / /tmp /dev /dev/shm /etc; do (: > "$one/.probe") 2> /dev/null && echo "writable.$one yes" && rm -f "$one/.probe" || echo "writable.$one no"; done
echo "end $*"
