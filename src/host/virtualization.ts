/** Whether the processor can run virtual machines by itself. */

import { closeSync, existsSync, openSync, readSync } from "node:fs";

export const KVM_DEVICE = "/dev/kvm";

/**
 * What is missing where there is no /dev/kvm, or where it is not the processor's help: a cloud's machine may have the device and no virtualization of its own (kvm_pvm), and then runs a usual kernel by
 * emulating each instruction, slower than QEMU does. Undefined where nothing is missing. Intel calls it vmx, AMD svm; a host in a machine has the flag when that machine may have
 * machines of its own (/proc/cpuinfo, proc_cpuinfo(5)). On other architectures the device is evidence enough.
 */
export function missingVirtualization(device: string = KVM_DEVICE): string | undefined {
  if (!existsSync(device)) return `no ${device} on this host`;
  if (process.arch !== "x64" || virtualizes(beginning(CPUINFO))) return undefined;
  return "the processor does not virtualize (neither vmx nor svm in /proc/cpuinfo)";
}

/** Pure: `cpuinfo` begins with the whole of the first processor. */
export function virtualizes(cpuinfo: string): boolean {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1] ?? "";
  return /\b(?:vmx|svm)\b/.test(flags);
}

const CPUINFO = "/proc/cpuinfo";

/** One processor is about two kilobytes; a large host has hundreds. */
const ENOUGH = 16 * 1024;

function beginning(path: string): string {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(ENOUGH);
    return bytes.toString("latin1", 0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}
