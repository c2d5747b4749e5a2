import { describe, expect, test } from "bun:test";
import {
  BLANK_APP,
  BLANK_POD_MANIFEST,
  ISOLATOR,
  type Isolator,
  type PodManifest,
  pidsIsolator,
  type RuntimeApp,
  rateIsolator,
  resourceIsolator,
} from "../../src/spec/appc/mod.ts";
import { guestLimits, hostShare, unlimitedDisks } from "./limits.ts";
import { machineSize } from "./machine.ts";

const app = (name: string, isolators: readonly Isolator[]): RuntimeApp => ({
  ...{ name: name as RuntimeApp["name"], image: { name: undefined, id: "sha512-0", labels: [] } },
  ...{ app: { ...BLANK_APP, isolators }, readOnlyRootFs: false, mounts: [], annotations: [] },
});
const pod = (apps: readonly (readonly Isolator[])[], isolators: readonly Isolator[] = []): PodManifest => ({
  ...BLANK_POD_MANIFEST,
  ...{ isolators, apps: apps.map((one, index) => app(`app${index}`, one)) },
});
const memory = (text: string) => resourceIsolator(ISOLATOR.memory, text);
const cpu = (text: string) => resourceIsolator(ISOLATOR.cpu, text);
const HOST = { processors: 4, accelerated: true };

describe("the size of a machine", () => {
  test("memory: what the apps may use and 128 MB, at least 512", () => {
    expect(machineSize(pod([[]]), HOST).mebibytes).toBe(512);
    expect(machineSize(pod([[memory("512Mi")], [memory("1Gi")]]), HOST).mebibytes).toBe(512 + 1024 + 128);
    expect(machineSize(pod([[memory("100Mi")]]), HOST).mebibytes).toBe(512);
  });

  test("the pod's limits go before those of its apps", () => {
    expect(machineSize(pod([[memory("4Gi")]], [memory("1Gi"), cpu("2")]), HOST)).toEqual({
      processors: 2,
      mebibytes: 1024 + 128,
    });
  });

  test("processors: the sum, rounded up; at most the host's, which is what a pod without limits has", () => {
    const processors = (...cpus: string[]) => machineSize(pod(cpus.map((text) => [cpu(text)])), HOST).processors;
    expect(processors("500m", "600m")).toBe(2);
    expect(processors("3", "3")).toBe(4);
    expect(machineSize(pod([[]]), HOST).processors).toBe(4);
  });

  test("emulated, without limits: one", () => {
    expect(machineSize(pod([[]]), { processors: 4, accelerated: false }).processors).toBe(1);
    expect(machineSize(pod([[cpu("2")]]), { processors: 4, accelerated: false }).processors).toBe(2);
  });
});

describe("where limits hold", () => {
  const disks = rateIsolator(ISOLATOR.blockBandwidth, "1M");

  test("the host holds processors and disks, not what it does not see", () => {
    const share = hostShare(pod([[disks, memory("64Mi")]], [cpu("1"), memory("1Gi"), pidsIsolator("10")]));
    expect(share.isolators.map(({ name }) => name)).toEqual([ISOLATOR.cpu, ISOLATOR.blockBandwidth]);
    expect(share.apps[0]?.app?.isolators).toEqual([]);
  });

  test("disk limits of one of several apps are told to have no effect", () => {
    expect(unlimitedDisks(pod([[disks], []]))).toEqual(["app0"]);
    expect(unlimitedDisks(pod([[disks]]))).toEqual([]);
  });

  test("the guest holds memory and processes of the pod, for the apps without limits too", () => {
    const units = new Map(guestLimits(pod([[memory("64Mi")], []], [memory("1Gi"), pidsIsolator("10")])));
    expect([...units.keys()]).toEqual([
      "app.slice.d/pod.conf",
      "app1.service.d/pod.conf",
      "enter-app1@.service.d/pod.conf",
    ]);
    expect(units.get("app.slice.d/pod.conf")).toMatch(/MemoryMax=1073741824\n(.*\n)*TasksMax=10/);
    expect(guestLimits(pod([[]]))).toEqual([]);
  });
});
