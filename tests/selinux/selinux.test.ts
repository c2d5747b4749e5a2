/** Pods on a host with SELinux enforcing: tests/selinux/cases.sh in a machine with Debian's policy. Needs root and QEMU; minutes without /dev/kvm. */

import { beforeAll, describe, expect, test } from "bun:test";
import { MACHINE_LIMIT, runSelinuxMachine } from "../harness/selinux-machine.ts";

const PROCESS = /^system_u:system_r:container_t:s0:c\d+,c\d+$/;
const levelOf = (context: string) => context.split(":").slice(3).join(":");
const fileOf = (process: string) => `system_u:object_r:container_file_t:${levelOf(process)}`;

describe("a host with SELinux enforcing", () => {
  const answers = new Map<string, string>();
  const avc: string[] = [];
  const answer = (name: string) => answers.get(name) ?? "(no answer)";

  beforeAll(async () => {
    const text = await runSelinuxMachine();
    for (const line of text.split("\n")) {
      const [, name = "", value = ""] = /^@(\S+) ?(.*)$/.exec(line) ?? [];
      if (name === "avc") avc.push(value);
      else if (name !== "") answers.set(name, value);
    }
  }, MACHINE_LIMIT + 300_000);

  test("is one, and rkt is called from a root shell", () => {
    expect(answer("enforcing")).toStartWith("Enforcing ");
    expect(answer("caller")).toStartWith("unconfined_u:unconfined_r:unconfined_t");
    expect(answer("end")).toBe("0");
  });

  test("a pod's processes, its tree, its volumes, and what is entered have one label, which status tells", () => {
    const process = answer("first.process");
    expect(process).toMatch(PROCESS);
    expect(answer("first.status")).toBe(`selinux=${process}`);
    expect(answer("first.isolation")).toMatch(/,selinux(,|$)/);
    expect(answer("first.entered")).toBe(process);
    expect(answer("first.tree")).toBe(fileOf(process));
    expect(answer("first.volumes")).toBe("2");
    expect(answer("first.own")).toBe(`${fileOf(process)} ${fileOf(process)}`);
  });

  test("a login, with all categories, and a service, with none, hear that the pod is ready: the supervisor has the pod's", () => {
    expect(answer("first.ready")).toBe("state=running");
    expect(answer("first.supervisor")).toEndWith(`:s0-${levelOf(answer("first.process"))}`);
    expect(answer("service.caller")).toBe("system_u:system_r:initrc_t:s0");
    expect(answer("service.process")).toMatch(PROCESS);
    expect(answer("service.ready")).toBe("state=running");
    expect(answer("service.supervisor")).toEndWith(`:s0-${levelOf(answer("service.process"))}`);
    expect(avc.filter((line) => line.includes("{ sendto }") && line.includes("container_t"))).toEqual([]);
  });

  test("another pod cannot read or write its files; without enforcement the same pod could", () => {
    const [process = "", ...rest] = answer("second").split(" ");
    expect(process).toMatch(PROCESS);
    expect(process).not.toBe(answer("first.process"));
    expect(rest.join(" ")).toBe(
      "cat: can't open '/tree/secret': Permission denied cat: can't open '/own/file': Permission denied kept",
    );
    expect(answer("second.permissive")).toBe("secret own");
    // The categories, and nothing else: both types are the pods'.
    const refused = avc.filter((line) => line.includes("container_t") && line.includes("container_file_t"));
    expect(refused.some((line) => /denied {2}\{ search \}.*"own".*permissive=0/.test(line))).toBe(true);
  });

  test("a permissive policy is no isolation", () => {
    expect(answer("permissive.require")).toContain('would not have "selinux"');
  });

  test("a volume keeps its label unless another one is asked for: shared for every pod, private for one", () => {
    expect(answer("plain")).toBe("cat: can't open '/v/file': Permission denied");
    expect(answer("plain.label")).not.toContain("container_file_t");
    expect(answer("both.one")).toBe("both more");
    expect(answer("both.two")).toBe("both more wrote");
    expect(answer("both.label")).toMatch(/^system_u:object_r:container_file_t:s0 \S+:container_file_t:s0$/);
    expect(answer("refused.error")).toContain('Cannot relabel "/etc"');
    expect(answer("refused.label")).toContain(":etc_t:");
  });

  test("a prepared pod, a pod of copied trees, one of the host's systemd and one with a user namespace have one too", () => {
    expect(answer("prepared")).toMatch(PROCESS);
    expect(answer("prepared.status")).toBe(`selinux=${answer("prepared")}`);
    for (const name of ["copied", "host", "users"])
      expect(answer(name)).toMatch(/^system_u:system_r:container_t:s0:c\d+,c\d+ x$/);
  });

  test("what rkt writes into copied trees has the pod's categories too", () => {
    const [process = ""] = answer("copied").split(" ");
    expect(answer("copied.environment")).toEndWith(`:container_file_t:${levelOf(process)}`);
  });

  test("no two pods have the same, and gc gives it back", () => {
    expect(Number(answer("labels"))).toBeGreaterThan(6);
    expect(answer("labels.different")).toBe(answer("labels"));
    expect(answer("labels.left")).toBe("0");
  });
});
