/** The page of `make bench-kvm`. */

import { existsSync, readFileSync } from "node:fs";
import { findAccelerator } from "../stage1/kvm/accelerator.ts";
import { QEMU } from "./kvm-untrimmed.ts";
import { median, run } from "./measure.ts";
import type { ResidentProcess } from "./memory.ts";
import type { surroundings } from "./surroundings.ts";

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

export interface Start {
  /** All in milliseconds. */
  readonly total: number;
  readonly phases: Readonly<Record<Phase, number>>;
}

export interface Memory {
  readonly processes: readonly (ResidentProcess & { what: string })[];
  /** Of the guest's /proc/meminfo, bytes. */
  readonly guest: { total: number; available: number };
}

/** Each machine's rounds. */
export interface Starts {
  readonly trimmed: readonly Start[];
  readonly q35: readonly Start[];
  readonly untrimmed: readonly Start[];
}

/** Markdown. Pure but for what it asks of the machine: whether it has KVM, and QEMU's version. */
export function report(
  around: ReturnType<typeof surroundings>,
  { trimmed, q35, untrimmed }: Starts,
  memory: Memory,
): string {
  const middle = (starts: readonly Start[], of: (start: Start) => number) => median(starts.map(of));
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const whole = (starts: readonly Start[]) => middle(starts, ({ total }) => total);
  const [ours, theirs, nobodys] = [whole(trimmed), whole(q35), whole(untrimmed)];
  const spread = (starts: readonly Start[]) => {
    const all = starts.map(({ total }) => total);
    return `${ms(Math.min(...all))} to ${ms(Math.max(...all))}`;
  };
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const share = ours / nobodys;
  const columns = [trimmed, q35, untrimmed];
  const sum = (of: (one: ResidentProcess) => number) => memory.processes.reduce((all, one) => all + of(one), 0);
  return [
    "# A pod in a virtual machine, measured",
    "",
    "Written by `make bench-kvm`: one program that prints a line, in three machines in turns, each of 512 MB and one processor, without a network. Medians, and from the fastest to the slowest.",
    "",
    "- **rkt's machine**: `rkt run` of one app, from the command to its status.",
    "- **q35 as it comes**: the same pod with the same files, kernel, drivers and guest program; but QEMU's machine q35 with SeaBIOS and its default devices, the compressed kernel, a plain command line. What differs is the machine alone.",
    "- **Debian's kernel in q35, untrimmed**: what there would be without anything of rkt's ([bench/kvm-untrimmed.ts](../../bench/kvm-untrimmed.ts)). `linux-image-cloud-amd64` as packaged, `-machine q35 -accel tcg -cpu max` with the default devices, the command line `console=ttyS0`; an initramfs of busybox and seven of Debian's drivers with their signatures; the stage1's tree, which virtiofsd shares with its default options; in it systemd with its ordinary unit path and one unit, which prints a line; power off. It counts from the start of virtiofsd to QEMU's end: no image, no store, no sandbox.",
    "",
    `- commit ${around.commit}, ${around.date} UTC, ${around.runs} rounds, after one that warms up`,
    `- ${around.machine}; ${around.system}; ${findAccelerator().kind === "kvm" ? "with KVM" : "no KVM: the processor is emulated"}`,
    `- load average at the start: ${around.load}`,
    `- ${run([QEMU, "--version"]).split("\n")[0]}`,
    "",
    "| | rkt's machine | q35 as it comes | Debian's kernel in q35, untrimmed |",
    "| --- | --- | --- | --- |",
    `| from start to status | ${columns.map((starts) => `${ms(whole(starts))} (${spread(starts)})`).join(" | ")} |`,
    `| rkt's machine takes of it | | ${percent(ours / theirs)} | **${percent(share)}** |`,
    "",
    `Budget: at most 60 % of the untrimmed machine's time: **${share <= 0.6 ? "met" : "missed"}**. At most 15 s emulated: **${ours <= 15_000 ? "met" : "missed"}**.`,
    "",
    "## Where the time goes",
    "",
    "| phase | rkt's machine | q35 as it comes | untrimmed |",
    "| --- | --- | --- | --- |",
    ...PHASES.map(
      ([name, what]) =>
        `| ${what} | ${columns.map((starts) => ms(middle(starts, ({ phases }) => phases[name]))).join(" | ")} |`,
    ),
    "",
    "The guest tells its own phases by its own clock (`rkt_phases=1` on the kernel's command line, in `kvm/kernel.log` of the pod); what is before and after is the host's. The untrimmed machine's tell theirs on its console, in hundredths of a second; before QEMU it is virtiofsd that starts, and its end is the kernel's \"Power down\".",
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

/** What stands in the page about the tests, which is written by hand: it stays. */
export function keptSection(page: string): string {
  const text = existsSync(page) ? readFileSync(page, "utf8") : "";
  const start = text.indexOf("\n## What the tests");
  return start < 0 ? "" : text.slice(start);
}
