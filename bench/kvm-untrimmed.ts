/**
 * What a virtual machine costs that nobody has trimmed: Debian's cloud kernel as packaged, in QEMU's q35 with its default devices; an initramfs of busybox and seven of Debian's drivers, signatures and all; the
 * stage1's tree, which virtiofsd shares with its default options; in it systemd with one unit, which prints a line; power off. Nothing of rkt's runs in it or before it.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { archive, type Entry } from "../tools/build-stage1-kernel.ts";
import { run } from "./measure.ts";
import type { Workspace } from "./workspace.ts";

export const QEMU = "/usr/bin/qemu-system-x86_64";
const SEPARATE_VIRTIOFSD = "/usr/libexec/virtiofsd";
/** Milliseconds: a machine that hangs is an error. */
const LONGEST = 120_000;
/** In the order in which they are loaded. */
const DRIVERS = [
  "virtio_ring",
  "virtio",
  "virtio_pci_modern_dev",
  "virtio_pci_legacy_dev",
  "virtio_pci",
  "fuse",
  "virtiofs",
];

/** Each phase is told by the guest's clock, as rkt's guest program does (stage1/kvm/guest/init.c); a shell built into one program starts no process for it. */
const INIT = `#!/bin/busybox sh
phase() { read up rest < /proc/uptime; echo "phase $1 $up"; }
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec < /dev/console > /dev/console 2>&1
phase kernel
for driver in ${DRIVERS.join(" ")}; do /bin/busybox insmod /modules/$driver.ko; done
phase drivers
/bin/busybox mount -t virtiofs virtiofs /pod
phase root
for name in proc sys dev; do /bin/busybox mount -o move /$name /pod/$name; done
read up rest < /pod/proc/uptime
echo "phase furnish $up"
exec /bin/busybox switch_root /pod /usr/lib/systemd/systemd
`;

const UNIT = `[Unit]
DefaultDependencies=no
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/usr/bin/sh -c 'read up rest < /proc/uptime; echo "up $$up"'
StandardOutput=tty
TTYPath=/dev/console
`;

const TARGET = "[Unit]\nDefaultDependencies=no\nRequires=line.service\n";

export interface UntrimmedMachine {
  readonly kernel: string;
  readonly initrd: string;
  /** What is shared. */
  readonly root: string;
  readonly socket: string;
}

/** All in milliseconds: the whole, by the host's clock; when the line came, by the host's; and what the guest told by its own. */
export interface UntrimmedStart {
  readonly total: number;
  readonly qemu: number;
  readonly shown: number;
  readonly told: ReadonlyMap<string, number>;
}

export function makeUntrimmedMachine({ dir }: Workspace): UntrimmedMachine {
  const top = join(dir, "untrimmed");
  const root = join(top, "root");
  mkdirSync(root, { recursive: true });
  run(["tar", "-xf", "build/stage1-kvm.aci", "-C", root, "--strip-components=1", "rootfs"]);
  const units = join(root, "etc/systemd/system");
  mkdirSync(units, { recursive: true });
  writeFileSync(join(units, "line.service"), UNIT);
  writeFileSync(join(units, "default.target"), TARGET);
  const packages = kernelPackages();
  const initrd = join(top, "initrd");
  writeFileSync(initrd, initramfs(packages));
  return { kernel: compressedKernel(packages), initrd, root, socket: join(top, "files.sock") };
}

/** Throws when the machine does not print its line and power off. */
export async function startUntrimmed(machine: UntrimmedMachine): Promise<UntrimmedStart> {
  const begin = performance.now();
  rmSync(machine.socket, { force: true });
  const files = Bun.spawn([virtiofsd(), ...sharing(machine)], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  while (!existsSync(machine.socket) && files.exitCode === null) await Bun.sleep(2);
  const qemu = performance.now();
  const child = Bun.spawn([QEMU, ...words(machine)], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const deadline = setTimeout(() => child.kill("SIGKILL"), LONGEST);
  let output = "";
  let shown = Number.NaN;
  for await (const chunk of child.stdout) {
    output += Buffer.from(chunk).toString("latin1");
    if (Number.isNaN(shown) && /^up [0-9.]+\r?$/m.test(output)) shown = performance.now();
  }
  const status = await child.exited;
  const end = performance.now();
  clearTimeout(deadline);
  files.kill("SIGKILL");
  await files.exited;
  const powerDown = /\[ *([0-9.]+)\] reboot: Power down/.exec(output)?.[1];
  if (status !== 0 || Number.isNaN(shown) || powerDown === undefined) {
    const errors = await Promise.all([files, child].map(({ stderr }) => new Response(stderr).text()));
    throw new Error(`untrimmed machine: status ${status}: ${errors.join("")}\n${output.slice(-4000)}`);
  }
  const lines = output.matchAll(/^(?:phase )?([a-z]+) ([0-9.]+)\r?$/gm);
  const told = new Map([...lines].map(([, name = "", seconds]) => [name, Number(seconds) * 1000]));
  return {
    total: end - begin,
    qemu: qemu - begin,
    shown: shown - begin,
    told: told.set("end", Number(powerDown) * 1000),
  };
}

/** Default options: only where it listens and what it shares. */
function sharing({ root, socket }: UntrimmedMachine): string[] {
  return virtiofsd() === SEPARATE_VIRTIOFSD
    ? [`--socket-path=${socket}`, `--shared-dir=${root}`]
    : [`--socket-path=${socket}`, "-o", `source=${root}`];
}

function virtiofsd(): string {
  return existsSync(SEPARATE_VIRTIOFSD) ? SEPARATE_VIRTIOFSD : "/usr/lib/qemu/virtiofsd";
}

/** As much memory as rkt's machine has. No window, since a server has none; the screen's adapter is there. */
function words({ kernel, initrd, socket }: UntrimmedMachine): string[] {
  return [
    ...["-machine", "q35,memory-backend=memory", "-accel", "tcg", "-cpu", "max", "-m", "512M"],
    ...["-object", "memory-backend-memfd,id=memory,size=512M,share=on"],
    ...["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0"],
    ...["-chardev", `socket,id=files,path=${socket}`, "-device", "vhost-user-fs-pci,chardev=files,tag=virtiofs"],
    ...["-display", "none", "-serial", "stdio", "-no-reboot"],
  ];
}

function initramfs(packages: string): Buffer {
  const modules = join(packages, "lib/modules");
  const paths = readdirSync(modules, { recursive: true, encoding: "utf8" });
  const driver = (name: string): Entry => {
    const path = paths.find((one) => one.endsWith(`/${name}.ko`));
    if (path === undefined) throw new Error(`the kernel's package has no driver ${name}`);
    return { name: `modules/${name}.ko`, mode: 0o100644, content: readFileSync(join(modules, path)) };
  };
  const directory = (name: string): Entry => ({ name, mode: 0o40755, content: Buffer.alloc(0) });
  return archive([
    ...["bin", "dev", "proc", "sys", "pod", "modules"].map(directory),
    { name: "bin/busybox", mode: 0o100755, content: readFileSync("/bin/busybox") },
    { name: "init", mode: 0o100755, content: Buffer.from(INIT) },
    ...DRIVERS.map(driver),
  ]);
}

/** Where the build unpacked Debian's packages, the kernel among them. */
export function kernelPackages(): string {
  const found = readdirSync("build/.cache")
    .filter((name) => name.startsWith("stage1-packages-"))
    .map((name) => join("build/.cache", name, "root"))
    .find((root) => existsSync(join(root, "boot")));
  if (found === undefined) throw new Error("no kernel below build/.cache: run make stage1");
  return found;
}

/** Its kernel as packaged: compressed. */
export function compressedKernel(packages: string): string {
  const name = readdirSync(join(packages, "boot")).find((one) => one.startsWith("vmlinuz-"));
  if (name === undefined) throw new Error(`no kernel in ${packages}/boot`);
  return join(packages, "boot", name);
}
