/*
 * Instructions of rkt for this pod, one a line: words with a space between them, %XX for what is no plain character in one. Every path is resolved in the root of the app
 * that the last "app" named. Nothing of the pod runs yet; a link of an image must still not lead one app into another.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "guest.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x04
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif
struct attributes { unsigned long long set, clear, propagation, userns; };
enum { READ_ONLY = 1, MOST = 256 };

static int root = -1;              /* of the app */
static int taken[MOST];            /* mounts that go on top of others later */
static char *memory_names[MOST];   /* memory that apps share, by name */
static int memory[MOST], memories;

int open_in(int from, const char *path, int flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	while (*path == '/') path++;
	return syscall(SYS_openat2, from, *path == '\0' ? "." : path, &how, sizeof how);
}

/* Opened as a directory where it is one: only then the kernel mounts there what the host has mounted. */
static int place(const char *path)
{
	int fd = open_in(root, path, O_PATH | O_DIRECTORY);
	if (fd < 0 && errno == ENOTDIR) fd = open_in(root, path, O_PATH);
	if (fd < 0) die("find", path);
	return fd;
}

static int clone_of(int fd, int recursive)
{
	int tree = syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
	if (tree < 0) die("clone", "a mount");
	return tree;
}

static void set_read_only(int fd, int recursive)
{
	struct attributes attributes = { .set = READ_ONLY };
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes, sizeof attributes) < 0)
		die("make read-only", "a mount");
}

static void attach(int tree, const char *path)
{
	int at = place(path);
	if (syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) die("mount at", path);
	close(at);
	close(tree);
}

static void mount_at(const char *path, const char *type, unsigned long flags, const char *data)
{
	char name[32];
	int at = place(path);
	snprintf(name, sizeof name, "/proc/self/fd/%d", at);
	if (mount(type, name, type, flags, data) < 0) die("mount at", path);
	close(at);
}

/* Memory of this name: what an app has mounted before, or new. */
static void shared_memory(const char *name, const char *path, const char *data, int read_only)
{
	int at = 0;
	while (at < memories && strcmp(memory_names[at], name) != 0) at++;
	if (at == memories) {
		if (memories == MOST) die("mount", name);
		mount_at(path, "tmpfs", MS_NOSUID | MS_NODEV, data);
		memory_names[memories] = strdup(name);
		memory[memories++] = place(path);
	} else attach(clone_of(memory[at], 0), path);
	if (!read_only) return;
	int fd = place(path);
	set_read_only(fd, 0);
	close(fd);
}

static void make(int dev, const char *name, mode_t mode, int major, int minor)
{
	if (mknodat(dev, name, mode, makedev(major, minor)) < 0) die("make", name);
}

/* As stage1/nspawn/dev.ts does it on a host. */
static void make_devices(char **words, int count)
{
	static const struct { const char *name, *target; } links[] = {
		{ "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "ptmx", "pts/ptmx" }, { "log", "/run/systemd/journal/dev-log" },
	};
	const char *journal = "-";
	mount_at("/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=1k");
	int dev = place("/dev");
	umask(0);
	if (mkdirat(dev, "pts", 0755) < 0 || mkdirat(dev, "shm", 0755) < 0 || mkdirat(dev, "net", 0755) < 0) die("make", "/dev");
	for (unsigned i = 0; i < sizeof links / sizeof *links; i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0) die("make", links[i].name);
	for (int i = 1; i < count; i++) {
		if (strcmp(words[i], "console") == 0) make(dev, "console", S_IFREG | 0600, 0, 0);
		else if (strncmp(words[i], "stdout=", 7) == 0) journal = words[i] + 7;
	}
	if (strcmp(journal, "output") == 0) make(dev, "output", S_IFREG | 0600, 0, 0);
	if (symlinkat(*journal == '-' ? "/proc/self/fd/1" : journal, dev, "stdout") < 0) die("make", "stdout");
	if (symlinkat(*journal == '-' ? "/proc/self/fd/2" : journal, dev, "stderr") < 0) die("make", "stderr");
	make(dev, "null", S_IFCHR | 0666, 1, 3);
	make(dev, "zero", S_IFCHR | 0666, 1, 5);
	make(dev, "full", S_IFCHR | 0666, 1, 7);
	make(dev, "random", S_IFCHR | 0666, 1, 8);
	make(dev, "urandom", S_IFCHR | 0666, 1, 9);
	make(dev, "tty", S_IFCHR | 0666, 5, 0);
	umask(022);
	close(dev);
	mount_at("/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=620,gid=5,ptmxmode=666");
	shared_memory("", "/dev/shm", "mode=1777", 0);
}

static void write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0) die("write", path);
	close(fd);
}

/* What a volume lies on, below a mount of the guest's own; its parent is there. */
static void make_place(const char *kind, char *path)
{
	char *slash = strrchr(path, '/');
	*slash = '\0';
	int parent = place(path);
	*slash = '/';
	int made = *kind == 'd' ? mkdirat(parent, slash + 1, 0755) : mknodat(parent, slash + 1, S_IFREG | 0644, 0);
	if (made < 0 && errno != EEXIST) die("make", path);
	close(parent);
}

static void instruct(char **words, int count)
{
	const char *what = words[0];
	int number = count > 1 ? atoi(words[1]) : 0;
	if (strcmp(what, "app") == 0 && count == 2) {
		int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		root = slash;
		int plain = place(words[1]);
		/* A mount of its own, so that read-only is this app's alone. */
		attach(clone_of(plain, 1), words[1]);
		root = place(words[1]);
		close(plain);
		close(slash);
	} else if (strcmp(what, "take") == 0 && count == 3 && number >= 0 && number < MOST) {
		int fd = place(words[2]);
		taken[number] = clone_of(fd, 1);
		close(fd);
	} else if (strcmp(what, "put") == 0 && count == 4 && number >= 0 && number < MOST) {
		if (strcmp(words[3], "ro") == 0) set_read_only(taken[number], 1);
		attach(taken[number], words[2]);
	} else if (strcmp(what, "make") == 0 && count == 3) make_place(words[1], words[2]);
	else if (strcmp(what, "dev") == 0) make_devices(words, count);
	else if (strcmp(what, "memory") == 0 && count == 5) shared_memory(words[1], words[2], words[3], strcmp(words[4], "ro") == 0);
	else if (strcmp(what, "readonly") == 0) set_read_only(root, 0);
	else if (strcmp(what, "set") == 0 && count == 3) write_setting(words[1], words[2]);
	else if (strcmp(what, "link") == 0 || strcmp(what, "address") == 0 || strcmp(what, "route") == 0) network_line(words, count);
	else errno = EINVAL, die("carry out", what);
}

/* In place: %XX is one character, and a plain "-" is the empty word. */
static char *decoded(char *word)
{
	char *to = word;
	for (const char *from = word; *from != '\0'; from++) {
		unsigned value;
		if (*from == '%' && sscanf(from + 1, "%2x", &value) == 1) *to++ = (char)value, from += 2;
		else *to++ = *from;
	}
	*to = '\0';
	return word;
}

void run_plan(const char *path)
{
	char *line = NULL, *words[16];
	size_t size = 0;
	FILE *file = fopen(path, "re");
	if (file == NULL) die("read", path);
	while (getline(&line, &size, file) > 0) {
		int count = 0;
		for (char *word = strtok(line, " \n"); word != NULL && count < 16; word = strtok(NULL, " \n")) words[count++] = decoded(word);
		if (count > 0) instruct(words, count);
	}
	free(line);
	fclose(file);
}
