/*
 * One port for who enters, one session after the other: rkt says what is to run in which app, the pod's systemd starts it as an instance of the app's enter unit, with the
 * app's rights (stage1/nspawn/units.ts), and its streams go both ways. Frames: a letter, the length (16 bits, little-endian), that many bytes.
 * From rkt: H ID until the same comes back, N "APP ID", U "UID GID" (who must be known), S lines of the unit, V its environment, T "ROWS COLUMNS" (a terminal is wanted), G (go); then I input (empty: its end), W "ROWS COLUMNS".
 * To rkt: H ID (what was said before was for the session before, or is lost), O output, R errors, X the status, F why there is none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

enum { LARGEST = 65535, PATIENCE = 30000 };

static int port;
static char frame[LARGEST + 1];
static size_t frame_length;

static struct session {
	char app[256], id[64], unit[400];
	int terminal, rows, columns;
	int waits;                     /* nobody has opened the FIFO of the input to read yet */
	size_t pending;                /* bytes of the frame that the command has not taken yet */
	int in, out, error, held;      /* -1: closed; held: the terminal's other end */
} now;

/* The letter; 0 when the host's side was closed. */
static int read_frame(void)
{
	unsigned char head[3];
	for (size_t at = 0, wanted = 3; at < wanted;) {
		ssize_t got = read(port, at < 3 ? (void *)(head + at) : (void *)(frame + at - 3), at < 3 ? 3 - at : wanted - at);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) return 0;
		at += got;
		if (at == 3) wanted = 3 + (head[1] | head[2] << 8);
		frame_length = wanted - 3;
	}
	frame[frame_length] = '\0';
	return head[0];
}

static int send_frame(char letter, const char *data, size_t length)
{
	unsigned char head[3] = { letter, length & 255, length >> 8 };
	return write_all(port, head, 3) < 0 || write_all(port, data, length) < 0 ? -1 : 0;
}

static void fail(const char *what)
{
	char text[300];
	send_frame('F', text, snprintf(text, sizeof text, "%s: %s", what, strerror(errno)));
}

static void path_of(char *path, size_t size, const char *name) { snprintf(path, size, "/run/rkt/%s/%s", now.id, name); }

static int write_file(const char *path, const char *mode, const char *text)
{
	FILE *file = fopen(path, mode);
	if (file == NULL) return -1;
	fputs(text, file);
	return fclose(file);
}

/* systemd refuses numbers that its own files lack (statuses 216 and 217); what they are called means nothing to the apps. */
static void know(const char *text)
{
	unsigned uid, gid;
	char line[128];
	if (sscanf(text, "%u %u", &uid, &gid) != 2) return;
	snprintf(line, sizeof line, "u%u:x:%u:%u::/:/bin/sh\n", uid, uid, gid);
	write_file("/etc/passwd", "ae", line);
	snprintf(line, sizeof line, "g%u:x:%u:\n", gid, gid);
	write_file("/etc/group", "ae", line);
}

static int make_fifo(const char *name)
{
	char path[128];
	path_of(path, sizeof path, name);
	return mkfifo(path, 0600) < 0 ? -1 : open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* Of the app's own terminals, so that the command finds its terminal by name. */
static int make_terminal(char *lines, size_t size)
{
	char path[400];
	int locked = 0, number;
	snprintf(path, sizeof path, "/opt/stage2/%s/rootfs/dev/pts/ptmx", now.app);
	now.in = now.out = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (now.out < 0 || ioctl(now.out, TIOCSPTLCK, &locked) < 0 || ioctl(now.out, TIOCGPTN, &number) < 0) return -1;
	struct winsize window = { .ws_row = now.rows, .ws_col = now.columns };
	ioctl(now.out, TIOCSWINSZ, &window);
	snprintf(path, sizeof path, "/opt/stage2/%s/rootfs/dev/pts/%d", now.app, number);
	now.held = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	snprintf(lines, size, "StandardInput=tty\nStandardOutput=tty\nStandardError=tty\nTTYPath=%s\nTTYReset=no\n", path);
	return now.held < 0 ? -1 : 0;
}

static int make_files(char *lines, size_t size)
{
	char out[128];
	path_of(out, sizeof out, "stdin");
	now.out = make_fifo("stdout");
	now.error = make_fifo("stderr");
	if (now.out < 0 || now.error < 0 || mkfifo(out, 0600) < 0) return -1;
	now.waits = 1;
	path_of(out, sizeof out, "std");
	snprintf(lines, size, "StandardInput=file:%sin\nStandardOutput=file:%sout\nStandardError=file:%serr\n", out, out, out);
	return 0;
}

static int start(void)
{
	char lines[1024], path[512];
	snprintf(now.unit, sizeof now.unit, "enter-%s@%s.service", now.app, now.id);
	if ((now.terminal ? make_terminal(lines, sizeof lines) : make_files(lines, sizeof lines)) < 0) return -1;
	snprintf(path, sizeof path, "/run/systemd/system/%s.d/streams.conf", now.unit);
	char *text = NULL;
	if (asprintf(&text, "[Service]\n%s", lines) < 0 || write_file(path, "we", text) < 0) return -1;
	free(text);
	pid_t child = fork();
	if (child == 0) {
		execl("/usr/bin/systemctl", "systemctl", "--no-block", "--quiet", "start", now.unit, (char *)NULL);
		_exit(127);
	}
	int status = 0;
	return waitpid(child, &status, 0) == child && status == 0 ? 0 : (errno = EIO, -1);
}

/* systemd and this program open it at the same moment, as FIFOs do: an end of the input is none before the command has seen its beginning. */
static void open_input(void)
{
	char path[128];
	path_of(path, sizeof path, "stdin");
	now.in = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	now.waits = now.in < 0 && errno == ENXIO;
}

static void close_all(void)
{
	int *const all[] = { &now.in, &now.out, &now.error, &now.held };
	for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
		if (*all[i] >= 0 && !(all[i] == &now.in && now.terminal)) close(*all[i]);
		*all[i] = -1;
	}
}

/* 1: something was passed on. */
static int pass_on(int fd, char letter)
{
	char data[16384];
	ssize_t got = fd < 0 ? -1 : read(fd, data, sizeof data);
	return got > 0 && send_frame(letter, data, got) == 0;
}

static void take_input(int letter)
{
	struct winsize window = { 0 };
	if (letter == 'W' && sscanf(frame, "%hu %hu", &window.ws_row, &window.ws_col) == 2) ioctl(now.out, TIOCSWINSZ, &window);
	if (letter != 'I' || now.in < 0) return;
	if (frame_length > 0) now.pending = frame_length;
	else if (!now.terminal) close(now.in), now.in = -1;
}

/* The frame is kept until the command has taken it; meanwhile no other one is read, but output is passed on. */
static void give_input(void)
{
	ssize_t done = write(now.in, frame + frame_length - now.pending, now.pending);
	if (done > 0) now.pending -= done;
	else if (errno != EAGAIN) now.pending = 0; /* It reads no more. */
}

/* What command-ended has left; NULL while the command runs. */
static char *status_of(void)
{
	static char status[16];
	char path[128];
	snprintf(path, sizeof path, "/rkt/enter/%s/status", now.id);
	FILE *file = fopen(path, "re");
	if (file == NULL) return NULL;
	int read = fscanf(file, "%15[0-9]", status);
	fclose(file);
	return read == 1 ? status : NULL;
}

static void relay(void)
{
	for (char *status = NULL;;) {
		if (now.waits) open_input();
		struct pollfd polled[] = { { .fd = port, .events = now.waits || now.pending ? 0 : POLLIN }, { .fd = now.out, .events = POLLIN },
			{ .fd = now.error, .events = POLLIN }, { .fd = now.pending ? now.in : -1, .events = POLLOUT } };
		int ready = poll(polled, 4, 20);
		int passed = (polled[1].revents & POLLIN ? pass_on(now.out, 'O') : 0) + (polled[2].revents & POLLIN ? pass_on(now.error, 'R') : 0);
		if (ready > 0 && polled[0].revents & POLLHUP) return; /* Nobody waits for it any more. */
		if (ready > 0 && polled[3].revents) give_input();
		else if (ready > 0 && polled[0].revents & POLLIN) {
			int letter = read_frame();
			if (letter == 0 || (letter == 'H' && strcmp(frame, now.id) != 0)) return; /* Another one has taken its place. */
			take_input(letter);
		}
		if (status != NULL && passed == 0) {
			send_frame('X', status, strlen(status));
			return;
		}
		if (passed == 0) status = status_of();
	}
}

static void clean_up(void)
{
	static const char *const names[] = { "stdin", "stdout", "stderr", "environment" };
	char path[600];
	pid_t child = fork();
	if (child == 0) {
		execl("/usr/bin/systemctl", "systemctl", "--no-block", "--quiet", "stop", now.unit, (char *)NULL);
		_exit(127);
	}
	waitpid(child, NULL, 0);
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) path_of(path, sizeof path, names[i]), unlink(path);
	path_of(path, sizeof path, "."), rmdir(path);
	snprintf(path, sizeof path, "/run/systemd/system/%s.d/command.conf", now.unit), unlink(path);
	snprintf(path, sizeof path, "/run/systemd/system/%s.d/streams.conf", now.unit), unlink(path);
	snprintf(path, sizeof path, "/run/systemd/system/%s.d", now.unit), rmdir(path);
	snprintf(path, sizeof path, "/rkt/enter/%s/status", now.id), unlink(path);
	snprintf(path, sizeof path, "/rkt/enter/%s", now.id), rmdir(path);
}

/* The files of the session; a name is one word without a slash: rkt made it. */
static int name_session(void)
{
	char path[600];
	if (sscanf(frame, "%255s %63s", now.app, now.id) != 2 || strchr(now.app, '/') != NULL || strchr(now.id, '/') != NULL) return -1;
	mkdir("/rkt/enter", 0700), mkdir("/run/rkt", 0700), mkdir("/run/systemd/system", 0755);
	snprintf(path, sizeof path, "/rkt/enter/%s", now.id), mkdir(path, 0700);
	snprintf(path, sizeof path, "/run/rkt/%s", now.id), mkdir(path, 0700);
	snprintf(path, sizeof path, "/run/systemd/system/enter-%s@%s.service.d", now.app, now.id);
	return mkdir(path, 0755);
}

static int prepare(int letter)
{
	char path[600];
	if (letter == 'H') return send_frame('H', frame, frame_length);
	if (letter == 'N') return name_session();
	if (letter == 'U') know(frame);
	if (letter == 'T') now.terminal = sscanf(frame, "%d %d", &now.rows, &now.columns) == 2;
	if (letter == 'S') {
		snprintf(path, sizeof path, "/run/systemd/system/enter-%s@%s.service.d/command.conf", now.app, now.id);
		return write_file(path, "we", frame);
	}
	if (letter == 'V') {
		path_of(path, sizeof path, "environment");
		return write_file(path, "we", frame);
	}
	return 0;
}

/* The driver tells by a signal when the host's side is opened; until then the port reads as closed. */
static void await_connection(void)
{
	struct timespec long_enough = { .tv_sec = 3600 };
	sigset_t changed;
	sigemptyset(&changed);
	sigaddset(&changed, SIGIO);
	sigprocmask(SIG_BLOCK, &changed, NULL);
	fcntl(port, F_SETOWN, getpid());
	fcntl(port, F_SETFL, O_RDWR | O_ASYNC);
	for (struct pollfd polled = { .fd = port, .events = POLLIN }; poll(&polled, 1, 0) > 0 && polled.revents & POLLHUP;)
		sigtimedwait(&changed, NULL, &long_enough);
}

void serve_sessions(int number)
{
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_NAME, "rkt-session");
	while (access("/run/systemd/private", F_OK) < 0) usleep(20000); /* Nobody could start a command yet, and /run is not what it will be. */
	for (;;) {
		port = open_port(number, O_RDWR);
		if (port < 0) _exit(1);
		await_connection();
		now = (struct session){ .in = -1, .out = -1, .error = -1, .held = -1 };
		int letter = read_frame(), prepared = 0;
		while (letter != 0 && letter != 'G' && (prepared = prepare(letter)) == 0) letter = read_frame();
		if (letter == 'G' && start() == 0) relay();
		else if (letter == 'G' || prepared < 0) fail("Cannot start the command");
		close_all();
		if (now.id[0] != '\0') clean_up();
		close(port);
	}
}
