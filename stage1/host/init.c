/*
 * The first process of a pod of the host flavor, in the place of the host's systemd, which it becomes.
 *
 * systemd-nspawn leaves its init an inheritable set (capabilities(7)) of all that the pod may have. Up to version 255 systemd emptied it for each service; later ones leave it as it is. In an
 * app it would give programs with inheritable file capabilities rights that their user has not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYSTEMD "/usr/lib/rkt/systemd"

int main(int argc, char **argv)
{
	(void)argc;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &header, sets) != 0) goto failed;
	for (int index = 0; index < _LINUX_CAPABILITY_U32S_3; index++) sets[index].inheritable = 0;
	if (syscall(SYS_capset, &header, sets) != 0) goto failed;
	execv(SYSTEMD, argv);
failed:
	fprintf(stderr, "init: Cannot become " SYSTEMD ": %s\n", strerror(errno));
	return 1;
}
