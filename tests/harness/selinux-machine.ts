/**
 * A machine with SELinux enforcing: Debian's kernel and policy (tools/test-packages.sh selinux), with rkt's own module of it, under QEMU; its file system is made anew, with
 * labels, for every start. Runs tests/selinux/cases.sh and ends. Needs root.
 */

import { spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { findAccelerator } from "../../stage1/kvm/accelerator.ts";
import { buildAci } from "./images.ts";
import { RKT } from "./rkt.ts";
import { temporaryDirectory } from "./temporary.ts";

const TREE = resolve("build/.cache/test-roots/selinux");
const SOURCES = resolve("tests/selinux");
const CONSOLE = resolve("build/test-logs/selinux-console.log");
/** Milliseconds; emulated, the cases take about a third of them. */
export const MACHINE_LIMIT = 1_800_000;

/** What was said on the machine's console. */
export async function runSelinuxMachine(): Promise<string> {
  if (!existsSync(TREE)) throw new Error(`no Debian in ${TREE}: run tools/setup.sh test selinux`);
  using work = temporaryDirectory("selinux");
  furnish(work.path);
  const disk = makeDisk(work.path);
  const boot = join(TREE, "boot");
  const file = (prefix: string) => join(boot, readdirSync(boot).find((name) => name.startsWith(prefix)) ?? prefix);
  const accelerator = findAccelerator().kind === "kvm" ? "kvm:tcg" : "tcg";
  const words = "root=/dev/vda ro console=ttyS0 security=selinux audit=1 init=/opt/test/guest.sh quiet panic=-1";
  const child = spawn(
    "qemu-system-x86_64",
    [
      ...["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"],
      ...["-machine", `q35,accel=${accelerator}`, "-cpu", "max", "-smp", "2", "-m", "2048"],
      ...["-kernel", file("vmlinuz-"), "-initrd", file("initrd.img-"), "-append", words],
      ...["-drive", `file=${disk},format=raw,if=virtio,cache=unsafe`],
    ],
    // Ends a machine that hangs, before the test's own limit would leave it behind.
    { stdio: ["ignore", "pipe", "inherit"], timeout: MACHINE_LIMIT, killSignal: "SIGKILL" },
  );
  mkdirSync(dirname(CONSOLE), { recursive: true });
  writeFileSync(CONSOLE, "");
  child.stdout?.on("data", (bytes: Buffer) => appendFileSync(CONSOLE, bytes));
  await new Promise((done, fail) => child.once("error", fail).once("close", done));
  return readFileSync(CONSOLE, "utf8").replaceAll("\r", "");
}

/** What the cases need besides Debian, and the modules of the policy. */
function furnish(work: string): void {
  const place = join(TREE, "opt/test");
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  buildAci(join(work, "app.aci"), {}, { "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n" });
  const stage1 = ["stage1-nspawn.aci", "stage1-host.aci"].map((name) => join(dirname(RKT), name));
  const files = [RKT, ...stage1, join(work, "app.aci")];
  ok(["cp", "--dereference", ...files, place]);
  ok(["install", "--mode=755", ...["guest.sh", "cases.sh", "service.sh"].map((name) => join(SOURCES, name)), place]);
  ok(["cp", resolve("dist/selinux/rkt.cil"), join(SOURCES, "test.cil"), place]);
  // In a mount namespace that goes with the shell: both programs need /proc.
  const script = `
    mount -t proc proc "$1/proc"
    chroot "$1" semodule --noreload --disable_dontaudit --install=/opt/test/rkt.cil --install=/opt/test/test.cil
    chroot "$1" setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts /
  `;
  ok(["unshare", "--mount", "--propagation=private", "sh", "-ec", script, "label", TREE]);
}

/** With the labels, which are attributes of the files. */
function makeDisk(work: string): string {
  const disk = join(work, "disk");
  writeFileSync(disk, "");
  truncateSync(disk, 2500 * 1024 * 1024);
  ok(["mke2fs", "-q", "-t", "ext4", "-d", TREE, disk]);
  return disk;
}

function ok(command: readonly [string, ...string[]]): void {
  const [program, ...words] = command;
  const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const { status, stderr } = spawnSync(program, words, { encoding: "utf8", env: { PATH: path } });
  if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}\n${stderr}`);
}
