import { describe, expect, test } from "bun:test";
import {
  BLANK_APP,
  BLANK_POD_MANIFEST,
  cpuSharesIsolator,
  ISOLATOR,
  type Isolator,
  type PodManifest,
  pidsIsolator,
  type RuntimeApp,
  rateIsolator,
  resourceIsolator,
} from "../../src/spec/appc/mod.ts";
import { limitLines } from "./limits.ts";
import { controlWrites, warnings } from "./pod-limits.ts";

const ALL: Isolator[] = [
  resourceIsolator(ISOLATOR.memory, "64Mi"),
  resourceIsolator(ISOLATOR.cpu, "1500m"),
  cpuSharesIsolator(1024),
  pidsIsolator("100"),
  rateIsolator(ISOLATOR.blockBandwidth, "2M"),
  rateIsolator(ISOLATOR.blockIops, "50"),
];
const DISKS = () => [{ major: 8, minor: 0 }];
const written = (version: 1 | 2, isolators = ALL) =>
  controlWrites(isolators, version, DISKS).map(({ controller, file, value }) => `${controller} ${file} ${value}`);

describe("limits of a pod", () => {
  test("on v1", () => {
    expect(written(1)).toEqual([
      "memory memory.limit_in_bytes 67108864",
      "pids pids.max 100",
      "cpu cpu.cfs_period_us 100000",
      "cpu cpu.cfs_quota_us 150000",
      "cpu cpu.shares 1024",
      "blkio blkio.throttle.read_bps_device 8:0 2000000",
      "blkio blkio.throttle.write_bps_device 8:0 2000000",
      "blkio blkio.throttle.read_iops_device 8:0 50",
      "blkio blkio.throttle.write_iops_device 8:0 50",
    ]);
  });
  test("on v2", () => {
    expect(written(2)).toEqual([
      "memory memory.max 67108864",
      "pids pids.max 100",
      "cpu cpu.max 150000 100000",
      "cpu cpu.weight 39",
      "blkio io.max 8:0 rbps=2000000 wbps=2000000",
      "blkio io.max 8:0 riops=50 wiops=50",
    ]);
    expect(written(2, [cpuSharesIsolator(2)])).toEqual(["cpu cpu.weight 1"]);
    expect(written(2, [cpuSharesIsolator(262144)])).toEqual(["cpu cpu.weight 10000"]);
  });
  test("nothing without isolators, and no look at disks unless a rate is limited", () => {
    const none = () => {
      throw new Error("looked");
    };
    expect(controlWrites([], 1, none)).toEqual([]);
    expect(controlWrites([pidsIsolator("5")], 2, none)).toHaveLength(1);
  });
});

test("limits of an app are settings of its slice, the same on every cgroup version", () => {
  expect(limitLines({ ...BLANK_APP, isolators: ALL }, ["/rkt/disks/sda"])).toEqual([
    "MemoryMax=67108864",
    "CPUQuota=150%",
    "CPUShares=1024",
    "TasksMax=100",
    'IOReadBandwidthMax="/rkt/disks/sda" 2000000',
    'IOWriteBandwidthMax="/rkt/disks/sda" 2000000',
    'IOReadIOPSMax="/rkt/disks/sda" 50',
    'IOWriteIOPSMax="/rkt/disks/sda" 50',
  ]);
});

test("what has no effect is told by name", () => {
  const app = { name: "web", app: { ...BLANK_APP, isolators: [...ALL, { name: ISOLATOR.sysctl, value: {} }] } };
  const manifest: PodManifest = {
    ...BLANK_POD_MANIFEST,
    apps: [app as unknown as RuntimeApp],
    isolators: [{ name: "example.com/x", value: 1 }, { name: ISOLATOR.sysctl, value: {} }, pidsIsolator("5")],
  };
  const controllers = new Set(["memory", "cpu", "blkio"]);
  expect(warnings(manifest, controllers)).toEqual([
    'warning: isolator "example.com/x" of the pod has no effect: this stage1 does not know it for a pod',
    'warning: resource/pids isolator set but support disabled in the kernel, skipping (cgroup controller "pids")',
    'warning: isolator "os/unix/sysctl" of app "web" has no effect: set it for the pod',
  ]);
  expect(warnings({ ...manifest, isolators: [], apps: [] }, new Set())).toEqual([]);
});
