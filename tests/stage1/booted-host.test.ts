/** Pods on a host with systemd: registered with machined, in the unit and slice that rkt was started in, with their journal. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type BootedDebian, bootDebian } from "../harness/booted-debian.ts";
import { buildAci } from "../harness/images.ts";
import { until } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

describe("on a host with systemd", () => {
  let files: TemporaryDirectory;
  let machine: BootedDebian;
  let image: string;
  let count = 0;
  const rkt = (...args: string[]) => ["rkt", "--insecure-options=image", ...args];

  beforeAll(async () => {
    files = temporaryDirectory("booted");
    buildAci(join(files.path, "app.aci"));
    machine = await bootDebian({ binds: { "/opt/files": files.path } });
    // As Debian has it: the journal is kept on disk.
    machine.enter(["mkdir", "-p", "/var/log/journal"]);
    machine.enter(["systemctl", "restart", "systemd-journald"]);
    image = machine.ok(rkt("fetch", "--full", "/opt/files/app.aci")).trim();
  });
  afterAll(() => {
    machine?.[Symbol.dispose]();
    files[Symbol.dispose]();
  });

  /** Starts a pod that goes on, as `systemd-run` starts a service or as a shell starts a program; its UUID, when it has printed a line. */
  const start = async (flavor: string, how: readonly string[]): Promise<string> => {
    const [uuid, out] = [machine.path(`/var/uuid-${++count}`), machine.path(`/var/out-${count}`)];
    const words = rkt(
      ...["run", `--stage1-name=coreos.com/rkt/stage1-${flavor}`, "--net=none", `--uuid-file-save=/var/uuid-${count}`],
      ...[image, "--exec=/bin/sh", "--", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"],
    );
    machine.enter([...how, "sh", "-c", `exec "$@" > /var/out-${count} 2>&1`, "sh", ...words]);
    await until("the app's first line", () => existsSync(out) && readFileSync(out, "utf8").includes("up"));
    return readFileSync(uuid, "utf8");
  };
  const property = (unit: string, name: string) =>
    machine.enter(["systemctl", "show", "--value", `--property=${name}`, unit]).trim();
  const machineUnit = (uuid: string) =>
    /Unit: (\S+)/.exec(machine.enter(["machinectl", "status", "--no-pager", `rkt-${uuid}`]))?.[1];

  for (const flavor of ["nspawn", "host"]) {
    describe(`the ${flavor} flavor`, () => {
      test("gives back output and status", () => {
        const words = ["run", `--stage1-name=coreos.com/rkt/stage1-${flavor}`, "--net=none", image, "--exec=/bin/sh"];
        const result = machine.run(rkt(...words, "--", "-c", "echo out; exit 7"));
        expect(result).toMatchObject({ status: 7, stdout: expect.stringContaining("out") });
      });

      test("a service keeps its pod: one unit, in its slice, with its journal; stopping the one stops the other", async () => {
        const uuid = await start(flavor, ["systemd-run", "--quiet", `--unit=web-${flavor}`, "--slice=web.slice"]);
        expect(machine.enter(["machinectl", "list", "--no-legend"])).toContain(`rkt-${uuid} container rkt`);
        expect(machineUnit(uuid)).toBe(`web-${flavor}.service`);
        expect(readFileSync(machine.path(`/var/lib/rkt/pods/run/${uuid}/subcgroup`), "utf8")).toBe(
          `web.slice/web-${flavor}.service/rkt-${uuid}`,
        );
        expect(machine.enter(["journalctl", "--no-pager", `--machine=rkt-${uuid}`])).toContain(": up");
        expect(
          machine.enter(["journalctl", "--no-pager", "--merge", `_MACHINE_ID=${uuid.replaceAll("-", "")}`]),
        ).toContain(": up");
        machine.enter(["systemctl", "stop", `web-${flavor}`]);
        expect(machine.enter(["rkt", "status", uuid])).toContain("state=exited");
        expect(machine.enter(["rkt", "status", uuid])).toContain("app-busybox=0");
      });

      test("started from no service, a pod has a scope of its own in machine.slice, and machinectl ends just it", async () => {
        const uuid = await start(flavor, ["setsid", "--fork"]);
        const scope = `machine-rkt\\x2d${uuid.replaceAll("-", "\\x2d")}.scope`;
        expect(machineUnit(uuid)).toBe(scope);
        expect(property(scope, "Slice")).toBe("machine.slice");
        expect(readFileSync(machine.path(`/var/lib/rkt/pods/run/${uuid}/subcgroup`), "utf8")).toBe(
          `machine.slice/${scope}/rkt-${uuid}`,
        );
        machine.enter(["machinectl", "terminate", `rkt-${uuid}`]);
        await until("the pod's end", () => machine.enter(["rkt", "status", uuid]).includes("state=exited"));
      });

      test("gc takes the journal's link, the cgroup and the scope", async () => {
        machine.enter(["rkt", "gc", "--grace-period=0s"]);
        // The system's own stays.
        const own = machine.enter(["cat", "/etc/machine-id"]).trim();
        const journals = machine.enter(["ls", "/var/log/journal"]).split("\n").filter(Boolean);
        expect(journals.filter((name) => name !== own)).toEqual([]);
        expect(machine.enter(["find", "/sys/fs/cgroup", "-name", "*rkt*"])).toBe("");
        expect(machine.enter(["systemctl", "list-units", "--no-legend", "--all", "machine-rkt*"])).toBe("");
      });
    });
  }
});
