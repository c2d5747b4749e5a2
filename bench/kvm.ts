/**
 * `make bench-kvm`: a pod in a virtual machine, beside a machine that nobody trimmed (kvm-untrimmed.ts), and beside the same pod in QEMU's machine q35 as it comes (its firmware, its default devices, the kernel compressed, a plain
 * command line), in turns. Where the time goes, and what memory a machine costs. BENCH_RUNS: rounds (default 5). Writes docs/evidence/kvm.md, but for what is told there of the tests; fails when a machine does not work.
 */

import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { descendantsOf } from "../tests/harness/processes.ts";
import { keptSection, type Memory, report, type Start } from "./kvm-report.ts";
import {
  compressedKernel,
  kernelPackages,
  makeUntrimmedMachine,
  QEMU,
  startUntrimmed,
  type UntrimmedMachine,
} from "./kvm-untrimmed.ts";
import { PLAIN_ENVIRONMENT, run } from "./measure.ts";
import { residentProcess } from "./memory.ts";
import { surroundings } from "./surroundings.ts";
import { RKT, type Workspace, workspace } from "./workspace.ts";

const PLAIN_QEMU = "/usr/bin/rkt-bench-qemu";
const PAGE = "docs/evidence/kvm.md";
const KVM = "--stage1-name=coreos.com/rkt/stage1-kvm";
/** Before QEMU: the same words for its machine q35. */
const PLAIN_MACHINE = `#!/bin/sh
left=$#
while [ "$left" -gt 0 ]; do
  word=$1
  shift
  left=$((left - 1))
  case $word in
    -nodefaults | -no-user-config) continue ;;
    max,*) word=max ;;
    microvm,*) word=q35,\${word#*,} ;;
    vhost-user-fs-device,*) word=vhost-user-fs-pci,\${word#*,} ;;
    virtio-serial-device,*) word=virtio-serial-pci,\${word#*,} ;;
    virtio-net-device,*) word=virtio-net-pci,\${word#*,} ;;
    /boot/vmlinux) word=/usr/lib/rkt-bench/vmlinuz ;;
    console=*) word="console=ttyS0 panic=-1 rkt_pci=1 rkt_phases=1" ;;
  esac
  set -- "$@" "$word"
done
exec ${PLAIN_QEMU} "$@"
`;

const runs = Number(process.env.BENCH_RUNS ?? "5");
const space = workspace();
try {
  const around = surroundings({ runs, imageSize: 0, imageFiles: 0 }, RKT);
  const image = run(space.rkt(["fetch", "--full", `oci:${space.layout}:latest`])).trim();
  const plain = makePlainMachine(space);
  const bare = makeUntrimmedMachine(space);
  const [trimmed, q35, untrimmed]: [Start[], Start[], Start[]] = [[], [], []];
  for (let round = -1; round < runs; round += 1) {
    const ours = await start(space, image, []);
    plain.on();
    const theirs = await start(space, image, ["rkt_pci=1"]).finally(plain.off);
    const nobodys = await untrimmedStart(bare);
    if (round >= 0) {
      trimmed.push(ours);
      q35.push(theirs);
      untrimmed.push(nobodys);
    }
    const totals = [ours, theirs, nobodys].map(({ total }) => total.toFixed(0)).join(", ");
    console.error(`bench: kvm: round ${round + 1} of ${runs}: ours, q35, untrimmed: ${totals} ms`);
  }
  const page = report(around, { trimmed, q35, untrimmed }, await measureMemory(space, image));
  writeFileSync(PAGE, page + keptSection(PAGE));
  console.log(page);
} finally {
  space.remove();
}

/** A pod of one app, whose first output tells the guest's clock. */
async function start(space: Workspace, image: string, kernelWords: readonly string[]): Promise<Start> {
  const uuidFile = join(space.dir, "uuid");
  const script = ["--exec=/bin/sh", "--", "-c", "read up rest < /proc/uptime; echo up $up"];
  const command = space.rkt(["run", KVM, "--net=none", `--uuid-file-save=${uuidFile}`, image, ...script]);
  const env = { ...PLAIN_ENVIRONMENT, RKT_HYPERVISOR_EXTRA_KERNEL_PARAMS: ["rkt_phases=1", ...kernelWords].join(" ") };
  const begin = performance.now();
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  let qemu = Number.NaN;
  const watch = setInterval(() => {
    if (!descendantsOf(child.pid).some((pid) => isQemu(commandOf(pid)))) return;
    qemu = performance.now();
    clearInterval(watch);
  }, 5);
  let output = "";
  let shown = Number.NaN;
  for await (const chunk of child.stdout) {
    if (output === "") shown = performance.now();
    output += Buffer.from(chunk).toString();
  }
  const status = await child.exited;
  const end = performance.now();
  clearInterval(watch);
  const up = Number(/^up ([0-9.]+)/m.exec(output)?.[1]) * 1000;
  if (status !== 0 || Number.isNaN(up)) throw new Error(`status ${status}: ${await new Response(child.stderr).text()}`);
  const uuid = readFileSync(uuidFile, "utf8").trim();
  const told = guestPhases(join(space.dataDir, "pods/run", uuid, "kvm/kernel.log"));
  run(space.rkt(["gc", "--grace-period=0s"]));
  const at = (name: string) => told.get(name) ?? Number.NaN;
  return {
    total: end - begin,
    phases: {
      rkt: qemu - begin,
      firmware: shown - qemu - up,
      kernel: at("kernel"),
      drivers: at("drivers") - at("kernel"),
      root: at("root") - at("drivers"),
      furnish: at("furnish") - at("root"),
      units: up - at("furnish"),
      end: at("end") - up,
      off: end - shown - (at("end") - up),
    },
  };
}

/** The same phases, where there are no rkt and no agent: before QEMU virtiofsd starts, and the end is the kernel's last line. */
async function untrimmedStart(machine: UntrimmedMachine): Promise<Start> {
  const { total, qemu, shown, told } = await startUntrimmed(machine);
  const at = (name: string) => told.get(name) ?? Number.NaN;
  return {
    total,
    phases: {
      rkt: qemu,
      firmware: shown - qemu - at("up"),
      kernel: at("kernel"),
      drivers: at("drivers") - at("kernel"),
      root: at("root") - at("drivers"),
      furnish: at("furnish") - at("root"),
      units: at("up") - at("furnish"),
      end: at("end") - at("up"),
      off: total - shown - (at("end") - at("up")),
    },
  };
}

/** "phase NAME SECONDS" → milliseconds of the guest's clock. */
function guestPhases(log: string): Map<string, number> {
  const lines = readFileSync(log, "latin1").matchAll(/phase ([a-z]+) ([0-9.]+)/g);
  return new Map([...lines].map(([, name = "", seconds]) => [name, Number(seconds) * 1000]));
}

/**
 * On top of /usr, while it is on: a QEMU that makes of the words for rkt's machine those for q35 as it comes. The mount is the benchmark's own (tools/apart.sh).
 */
function makePlainMachine({ dir }: Workspace): { on: () => void; off: () => void } {
  const top = join(dir, "plain");
  mkdirSync(join(top, "bin"), { recursive: true });
  mkdirSync(join(top, "lib/rkt-bench"), { recursive: true });
  copyFileSync(QEMU, join(top, PLAIN_QEMU.replace("/usr/", "")));
  copyFileSync(compressedKernel(kernelPackages()), join(top, "lib/rkt-bench/vmlinuz"));
  const wrapper = join(top, QEMU.replace("/usr/", ""));
  writeFileSync(wrapper, PLAIN_MACHINE);
  for (const file of [wrapper, join(top, PLAIN_QEMU.replace("/usr/", ""))]) chmodSync(file, 0o755);
  return {
    on: () => void run(["mount", "-t", "overlay", "-o", `ro,lowerdir=${top}:/usr`, "overlay", "/usr"]),
    off: () => void run(["umount", "--lazy", "/usr"]),
  };
}

async function measureMemory(space: Workspace, image: string): Promise<Memory> {
  const script = ["--exec=/bin/sh", "--", "-c", "cat /proc/meminfo; echo ready; exec sleep 1000"];
  const command = space.rkt(["run", KVM, "--net=none", image, ...script]);
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "ignore", env: PLAIN_ENVIRONMENT });
  let output = "";
  for await (const chunk of child.stdout) {
    output += Buffer.from(chunk).toString();
    if (output.includes("ready")) break;
  }
  await Bun.sleep(2000);
  const processes = [child.pid, ...descendantsOf(child.pid)].map((pid) => ({
    ...residentProcess(pid),
    what: whatOf(pid),
  }));
  child.kill("SIGTERM");
  await child.exited;
  run(space.rkt(["gc", "--grace-period=0s"]));
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+([0-9]+)`, "m").exec(output)?.[1]) * 1024;
  return { processes, guest: { total: of("MemTotal"), available: of("MemAvailable") } };
}

function isQemu(command: string): boolean {
  return [QEMU, PLAIN_QEMU].some((path) => command.startsWith(path));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

function whatOf(pid: number): string {
  const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  if (name.startsWith("qemu")) return "QEMU, with the guest's memory";
  return name === "sh" || name === "rkt-kvm" ? "the supervisor (a shell)" : name;
}
