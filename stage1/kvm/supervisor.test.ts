import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Supervised, supervisorScript } from "./supervisor.ts";

let podDir = "";

beforeEach(() => {
  podDir = mkdtempSync(join(tmpdir(), "rkt-supervisor-"));
  mkdirSync(join(podDir, "kvm/vm"), { recursive: true });
  for (const pipe of ["control.in", "control.out", "console.in", "console.out", "kernel"])
    spawnSync("mkfifo", [join(podDir, "kvm/vm", pipe)]);
});
afterEach(() => rmSync(podDir, { recursive: true }));

/** A shell in QEMU's place: what the guest says. */
function supervise(guest: string, input: Supervised["input"] = "none", typed = "") {
  const script = supervisorScript({
    ...{ input, mark: "0123456789abcdef" },
    virtiofsd: ["/bin/sleep", "60"],
    qemu: ["/bin/sh", "-c", `cd kvm/vm\n${guest}`],
  });
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", script], {
    cwd: podDir,
    input: typed,
    timeout: 60_000,
  });
  return { status, stdout: stdout.toString("latin1"), stderr: stderr.toString("latin1") };
}

describe("the supervisor of a machine", () => {
  test("passes the console on, ends with the pod's status, and leaves no process", () => {
    expect(supervise("echo hello > console.out; echo up > control.out; echo exit 42 > control.out")).toEqual({
      ...{ status: 42, stdout: "hello\n", stderr: "" },
    });
  });

  test("passes input on, with its end marked", () => {
    const guest = "head -c 22 console.in > console.out; echo exit 0 > control.out";
    expect(supervise(guest, "pipe", "typed\n")).toMatchObject({ status: 0, stdout: "typed\n0123456789abcdef" });
  });

  test("a guest that ends without a status has crashed, and its last words are told", () => {
    const { status, stderr } = supervise("echo 'Kernel panic' > kernel; echo 'qemu: broken' >&2; exit 3");
    expect(status).toBe(254);
    for (const text of ["ended (status 3) and its pod did not", "qemu: broken", "Kernel panic"])
      expect(stderr).toContain(text);
  });

  test.each(["999999", "12345", "-1", "x", "1 2", "1;reboot"])("a guest cannot end it with the status %p", (status) => {
    expect(supervise(`echo 'exit ${status}' > control.out`).status).toBe(254);
  });

  test("a guest that fills the pipe of the control port does not keep the pod from ending", () => {
    // 16 pages are what a pipe holds (pipe(7)).
    expect(supervise("head -c 65536 /dev/zero | tr '\\0' x > control.out").status).toBe(254);
    expect(supervise("yes . | head -c 65536 > control.out").status).toBe(254);
  });

  test("an error of the guest's is shown without a terminal's commands", () => {
    const { stderr } = supervise("printf 'error Cannot \\033]0;title\\007 mount\\nexit 1\\n' > control.out");
    expect(stderr).toBe("stage1: Cannot ]0;title mount\n");
  });

  test("of what the guest says to its serial port a megabyte is kept", () => {
    supervise("head -c 3000000 /dev/zero > kernel; echo exit 0 > control.out");
    expect(statSync(join(podDir, "kvm/kernel.log")).size).toBe(1 << 20);
  });

  test("a virtual machine that does not start is told with what QEMU said", () => {
    const script = supervisorScript({
      ...{ input: "none", mark: "" },
      virtiofsd: ["/bin/sleep", "60"],
      qemu: ["/nonexistent/qemu"],
    });
    const { status, stderr } = spawnSync("/bin/sh", ["-c", script], { cwd: podDir, timeout: 60_000 });
    expect(status).toBe(254);
    expect(stderr.toString()).toContain("/nonexistent/qemu");
    expect(readFileSync(join(podDir, "kvm/kernel.log"), "utf8")).toBe("");
  });
});
