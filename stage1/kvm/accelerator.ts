/** Whether the processor's help (/dev/kvm) can be had, by QEMU's user too, who owns nothing. */

import { closeSync, openSync, statSync } from "node:fs";
import { KVM_DEVICE, missingVirtualization } from "../../src/host/virtualization.ts";

/** `group`: what QEMU's user must belong to; undefined where everybody may open the device. */
export type Accelerator = { readonly kind: "kvm"; readonly group: number | undefined } | NoAccelerator;
type NoAccelerator = { readonly kind: "none"; readonly why: string };

/** Asks the host. */
export function findAccelerator(device: string = KVM_DEVICE): Accelerator {
  const missing = missingVirtualization(device);
  if (missing !== undefined) return { kind: "none", why: missing };
  try {
    closeSync(openSync(device, "r+"));
  } catch (error) {
    return {
      kind: "none",
      why: `${device} cannot be opened (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
    };
  }
  return permitted(device, statSync(device));
}

/** Debian's is root's and the group kvm's, 0660. A group of root's is given to no machine. Pure. */
export function permitted(device: string, { mode, gid }: { mode: number; gid: number }): Accelerator {
  const may = (bits: number) => (mode & bits) === bits;
  if (may(0o006)) return { kind: "kvm", group: undefined };
  if (may(0o060) && gid !== 0) return { kind: "kvm", group: gid };
  const octal = (mode & 0o777).toString(8).padStart(4, "0");
  return {
    kind: "none",
    why: `${device} is open to root only (mode ${octal}, group ${gid}), expected a group of its own that may read and write it`,
  };
}
