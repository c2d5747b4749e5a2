/* The one program of ours in a virtual machine: process 1 until the pod's systemd takes over, then its agent. See docs/kvm.md. */
#ifndef GUEST_H
#define GUEST_H
#include <stddef.h>

/* Ends the machine: something is missing that a pod cannot be without. What is said reaches rkt's caller. */
__attribute__((noreturn)) void die(const char *what, const char *about);
/* Powers off, once what was written is on the host. */
__attribute__((noreturn)) void power_off(void);

/* For measurements (bench/kvm.ts): tells the serial port when a phase of the machine's life has ended, where the kernel's command line has rkt_phases=1. */
void phase(const char *name);

/* Opens a path as a process whose root directory is `root` would: no link of an image leads out. */
int open_in(int root, const char *path, int flags);
/* Carries out a file of instructions (plan.c). */
void run_plan(const char *file);
/* "link MAC NAME MTU", "address NAME IP/PREFIX", "route NAME DESTINATION GATEWAY SOURCE METRIC" (network.c). */
void network_line(char **words, int count);
void loopback_up(void);

/* A port of the virtual serial device, by its number; waits until the kernel has it. -1: there is none. */
int open_port(int number, int flags);
enum { CONTROL_PORT = 1, CONSOLE_PORT = 2, FIRST_SESSION_PORT = 3, SESSIONS = 8 };

/* Passes the console on, serves the host's requests; does not come back (agent.c). */
__attribute__((noreturn)) void agent(int console, int control);
/* Serves who enters, on one port, for ever (session.c). */
__attribute__((noreturn)) void serve_sessions(int number);
/* 0, or -1 when the other side is gone. */
int write_all(int fd, const void *data, size_t length);
#endif
