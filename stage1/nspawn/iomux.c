/*
 * iomux APP: stands between an app and whoever attaches to it. Runs in the pod, one for each app that asks for it, before the app (docs/decisions/0009).
 * In /rkt/iottymux/APP it makes a FIFO for each stream (stage2-stdin, -stdout, -stderr), or a terminal (stage2-pts, a link), and listens at sock-NAME. What the
 * app writes goes to every client, and to a log in the kubelet's form; what clients write goes to the app, whole lines at a time.
 * A client that does not read loses its connection, never the app its pace. Environment: STAGE2_STDIN, STAGE2_STDOUT, STAGE2_STDERR, STAGE2_TTY, each where wanted;
 * STAGE1_LOGMODE=k8s-plain with KUBERNETES_LOG_PATH, relative to /rkt/kubernetes/log.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { IN, OUT, ERR, TTY, STREAMS };
enum { CHUNK = 16384, BACKLOG = 1 << 20, CLIENTS = 64 };
static const char *const names[STREAMS] = { "stdin", "stdout", "stderr", "tty" };

static struct stream {
	int fd, listener;          /* -1: the app has no such stream */
	char line[CHUNK], pending[CHUNK];
	size_t length, waiting;    /* of the line, for the log, that has not ended; of what is pending for the app */
} streams[STREAMS];

static struct client {
	int fd, stream;            /* fd -1: free */
	char line[CHUNK], *backlog;
	size_t length, size;       /* of the line, from the client, that has not ended; of the backlog, for the client */
} clients[CLIENTS];
static char *log_path;
static int log_fd = -1;
static volatile sig_atomic_t ending;
static void end(int signal) { (void)signal; ending = 1; }

static void die(const char *what)
{
	fprintf(stderr, "iomux: Cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The kubelet rotates by renaming: a file that is no longer at its path is let go. */
static void open_log(void)
{
	struct stat there, ours;
	if (log_fd >= 0 && stat(log_path, &there) == 0 && fstat(log_fd, &ours) == 0 && there.st_ino == ours.st_ino
	    && there.st_dev == ours.st_dev)
		return;
	if (log_fd >= 0) close(log_fd);
	for (char *slash = strchr(log_path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(log_path, 0755);
		*slash = '/';
	}
	log_fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
}

/* TIME STREAM TAG TEXT; the tag is P for the first parts of a line that is too long, F for a line or its last part. One write: lines stay whole. */
static void log_line(int stream, char tag, const char *text, size_t length)
{
	static char record[CHUNK + 128];
	char second[32];
	struct timespec now;
	struct tm utc;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &utc);
	int head = snprintf(record, 128, "%s.%09ldZ %s %c ", second, now.tv_nsec, stream == ERR ? "stderr" : "stdout", tag);
	memcpy(record + head, text, length);
	record[head + length] = '\n';
	if (log_fd >= 0 && write(log_fd, record, head + length + 1) < 0) close(log_fd), log_fd = -1;
}

static void log_output(int index, const char *data, size_t length)
{
	struct stream *stream = &streams[index];
	if (log_path == NULL || length == 0) return;
	open_log();
	for (size_t at = 0; at < length; at++) {
		int ends = data[at] == '\n';
		if (!ends) stream->line[stream->length++] = data[at];
		else if (index == TTY && stream->length > 0 && stream->line[stream->length - 1] == '\r') stream->length--;
		if (!ends && stream->length < CHUNK) continue;
		log_line(index, ends ? 'F' : 'P', stream->line, stream->length);
		stream->length = 0;
	}
}

static void drop(struct client *client)
{
	close(client->fd);
	free(client->backlog);
	*client = (struct client){ .fd = -1 };
}

static void flush_client(struct client *client)
{
	ssize_t sent = send(client->fd, client->backlog, client->size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN) drop(client);
	if (sent <= 0) return;
	client->size -= sent;
	memmove(client->backlog, client->backlog + sent, client->size);
}

/* What the client does not take now is kept: up to a limit, where the client has fallen too far behind. */
static void send_client(struct client *client, const char *data, size_t length)
{
	char *grown = client->size + length > BACKLOG ? NULL : realloc(client->backlog, client->size + length);
	if (grown == NULL) { drop(client); return; }
	memcpy(grown + client->size, data, length);
	client->backlog = grown;
	client->size += length;
	flush_client(client);
}

static int read_app(int index)
{
	char data[CHUNK];
	ssize_t got = read(streams[index].fd, data, sizeof data);
	if (got <= 0) return 0;
	log_output(index, data, got);
	for (struct client *client = clients; client < clients + CLIENTS; client++)
		if (client->fd >= 0 && client->stream == index) send_client(client, data, got);
	return 1;
}

static void write_app(struct stream *stream)
{
	ssize_t done = write(stream->fd, stream->pending, stream->waiting);
	if (done <= 0) return;
	stream->waiting -= done;
	memmove(stream->pending, stream->pending + done, stream->waiting);
}

/* Only called when nothing is pending, so there is room for a client's buffer. A terminal takes each byte as it is typed. */
static void read_client(struct client *client)
{
	struct stream *stream = &streams[client->stream];
	ssize_t got = recv(client->fd, client->line + client->length, CHUNK - client->length, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN) return;
	size_t size = client->length + (got > 0 ? got : 0), whole = size;
	if (client->stream == IN && got > 0 && size < CHUNK)
		while (whole > 0 && client->line[whole - 1] != '\n') whole--;
	if (client->stream == IN || client->stream == TTY) {
		memcpy(stream->pending, client->line, whole);
		stream->waiting = whole;
		write_app(stream);
	} else whole = size; /* nobody reads what is written to an output */
	memmove(client->line, client->line + whole, size - whole);
	client->length = size - whole;
	if (got <= 0) drop(client);
}

static void accept_client(int index)
{
	int fd = accept4(streams[index].listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	for (struct client *client = clients; fd >= 0 && client < clients + CLIENTS; client++) {
		if (client->fd >= 0) continue;
		*client = (struct client){ .fd = fd, .stream = index };
		return;
	}
	if (fd >= 0) close(fd);
}

/* Held open at both ends: neither the app's end nor its start waits for the other. Anew each time, so that nothing old is in it. */
static int make_fifo(const char *name)
{
	char path[32];
	snprintf(path, sizeof path, "stage2-%s", name);
	unlink(path);
	if (mkfifo(path, 0666) < 0) die("make a FIFO");
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) die("open a FIFO");
	return fd;
}

/* Of the app's own terminals, so that it finds its terminal by name. The other end stays open: between two starts of the app there is no hang-up. */
static int make_terminal(const char *app)
{
	char path[600];
	int locked = 0, number;
	snprintf(path, sizeof path, "/opt/stage2/%s/rootfs/dev/pts/ptmx", app);
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &locked) < 0 || ioctl(fd, TIOCGPTN, &number) < 0) die("make a terminal");
	snprintf(path, sizeof path, "/opt/stage2/%s/rootfs/dev/pts/%d", app, number);
	unlink("stage2-pts");
	if (open(path, O_RDWR | O_NOCTTY | O_CLOEXEC) < 0 || symlink(path, "stage2-pts") < 0) die("open the terminal");
	return fd;
}

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "sock-%s", name);
	unlink(address.sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0) die("listen");
	return fd;
}

/* sd_notify(3). */
static void tell_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path == NULL ? 0 : strlen(path);
	if (length == 0 || length >= sizeof address.sun_path) return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof address.sun_family + length);
	close(fd);
}

static void serve(const sigset_t *unblocked)
{
	struct pollfd polled[2 * STREAMS + CLIENTS];
	int count = 0;
	for (int index = 0; index < STREAMS; index++) {
		struct stream *stream = &streams[index];
		short events = (index == IN ? 0 : POLLIN) | (stream->waiting > 0 ? POLLOUT : 0);
		polled[count++] = (struct pollfd){ .fd = stream->fd, .events = events };
		polled[count++] = (struct pollfd){ .fd = stream->listener, .events = POLLIN };
	}
	for (struct client *client = clients; client < clients + CLIENTS; client++) {
		int full = client->fd >= 0 && streams[client->stream].waiting > 0;
		short events = (full ? 0 : POLLIN) | (client->size > 0 ? POLLOUT : 0);
		polled[count++] = (struct pollfd){ .fd = events == 0 ? -1 : client->fd, .events = events };
	}
	if (ppoll(polled, count, NULL, unblocked) <= 0) return;
	for (int index = 0; index < STREAMS; index++) {
		short app = polled[2 * index].revents;
		if (app & POLLOUT) write_app(&streams[index]);
		if (app & POLLIN) read_app(index);
		if (polled[2 * index + 1].revents & POLLIN) accept_client(index);
	}
	for (int number = 0; number < CLIENTS; number++) {
		struct client *client = &clients[number];
		if (client->fd < 0 || client->fd != polled[2 * STREAMS + number].fd) continue;
		short events = polled[2 * STREAMS + number].revents;
		if ((events & POLLOUT) && client->size > 0) flush_client(client);
		if (client->fd >= 0 && (events & ~POLLOUT) && streams[client->stream].waiting == 0) read_client(client);
	}
}

/* The app has ended: what it wrote last is passed on, for at most two seconds to clients. */
static void finish(void)
{
	for (int index = OUT; index < STREAMS; index++) {
		while (streams[index].fd >= 0 && read_app(index)) {}
		if (log_path != NULL && streams[index].length > 0) log_line(index, 'F', streams[index].line, streams[index].length);
	}
	for (int tries = 0, left = 1; left && tries < 200; tries++) {
		left = 0;
		for (struct client *client = clients; client < clients + CLIENTS; client++)
			if (client->fd >= 0 && client->size > 0) flush_client(client), left = 1;
		if (left) usleep(10000);
	}
}

int main(int argc, char **argv)
{
	static const char *const variables[STREAMS] = { "STAGE2_STDIN", "STAGE2_STDOUT", "STAGE2_STDERR", "STAGE2_TTY" };
	char directory[300];
	sigset_t term, unblocked;
	if (argc != 2) return 64;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &unblocked);
	signal(SIGTERM, end);
	signal(SIGPIPE, SIG_IGN);
	umask(0);
	snprintf(directory, sizeof directory, "/rkt/iottymux/%s", argv[1]);
	if (chdir(directory) < 0) die("enter its directory");
	for (int number = 0; number < CLIENTS; number++) clients[number].fd = -1;
	for (int index = 0; index < STREAMS; index++) {
		streams[index].fd = streams[index].listener = -1;
		if (getenv(variables[index]) == NULL) continue;
		streams[index].fd = index == TTY ? make_terminal(argv[1]) : make_fifo(names[index]);
		streams[index].listener = listen_at(names[index]);
	}
	const char *mode = getenv("STAGE1_LOGMODE"), *path = getenv("KUBERNETES_LOG_PATH");
	if (mode != NULL && strcmp(mode, "k8s-plain") == 0 && path != NULL && *path != '\0') {
		if (chdir("/rkt/kubernetes/log") < 0 || (log_path = strdup(path)) == NULL) die("enter the directory of logs");
		open_log();
		if (log_fd < 0) die("open the log");
	}
	tell_ready();
	while (!ending) serve(&unblocked);
	finish();
	return 0;
}
