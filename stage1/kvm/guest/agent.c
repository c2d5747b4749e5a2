/*
 * What stays of the program beside the pod's systemd: carries the console to the host, and does what the host asks on the control port, one line each: "stop" halts the
 * pod in order, "size ROWS COLUMNS" is the terminal's. At the end of the pod what systemd becomes (end_pod in init.c) sends SIGTERM:
 * what is left of the console is passed on, "exit N" tells the pod's status, and the machine powers off.
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
#include <termios.h>
#include <unistd.h>
#include "guest.h"

enum { CHUNK = 32768, SIGHALT = 37 /* SIGRTMIN+3 of systemd(1): halt.target */ };
static volatile sig_atomic_t ending;
static void end(int number) { (void)number; ending = 1; }
static int stopping;

/* Bytes as they are written: whether lines end with \r\n is up to the terminal, if there is one. */
static void make_raw(int console)
{
	struct termios settings;
	if (access("/rkt/vm/terminal", F_OK) == 0 || tcgetattr(console, &settings) < 0) return;
	settings.c_oflag &= ~OPOST;
	tcsetattr(console, TCSANOW, &settings);
}

static void obey(int console, char *line)
{
	struct winsize size = { 0 };
	if (strcmp(line, "stop") == 0) stopping = 1;
	else if (sscanf(line, "size %hu %hu", &size.ws_row, &size.ws_col) == 2) ioctl(console, TIOCSWINSZ, &size);
}

static void read_control(int port, int console)
{
	static char line[256];
	static size_t length;
	ssize_t got = read(port, line + length, sizeof line - 1 - length);
	if (got <= 0) return;
	length += got;
	line[length] = '\0';
	for (char *newline; (newline = memchr(line, '\n', length)) != NULL;) {
		*newline = '\0';
		obey(console, line);
		length -= newline + 1 - line;
		memmove(line, newline + 1, length + 1);
	}
	if (length == sizeof line - 1) length = 0;
}

/* 1: something was passed on. */
static int copy(int from, int to)
{
	static char data[CHUNK];
	ssize_t got = read(from, data, sizeof data);
	return got > 0 && write_all(to, data, got) == 0;
}

/* How much of the end of `data` may be the beginning of `mark`. */
static size_t held_back(const char *data, size_t length, const char *mark, size_t size)
{
	for (size_t held = length < size ? length : size; held > 0; held--)
		if (memcmp(data + length - held, mark, held) == 0) return held;
	return 0;
}

/* Input that is no terminal's goes to the app through a FIFO. A port has no end of its own: a random mark, which only the two sides know, is the end. */
static void feed_input(int port, FILE *file)
{
	static char data[CHUNK + 64], mark[64];
	size_t length = 0, size = fread(mark, 1, sizeof mark, file);
	prctl(PR_SET_NAME, "rkt-input");
	int fifo = open("/rkt/stdin", O_WRONLY | O_CLOEXEC);
	for (ssize_t got; fifo >= 0 && size > 0 && (got = read(port, data + length, CHUNK)) > 0;) {
		length += got;
		size_t held = held_back(data, length, mark, size);
		if (write_all(fifo, data, length - held) < 0 || held == size) break;
		memmove(data, data + length - held, held);
		length = held;
	}
	_exit(0);
}

__attribute__((noreturn)) static void finish(int control, int console, int out)
{
	char line[32], status[16] = "0";
	phase("end");
	fcntl(console, F_SETFL, O_RDWR | O_NONBLOCK);
	while (copy(console, out)) {}
	FILE *file = fopen("/rkt/status/pod.exit", "re");
	if (file != NULL && fscanf(file, "%15[0-9]", status) != 1) strcpy(status, "254");
	if (file != NULL) fclose(file);
	write_all(control, line, snprintf(line, sizeof line, "exit %s\n", status));
	power_off();
}

void agent(int console, int control)
{
	sigset_t term, unblocked;
	int out = open_port(CONSOLE_PORT, O_RDWR);
	if (out < 0) die("open", "the console's port");
	prctl(PR_SET_NAME, "rkt-agent");
	signal(SIGPIPE, SIG_IGN);
	make_raw(console);
	for (int number = 0; number < SESSIONS; number++)
		if (fork() == 0) serve_sessions(FIRST_SESSION_PORT + number);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &unblocked);
	signal(SIGTERM, end);
	/* Held open: a console that nobody has open at the moment is no end. */
	int held = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (held < 0) die("open", "the console");
	if (write_all(control, "up\n", 3) < 0) die("reach", "the host");
	int input = access("/rkt/vm/terminal", F_OK) == 0 ? POLLIN : 0;
	FILE *mark = fopen("/rkt/vm/input", "re");
	if (mark != NULL && fork() == 0) feed_input(out, mark);
	while (!ending) {
		struct pollfd polled[] = { { .fd = control, .events = POLLIN }, { .fd = console, .events = POLLIN }, { .fd = input != 0 ? out : -1, .events = POLLIN } };
		struct timespec second = { .tv_sec = 1 };
		/* Again until it works: process 1 may not be ready for the signal yet. */
		if (stopping) kill(1, SIGHALT);
		if (ppoll(polled, 3, stopping ? &second : NULL, &unblocked) <= 0) continue;
		if (polled[0].revents & POLLIN) read_control(control, console);
		if (polled[1].revents & POLLIN) copy(console, out);
		if (polled[2].revents & POLLIN) copy(out, console);
	}
	finish(control, console, out);
}
