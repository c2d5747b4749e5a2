/*
 * confine WORDS… exec PATH ARGUMENTS…: sets up the calling process, word by word, and becomes another program. It stands between rkt and a worker (docs/decisions/0004-workers.md): limits, Landlock
 * rules and system call filters bind a thread and what that executes, and the runtime has several threads from its first line on, so somebody else has to set them. What is to be set is decided in
 * confinement-words.ts; this program decides nothing, and any step that fails ends it with status 126 and a line on stderr.
 *
 * parent=PID            ends when the parent is not (any more) that process, and is killed when it ends
 * bounding              empties the bounding set of capabilities
 * groups=G,G…  user=UID:GID   becomes that user
 * inheritable           empties the inheritable and the ambient set
 * nnp                   no new privileges (prctl(2))
 * limit=RESOURCE:MOST   lowers a limit, soft and hard, to MOST
 * landlock=FS:NET:SCOPED:SIZE begins a Landlock ruleset (landlock_create_ruleset(2)); numbers are hexadecimal here and in the next three
 * path=DIRECTORY:FILE:PATH    a rule for PATH: what is allowed below a directory, and of a file; none when PATH is not there or may not be seen
 * fd=DIRECTORY:FILE:NUMBER    the same for an open descriptor
 * restrict              puts the ruleset in force
 * close=NUMBER          closes a descriptor
 * filter=HEX            installs a system call filter (struct sock_filter[], as bytes)
 *
 * It has no C library, to be small: it is started from memory each time.
 */

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <linux/types.h>
#include <asm/unistd.h>

#define LANDLOCK_CREATE_RULESET 444
#define LANDLOCK_ADD_RULE 445
#define LANDLOCK_RESTRICT_SELF 446
#define LANDLOCK_RULE_PATH_BENEATH 1
#define SIGKILL 9
#define O_PATH 010000000
#define O_CLOEXEC 02000000
#define AT_EMPTY_PATH 0x1000

typedef unsigned long word;

#if defined(__x86_64__)
static long call6(long number, word a, word b, word c, word d, word e, word f) {
  register word r10 __asm__("r10") = d;
  register word r8 __asm__("r8") = e;
  register word r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n");
#elif defined(__aarch64__)
static long call6(long number, word a, word b, word c, word d, word e, word f) {
  register long x8 __asm__("x8") = number;
  register word x0 __asm__("x0") = a;
  register word x1 __asm__("x1") = b;
  register word x2 __asm__("x2") = c;
  register word x3 __asm__("x3") = d;
  register word x4 __asm__("x4") = e;
  register word x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return (long)x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl run\n");
#else
#error "no system calls for this processor"
#endif

#define call(number, ...) call_(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define call_(number, a, b, c, d, e, f, ...) call6(number, (word)(a), (word)(b), (word)(c), (word)(d), (word)(e), (word)(f))

static word length(const char *text) {
  word size = 0;
  while (text[size] != 0) size++;
  return size;
}

static void say(const char *text) { call(__NR_write, 2, text, length(text)); }

static void say_number(long number) {
  char digits[24];
  int at = sizeof digits;
  digits[--at] = 0;
  do digits[--at] = '0' + number % 10;
  while ((number /= 10) > 0);
  say(digits + at);
}

static void end(int status) {
  for (;;) call(__NR_exit_group, status);
}

/* The word is what failed. */
static void fail(const char *what, long result) {
  say("confine: ");
  say(what);
  say(": errno ");
  say_number(result < 0 ? -result : 0);
  say("\n");
  end(126);
}

/* The rest of `text` after `prefix`; null when it begins otherwise. */
static const char *after(const char *text, const char *prefix) {
  while (*prefix != 0)
    if (*text++ != *prefix++) return 0;
  return text;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return 99;
}

/* Reads a number up to a separator, which is skipped; anything else ends the program: half a rule is worse than none. */
static word number(const char **text, int base) {
  word value = 0;
  const char *start = *text;
  for (; digit(**text) < base; (*text)++) value = value * base + digit(**text);
  if (*text == start || (**text != 0 && **text != ':' && **text != ',')) fail(start, -EINVAL);
  if (**text != 0) (*text)++;
  return value;
}

static void empty_bounding_set(const char *text) {
  for (int capability = 0;; capability++) {
    if (call(__NR_prctl, PR_CAPBSET_READ, capability) < 0) return;
    long result = call(__NR_prctl, PR_CAPBSET_DROP, capability);
    /* Without CAP_SETPCAP nothing is dropped; then there is none to gain either, with no_new_privs. */
    if (result < 0 && result != -EPERM) fail(text, result);
  }
}

static void empty_inheritable_set(const char *text) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  long result = call(__NR_capget, &header, data);
  if (result < 0) fail(text, result);
  data[0].inheritable = data[1].inheritable = 0;
  if ((result = call(__NR_capset, &header, data)) < 0) fail(text, result);
  call(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
}

static void set_groups(const char *text) {
  unsigned int groups[64];
  int count = 0;
  while (*text != 0) {
    if (count == 64) fail(text, -EINVAL);
    groups[count++] = number(&text, 10);
  }
  long result = call(__NR_setgroups, count, groups);
  if (result < 0) fail("groups", result);
}

static void become(const char *text) {
  word uid = number(&text, 10);
  word gid = number(&text, 10);
  long result = call(__NR_setresgid, gid, gid, gid);
  if (result >= 0) result = call(__NR_setresuid, uid, uid, uid);
  if (result < 0) fail("user", result);
}

static void die_with(const char *text) {
  word parent = number(&text, 10);
  long result = call(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (result < 0) fail("parent", result);
  /* It may have ended before. */
  if ((word)call(__NR_getppid, 0) != parent) end(126);
}

static void limit(const char *text) {
  const char *rest = text;
  word resource = number(&rest, 10);
  word most = number(&rest, 10);
  __u64 now[2];
  long result = call(__NR_prlimit64, 0, resource, 0, now);
  if (result < 0) fail(text, result);
  now[0] = now[1] = now[1] < most ? now[1] : most;
  if ((result = call(__NR_prlimit64, 0, resource, now, 0)) < 0) fail(text, result);
}

static long begin_ruleset(const char *text) {
  const char *rest = text;
  __u64 attributes[3];
  for (int at = 0; at < 3; at++) attributes[at] = number(&rest, 16);
  long ruleset = call(LANDLOCK_CREATE_RULESET, attributes, number(&rest, 16), 0);
  if (ruleset < 0) fail(text, ruleset);
  return ruleset;
}

static void allow(long ruleset, long fd, word below, word of_file, const char *text) {
  struct statx status;
  struct {
    __u64 access;
    __s32 fd;
  } __attribute__((packed)) rule;
  long result = call(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &status);
  if (result < 0) fail(text, result);
  rule.access = (status.stx_mode & 0170000) == 0040000 ? below : of_file;
  rule.fd = fd;
  result = call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  if (result < 0) fail(text, result);
}

static void allow_path(long ruleset, const char *text) {
  const char *rest = text;
  word below = number(&rest, 16);
  word of_file = number(&rest, 16);
  long fd = call(__NR_openat, AT_FDCWD, rest, O_PATH | O_CLOEXEC, 0);
  if (fd == -ENOENT || fd == -EACCES || fd == -ENOTDIR || fd == -ELOOP) return;
  if (fd < 0) fail(text, fd);
  allow(ruleset, fd, below, of_file, text);
  call(__NR_close, fd);
}

static void allow_descriptor(long ruleset, const char *text) {
  const char *rest = text;
  word below = number(&rest, 16);
  word of_file = number(&rest, 16);
  allow(ruleset, number(&rest, 10), below, of_file, text);
}

static void restrict_self(long ruleset) {
  long result = call(LANDLOCK_RESTRICT_SELF, ruleset, 0);
  if (result < 0) fail("restrict", result);
  call(__NR_close, ruleset);
}

static void install_filter(const char *text) {
  static unsigned char bytes[sizeof(struct sock_filter) * BPF_MAXINSNS];
  word size = length(text) / 2;
  if (size > sizeof bytes || size % sizeof(struct sock_filter) != 0 || length(text) % 2 != 0) fail("filter", -EINVAL);
  for (word at = 0; at < size; at++) {
    int high = digit(text[at * 2]), low = digit(text[at * 2 + 1]);
    if (high > 15 || low > 15) fail("filter", -EINVAL);
    bytes[at] = high << 4 | low;
  }
  struct sock_fprog program = {.len = size / sizeof(struct sock_filter), .filter = (struct sock_filter *)bytes};
  long result = call(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  /* EINVAL: a kernel without filters. */
  if (result < 0 && result != -EINVAL) fail("filter", result);
}

__attribute__((used)) void run(word *stack) {
  int count = stack[0];
  char **words = (char **)(stack + 1);
  char **environment = words + count + 1;
  long ruleset = -1;
  for (int at = 1; at < count; at++) {
    const char *text = words[at], *rest;
    if (after(text, "exec") != 0 && text[4] == 0) {
      if (at + 2 >= count) fail(text, -EINVAL);
      fail(words[at + 1], call(__NR_execve, words[at + 1], words + at + 2, environment));
    } else if ((rest = after(text, "parent=")) != 0) die_with(rest);
    else if (after(text, "bounding") != 0) empty_bounding_set(text);
    else if ((rest = after(text, "groups=")) != 0) set_groups(rest);
    else if ((rest = after(text, "user=")) != 0) become(rest);
    else if (after(text, "inheritable") != 0) empty_inheritable_set(text);
    else if (after(text, "nnp") != 0) {
      long result = call(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      if (result < 0) fail(text, result);
    } else if ((rest = after(text, "limit=")) != 0) limit(rest);
    else if ((rest = after(text, "landlock=")) != 0) ruleset = begin_ruleset(rest);
    else if ((rest = after(text, "path=")) != 0) allow_path(ruleset, rest);
    else if ((rest = after(text, "fd=")) != 0) allow_descriptor(ruleset, rest);
    else if (after(text, "restrict") != 0) restrict_self(ruleset);
    else if ((rest = after(text, "close=")) != 0) call(__NR_close, number(&rest, 10));
    else if ((rest = after(text, "filter=")) != 0) install_filter(rest);
    else fail(text, -EINVAL);
  }
  fail("exec", -EINVAL);
}
