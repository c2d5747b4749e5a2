/*
 * Process 1 of the machine: loads the drivers, mounts the pod's root that the host shares, makes what systemd-nspawn would make (/dev, /proc, /sys, /run), carries out
 * the plan of this pod (plan.c), leaves an agent behind and becomes the pod's systemd, which is told that it is in a container: what a host's systemd does for hardware is
 * done already, and its units are those of an nspawn pod.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

static int control = -1, phases = -1;

void phase(const char *name)
{
	struct timespec now;
	if (phases < 0) return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	dprintf(phases, "phase %s %ld.%06ld\n", name, (long)now.tv_sec, now.tv_nsec / 1000);
}

int write_all(int fd, const void *data, size_t length)
{
	const char *at = data;
	while (length > 0) {
		ssize_t done = write(fd, at, length);
		if (done < 0 && errno == EINTR) continue;
		if (done <= 0) return -1;
		at += done;
		length -= done;
	}
	return 0;
}

void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT); /* A machine that cannot power off: QEMU ends instead of starting it again. */
	for (;;) pause();
}

void die(const char *what, const char *about)
{
	char line[600];
	int length = snprintf(line, sizeof line, "error Cannot %s %s: %s\n", what, about, strerror(errno));
	int log = open("/dev/kmsg", O_WRONLY);
	if (log >= 0 && write(log, line, length) < 0) {}
	if (control < 0) control = open_port(CONTROL_PORT, O_RDWR);
	if (control >= 0) write_all(control, line, length);
	power_off();
}

int open_port(int number, int flags)
{
	char path[32];
	/* The driver learns of its ports one after the other; which of the virtio devices it has is the machine's order. */
	for (int tries = 0; tries < 10000; tries++, usleep(500)) {
		for (int device = 0; device < 16; device++) {
			/* The working directory is the kernel's own /dev. */
			snprintf(path, sizeof path, "vport%dp%d", device, number);
			int fd = open(path, flags | O_CLOEXEC);
			if (fd >= 0 || (errno != ENOENT && errno != ENXIO && errno != ENODEV)) return fd;
		}
	}
	return -1;
}

/* Names, in the order in which they need each other. */
static void load_modules(const char *list)
{
	char name[64], path[128];
	FILE *file = fopen(list, "re");
	if (file == NULL) return;
	while (fscanf(file, "%63s", name) == 1) {
		snprintf(path, sizeof path, "/modules/%s.ko", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT) continue; /* Of another list, and loaded. */
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) die("load the driver", name);
		close(fd);
		unlink(path); /* Its memory is the pod's. */
	}
	fclose(file);
}

static void put(const char *path, const char *type, unsigned long flags, const char *data)
{
	mkdir(path, 0755);
	if (mount(type, path, type, flags, data) < 0 && errno != EBUSY) die("mount", path);
}

static void node(const char *path, mode_t mode, int major, int minor)
{
	if (mknod(path, S_IFCHR | mode, makedev(major, minor)) < 0) die("make", path);
}

/* What is read of a program costs a request for each piece: of a megabyte, which is the most that the file system takes at once (fuse's FUSE_MAX_MAX_PAGES), in place of 128 KB. */
static void read_ahead(void)
{
	struct stat root;
	char path[64];
	if (stat("/", &root) < 0) return;
	snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(root.st_dev), minor(root.st_dev));
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1024", 4) < 0) {}
	if (fd >= 0) close(fd);
}

/* What systemd-nspawn gives a pod's init: few devices, and nothing of the kernel's that can be written. */
static void furnish(void)
{
	static const char *const read_only[] = { "/proc/sys", "/proc/bus", "/proc/irq", "/proc/fs", "/proc/sysrq-trigger" };
	put("/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	put("/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	put("/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=4m,nr_inodes=64k");
	put("/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777");
	put("/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5");
	put("/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=755");
	put("/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777");
	node("/dev/null", 0666, 1, 3);
	node("/dev/zero", 0666, 1, 5);
	node("/dev/full", 0666, 1, 7);
	node("/dev/random", 0666, 1, 8);
	node("/dev/urandom", 0666, 1, 9);
	node("/dev/tty", 0666, 5, 0);
	if (symlink("pts/ptmx", "/dev/ptmx") < 0 || symlink("/proc/self/fd", "/dev/fd") < 0) die("make", "/dev");
	if (symlink("/proc/self/fd/0", "/dev/stdin") < 0 || symlink("/proc/self/fd/1", "/dev/stdout") < 0) die("make", "/dev");
	if (symlink("/proc/self/fd/2", "/dev/stderr") < 0) die("make", "/dev");
	put("/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate");
	read_ahead();
	run_plan("/rkt/vm/settings");
	if (access("/rkt/vm/writable", F_OK) == 0) return;
	for (unsigned i = 0; i < sizeof read_only / sizeof *read_only; i++) {
		if (mount(read_only[i], read_only[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT) die("bind", read_only[i]);
		mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	}
	mount(NULL, "/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* The console is a terminal whose other end is the agent's: who writes much waits, and the rest of the machine does not. */
static int make_console(void)
{
	int locked = 0, number;
	char path[32];
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &locked) < 0 || ioctl(fd, TIOCGPTN, &number) < 0) die("make", "the console");
	snprintf(path, sizeof path, "/dev/pts/%d", number);
	close(open("/dev/console", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	if (mount(path, "/dev/console", NULL, MS_BIND, NULL) < 0) die("mount", "/dev/console");
	return fd;
}

static void enter_root(void)
{
	put("/pod", "virtiofs", 0, NULL);
	if (chdir("/pod") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) die("enter", "the pod's root");
}

/* Words of a file, one a line, for the end of a command line or an environment. */
static int read_words(const char *path, char **words, int most)
{
	char *line = NULL;
	size_t size = 0;
	int count = 0;
	FILE *file = fopen(path, "re");
	if (file == NULL) die("read", path);
	for (ssize_t length; count < most && (length = getline(&line, &size, file)) > 0; count++) {
		if (line[length - 1] == '\n') line[length - 1] = '\0';
		words[count] = strdup(line);
	}
	fclose(file);
	words[count] = NULL;
	return count;
}

/*
 * On the host, before an emulated machine: how fast the processor's counter runs, in kHz. The guest's kernel would find it out with a timer that is emulated as well, and on a busy
 * host it does not.
 */
static int tell_frequency(void)
{
	struct { unsigned long long ticks; double time; } at[2];
	for (int point = 0; point < 2; point++) {
		if (point == 1) usleep(20000);
		/* Both at the same moment: of several tries, that with the least between. */
		for (unsigned long long tries = 0, least = -1ULL, before, after; tries < 20; tries++) {
			struct timespec now;
			before = __builtin_ia32_rdtsc();
			clock_gettime(CLOCK_MONOTONIC_RAW, &now);
			after = __builtin_ia32_rdtsc();
			if (after - before >= least) continue;
			least = after - before;
			at[point].ticks = before + least / 2;
			at[point].time = now.tv_sec * 1e9 + now.tv_nsec;
		}
	}
	printf("%.0f\n", (at[1].ticks - at[0].ticks) * 1e6 / (at[1].time - at[0].time));
	return 0;
}

/*
 * What systemd becomes, as process 1, when the pod is over: every unit has been stopped in its order. The agent passes on what is left of the console and powers the machine off; by then no
 * page of a program can be read any more, so nothing may run here.
 */
static void end_pod(void)
{
	int agent = 0;
	FILE *record = fopen("/run/rkt-agent", "re");
	if (record == NULL || fscanf(record, "%d", &agent) != 1 || agent < 2 || kill(agent, SIGTERM) < 0) power_off();
	for (;;) pause();
}

int main(int argc, char **argv)
{
	if (strstr(argv[0], "systemd-shutdown") != NULL) end_pod();
	if (argc == 2 && strcmp(argv[1], "frequency") == 0) return tell_frequency();
	char *words[64] = { "/usr/lib/systemd/systemd" }, *environment[64];
	umask(0);
	mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
	if (getenv("rkt_phases") != NULL) phases = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	phase("kernel");
	/* Words of the kernel's command line that it does not know itself become variables. */
	load_modules(getenv("rkt_pci") != NULL ? "/modules/pci" : "/modules/mmio");
	if (getenv("rkt_net") != NULL) load_modules("/modules/net");
	if (getenv("rkt_tun") != NULL) load_modules("/modules/tun");
	if (chdir("/dev") < 0) die("find", "/dev");
	control = open_port(CONTROL_PORT, O_RDWR);
	/* Before the pod's root hides the kernel's own /dev. */
	int devices = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	phase("drivers");
	enter_root();
	phase("root");
	umask(022);
	furnish();
	int console = make_console();
	loopback_up();
	run_plan("/rkt/vm/plan");
	read_words("/rkt/vm/words", words + 1, 62);
	read_words("/rkt/vm/environment", environment, 63);
	pid_t child = fork();
	if (child == 0) {
		setsid();
		if (fchdir(devices) < 0) die("find", "the ports");
		agent(console, control);
	}
	FILE *record = fopen("/run/rkt-agent", "we");
	if (record == NULL || fprintf(record, "%d\n", child) < 0 || fclose(record) != 0) die("write", "/run/rkt-agent");
	close(control);
	phase("furnish");
	int tty = open("/dev/console", O_RDWR | O_NOCTTY);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(tty, fd) < 0) die("open", "/dev/console");
	if (tty > 2) close(tty);
	/* Nothing loads a driver from here on, whatever it becomes. */
	prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE);
	execve(words[0], words, environment);
	die("execute", words[0]);
}
