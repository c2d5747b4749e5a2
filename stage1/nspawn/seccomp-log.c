/*
 * What an app's filter would deny, counted and let through: `--seccomp=mode=log` (docs/decisions/0013). Two programs in one file.
 *
 * seccomp-log PROGRAM ARGUMENTS…: in the app, in its place. Installs the filter of /dev/rkt/seccomp/filter (log-filter.ts), which asks instead of denying, hands
 * the descriptor that is asked to the recorder, and executes the program, which keeps the process.
 *
 * seccomp-log --record APP: the recorder, in the pod, outside of the app. Takes such descriptors at /rkt/seccomp/APP/socket, lets every call go on
 * (seccomp_unotify(2), SECCOMP_USER_NOTIF_FLAG_CONTINUE), and keeps lines `NAME COUNT` in /rkt/denied/APP. It decides nothing, so it does not matter that a call's
 * arguments can change between question and answer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { CALLS = 1024, LISTENERS = 256, NAME = 40 };
/* systemd.exec(5): what systemd says itself when a program cannot be executed, and when a filter cannot be installed. */
enum { NOT_EXECUTED = 203, NOT_FILTERED = 228 };

static struct call { unsigned architecture, number; unsigned long count; char name[NAME]; } calls[CALLS];
static size_t known;
static volatile sig_atomic_t ending;
static void end(int signal) { (void)signal; ending = 1; }

static void fail(int status, const char *what)
{
	fprintf(stderr, "seccomp-log: Cannot %s: %s\n", what, strerror(errno));
	exit(status);
}

static int connect_to(const char *path, int listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || strlen(path) >= sizeof address.sun_path) return -1;
	strcpy(address.sun_path, path);
	if (!listens) return connect(fd, (void *)&address, sizeof address) == 0 ? fd : -1;
	unlink(path);
	if (bind(fd, (void *)&address, sizeof address) != 0 || chmod(path, 0666) != 0 || listen(fd, 64) != 0) return -1;
	return fd;
}

static int send_descriptor(int to, int fd)
{
	char byte = 0;
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	return sendmsg(to, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/*
 * The filter may ask about the very calls that would hand the descriptor over, and nobody would answer yet: a process without the filter, which has the same
 * descriptors, does it. Its parent ends at once, so that the app is not left with a child that it never made.
 */
static int start_sender(int recorder, volatile int *listener)
{
	long child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (child != 0) return child < 0 ? -1 : waitpid(child, NULL, 0) < 0 ? -1 : 0;
	if (syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0) != 0) _exit(0);
	for (int turns = 0; *listener < 0 && turns < 100000; turns++) nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	_exit(*listener >= 0 ? send_descriptor(recorder, *listener) : 1);
}

static void run(char **argv)
{
	static struct sock_filter instructions[BPF_MAXINSNS];
	int file = open("/dev/rkt/seccomp/filter", O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, instructions, sizeof instructions);
	if (length <= 0) fail(NOT_FILTERED, "read the filter");
	close(file);
	int recorder = connect_to("/dev/rkt/seccomp/socket", 0);
	if (recorder < 0) fail(NOT_FILTERED, "reach the recorder");
	volatile int *listener = mmap(NULL, sizeof *listener, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (listener == MAP_FAILED) fail(NOT_FILTERED, "share memory");
	*listener = -1;
	if (start_sender(recorder, listener) != 0) fail(NOT_FILTERED, "start a process");
	struct sock_fprog program = { .len = (unsigned short)(length / sizeof *instructions), .filter = instructions };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(NOT_FILTERED, "forgo new privileges");
	/* Where the kernel has it (5.19), a signal does not interrupt a call that is being asked about. */
	int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0) fail(NOT_FILTERED, "install the filter");
	*listener = fd;
	execv(argv[0], argv);
	fail(NOT_EXECUTED, argv[0]);
}

static void read_names(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) fail(1, "read the names of the calls");
	while (known < CALLS && fscanf(file, "%u %u %39s", &calls[known].architecture, &calls[known].number, calls[known].name) == 3) known++;
	fclose(file);
}

/* True when nobody had made this call before. */
static int count_call(unsigned architecture, unsigned number)
{
	size_t at = 0;
	while (at < known && (calls[at].number != number || calls[at].architecture != architecture)) at++;
	if (at == CALLS) return 0;
	if (at == known) {
		calls[known] = (struct call){ .architecture = architecture, .number = number };
		snprintf(calls[known++].name, NAME, "%u", number);
	}
	return calls[at].count++ == 0;
}

/* How often the call of this name was made, by either table's number; 0 for all but the first of that name. */
static unsigned long total(size_t at)
{
	unsigned long sum = 0;
	for (size_t other = 0; other < known; other++) {
		if (strcmp(calls[other].name, calls[at].name) != 0) continue;
		if (other < at && calls[other].count > 0) return 0;
		sum += calls[other].count;
	}
	return calls[at].count > 0 ? sum : 0;
}

static void save(const char *path)
{
	char next[300];
	snprintf(next, sizeof next, "%s.new", path);
	int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file == NULL) return;
	for (size_t at = 0; at < known; at++)
		if (total(at) > 0) fprintf(file, "%s %lu\n", calls[at].name, total(at));
	if (fclose(file) == 0) rename(next, path);
}

/* A descriptor that an app sent; -1 when it sent anything but one that is asked about calls. */
static int take_listener(int connection)
{
	char byte;
	int fd = -1;
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) return errno == EAGAIN ? -2 : -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(header), sizeof fd);
	unsigned long long none = 0;
	if (fd >= 0 && ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none) != 0 && errno != ENOENT) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The kernel's structures may be longer than those that this was compiled with. */
static union { struct seccomp_notif notification; char room[1024]; } asked;
static union { struct seccomp_notif_resp response; char room[1024]; } answer;

/* True when there is something new to save. */
static int answer_call(int listener)
{
	memset(&asked, 0, sizeof asked);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return 0;
	memset(&answer, 0, sizeof answer);
	answer.response.id = asked.notification.id;
	answer.response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	return count_call(asked.notification.data.arch, (unsigned)asked.notification.data.nr);
}

static void tell(const char *app)
{
	char id[33] = "", text[4096];
	size_t length = 0, different = 0;
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, id, 32) != 32) memset(id, '0', 32);
	for (size_t at = 0; at < known; at++) {
		if (total(at) == 0) continue;
		different++;
		if (length < sizeof text - 100)
			length += (size_t)snprintf(text + length, sizeof text - length, "%s%s (%lu)", length > 0 ? ", " : "", calls[at].name, total(at));
	}
	if (different == 0) fprintf(stderr, "rkt: app \"%s\" made no system call that its filter denies\n", app);
	else
		fprintf(stderr, "rkt: app \"%s\" made system calls that its filter denies: %s\nrkt: a profile that allows them: rkt seccomp-profile --app=%s %.8s-%.4s-%.4s-%.4s-%s\n",
			app, text, app, id, id + 8, id + 12, id + 16, id + 20);
}

static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (path == NULL || fd < 0 || strlen(path) >= sizeof address.sun_path) return;
	strcpy(address.sun_path, path);
	sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (void *)&address, sizeof address);
	close(fd);
}

static int record(const char *app)
{
	char directory[256], path[300], saved[256];
	static struct pollfd watched[LISTENERS];
	static int connects[LISTENERS];
	snprintf(directory, sizeof directory, "/rkt/seccomp/%s", app);
	snprintf(saved, sizeof saved, "/rkt/denied/%s", app);
	snprintf(path, sizeof path, "%s/names", directory);
	read_names(path);
	snprintf(path, sizeof path, "%s/socket", directory);
	watched[0] = (struct pollfd){ connect_to(path, 1), POLLIN, 0 };
	if (watched[0].fd < 0) fail(1, "listen for the app");
	struct sigaction action = { .sa_handler = end };
	sigaction(SIGTERM, &action, NULL);
	save(saved);
	notify_ready();
	size_t count = 1;
	int changed = 0;
	/* The app has ended when it is told to end itself; what is still on its way is waited for. */
	while (!ending || count > 1) {
		int ready = poll(watched, count, ending ? 100 : changed ? 500 : -1);
		int fresh = 0;
		if (ready == 0 && ending) break;
		if (ready > 0 && watched[0].revents != 0) {
			int fd = accept4(watched[0].fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0 && count == LISTENERS) close(fd);
			else if (fd >= 0) {
				connects[count] = 1;
				watched[count++] = (struct pollfd){ fd, POLLIN, 0 };
			}
		}
		for (size_t at = count; ready > 0 && at-- > 1;) {
			int fd = watched[at].fd, revents = watched[at].revents;
			watched[at].revents = 0;
			if (revents == 0) continue;
			if (connects[at]) {
				int listener = take_listener(fd);
				if (listener == -2) continue;
				close(fd);
				connects[at] = 0;
				watched[at].fd = listener;
			} else if (revents & POLLIN) {
				fresh |= answer_call(fd);
				changed = 1;
				continue;
			} else close(fd), watched[at].fd = -1;
			if (watched[at].fd < 0) {
				watched[at] = watched[--count];
				connects[at] = connects[count];
			}
		}
		if (fresh || (ready == 0 && changed)) {
			save(saved);
			changed = 0;
		}
	}
	save(saved);
	tell(app);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--record") == 0) return record(argv[2]);
	if (argc < 2) return 2;
	run(argv + 1);
}
