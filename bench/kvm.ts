/**
 * `make bench-kvm`: a pod in a virtual machine beside the same pod in QEMU's machine q35 as it comes (its firmware, its default devices, the kernel compressed, a plain command line), in turns: the same kernel,
 * guest program, files and job. Where the time goes, and what memory a machine costs. BENCH_RUNS: rounds (default 5). Writes docs/evidence/kvm.md; fails when a machine does not work.
 */

import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { median, PLAIN_ENVIRONMENT, run } from "./measure.ts";
import { type ResidentProcess, residentProcess } from "./memory.ts";
import { surroundings } from "./surroundings.ts";
import { RKT, type Workspace, workspace } from "./workspace.ts";

const QEMU = "/usr/bin/qemu-system-x86_64";
const KVM = "--stage1-name=coreos.com/rkt/stage1-kvm";
/** In the order in which they end; the names from "kernel" to "furnish", and "end", are the guest's own (stage1/kvm/guest/init.c). */
const PHASES = [
  ["rkt", "rkt, until QEMU starts"],
  ["firmware", "QEMU and firmware, until the kernel's clock runs"],
  ["kernel", "kernel, until its first program"],
  ["drivers", "drivers"],
  ["root", "the pod's root, through virtiofsd"],
  ["furnish", "/dev, /proc, /sys, mounts, the agent"],
  ["units", "systemd, until the app's first output"],
  ["end", "the app's end, systemd's"],
  ["off", "power off, until rkt's status"],
] as const;
type Phase = (typeof PHASES)[number][0];

interface Start {
  /** All in milliseconds. */
  readonly total: number;
  readonly phases: Readonly<Record<Phase, number>>;
}

interface Memory {
  readonly processes: readonly (ResidentProcess & { what: string })[];
  /** Of the guest's /proc/meminfo, bytes. */
  readonly guest: { total: number; available: number };
}

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
exec /usr/bin/rkt-bench-qemu "$@"
`;

const runs = Number(process.env.BENCH_RUNS ?? "5");
const space = workspace();
try {
  const around = surroundings({ runs, imageSize: 0, imageFiles: 0 }, RKT);
  const image = run(space.rkt(["fetch", "--full", `oci:${space.layout}:latest`])).trim();
  const plain = makePlainMachine(space);
  const trimmed: Start[] = [];
  const untrimmed: Start[] = [];
  for (let round = -1; round < runs; round += 1) {
    const ours = await start(space, image, []);
    plain.on();
    const theirs = await start(space, image, ["rkt_pci=1"]).finally(plain.off);
    if (round >= 0) {
      trimmed.push(ours);
      untrimmed.push(theirs);
    }
    console.error(
      `bench: kvm: round ${round + 1} of ${runs}: ${ours.total.toFixed(0)} ms, q35 ${theirs.total.toFixed(0)} ms`,
    );
  }
  const page = report(around, trimmed, untrimmed, await measureMemory(space, image));
  writeFileSync("docs/evidence/kvm.md", page);
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
    if (!descendants(child.pid).some((pid) => commandOf(pid).startsWith(QEMU))) return;
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
  copyFileSync(QEMU, join(top, "bin/rkt-bench-qemu"));
  copyFileSync(compressedKernel(), join(top, "lib/rkt-bench/vmlinuz"));
  const wrapper = join(top, QEMU.replace("/usr/", ""));
  writeFileSync(wrapper, PLAIN_MACHINE);
  for (const file of [wrapper, join(top, "bin/rkt-bench-qemu")]) chmodSync(file, 0o755);
  return {
    on: () => void run(["mount", "-t", "overlay", "-o", `ro,lowerdir=${top}:/usr`, "overlay", "/usr"]),
    off: () => void run(["umount", "--lazy", "/usr"]),
  };
}

/** As Debian's package has it. */
function compressedKernel(): string {
  for (const name of readdirSync("build/.cache").filter((one) => one.startsWith("stage1-packages-"))) {
    const boot = join("build/.cache", name, "root/boot");
    const kernel = existsSync(boot) ? readdirSync(boot).find((one) => one.startsWith("vmlinuz-")) : undefined;
    if (kernel !== undefined) return join(boot, kernel);
  }
  throw new Error("no kernel below build/.cache: run make stage1");
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
  const processes = [child.pid, ...descendants(child.pid)].map((pid) => ({
    ...residentProcess(pid),
    what: whatOf(pid),
  }));
  child.kill("SIGTERM");
  await child.exited;
  run(space.rkt(["gc", "--grace-period=0s"]));
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+([0-9]+)`, "m").exec(output)?.[1]) * 1024;
  return { processes, guest: { total: of("MemTotal"), available: of("MemAvailable") } };
}

function descendants(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter((one) => one !== "")
      .map(Number);
    return children.flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return [];
  }
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

function report(
  around: ReturnType<typeof surroundings>,
  trimmed: readonly Start[],
  untrimmed: readonly Start[],
  memory: Memory,
): string {
  const middle = (starts: readonly Start[], of: (start: Start) => number) => median(starts.map(of));
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const [ours, theirs] = [middle(trimmed, ({ total }) => total), middle(untrimmed, ({ total }) => total)];
  const spread = (starts: readonly Start[]) => {
    const all = starts.map(({ total }) => total);
    return `${ms(Math.min(...all))} to ${ms(Math.max(...all))}`;
  };
  const share = ours / theirs;
  const sum = (of: (one: ResidentProcess) => number) => memory.processes.reduce((all, one) => all + of(one), 0);
  return [
    "# A pod in a virtual machine, measured",
    "",
    "Written by `make bench-kvm`: `rkt run` of one app that prints a line, from the command to its status, without a network; the same pod in rkt's machine and in QEMU's q35 as it comes (SeaBIOS, default devices, the compressed kernel, a plain command line), in turns. Medians.",
    "",
    `- commit ${around.commit}, ${around.date} UTC, ${around.runs} rounds, after one that warms up`,
    `- ${around.machine}; ${around.system}; ${existsSync("/dev/kvm") ? "with KVM" : "no KVM: the processor is emulated"}`,
    `- load average at the start: ${around.load}`,
    `- ${run([QEMU, "--version"]).split("\n")[0]}`,
    "",
    "| | rkt's machine | q35 as it comes | budget | |",
    "| --- | --- | --- | --- | --- |",
    `| from \`rkt run\` to its status | ${ms(ours)} (${spread(trimmed)}) | ${ms(theirs)} (${spread(untrimmed)}) | ≤ 60 % of q35's | **${(share * 100).toFixed(0)} %, ${share <= 0.6 ? "met" : "missed"}** |`,
    `| the same | ${ms(ours)} | | ≤ 15 s emulated | **${ours <= 15_000 ? "met" : "missed"}** |`,
    "",
    "## Where the time goes",
    "",
    "| phase | rkt's machine | q35 as it comes |",
    "| --- | --- | --- |",
    ...PHASES.map(
      ([name, what]) =>
        `| ${what} | ${ms(middle(trimmed, ({ phases }) => phases[name]))} | ${ms(middle(untrimmed, ({ phases }) => phases[name]))} |`,
    ),
    "",
    "The guest tells its own phases by its own clock (`rkt_phases=1` on the kernel's command line, in `kvm/kernel.log` of the pod); what is before and after is the host's.",
    "",
    "## What a machine costs in memory",
    "",
    "A machine of 512 MB with one app that sleeps. What the guest has touched of its memory counts at QEMU; the shared columns count a page that two processes have once for each, the proportional share half for each.",
    "",
    "| process | RSS | proportional share |",
    "| --- | --- | --- |",
    ...memory.processes.map(({ what, rss, pss }) => `| ${what} | ${mb(rss)} | ${mb(pss)} |`),
    `| all | ${mb(sum(({ rss }) => rss))} | ${mb(sum(({ pss }) => pss))} |`,
    "",
    `Of 536.9 MB the guest's kernel leaves ${mb(memory.guest.total)}, of which ${mb(memory.guest.available)} are there for apps: kernel, systemd and agent take ${mb(512 * 1024 * 1024 - memory.guest.available)}.`,
    "",
  ].join("\n");
}
