/** The capabilities that an app may ever have: its bounding set. Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { capabilitySets, type Isolator } from "../../src/spec/appc/mod.ts";

/** Names by number (linux/capability.h), without "CAP_". */
export const CAPABILITIES = [
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"],
  ...["LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"],
  ...["SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"],
  ...["SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"],
  ...["MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"],
  "CHECKPOINT_RESTORE",
].map((name) => `CAP_${name}`);

/** rkt 1.x's default set. */
export const DEFAULT_CAPABILITIES = [
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "KILL", "MKNOD", "NET_RAW", "NET_BIND_SERVICE"],
  ...["SETUID", "SETGID", "SETPCAP", "SETFCAP", "SYS_CHROOT"],
].map((name) => `CAP_${name}`);

/** A retain set replaces the default; a remove set is taken from it. Sorted by number. Throws INVALID_INPUT for a name that the kernel does not have. */
export function boundingSet(isolators: readonly Isolator[]): string[] {
  const { retain, remove } = capabilitySets(isolators);
  const kept = new Set((retain ?? DEFAULT_CAPABILITIES).map(known));
  for (const name of remove ?? []) kept.delete(known(name));
  return CAPABILITIES.filter((name) => kept.has(name));
}

function known(name: string): string {
  const full = name.toUpperCase().startsWith("CAP_") ? name.toUpperCase() : `CAP_${name.toUpperCase()}`;
  if (CAPABILITIES.includes(full)) return full;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(name)} as a capability: expected a name as in capabilities(7)`);
}
