/** SELinux by its files alone (selinux(8), lsetxattr(2)): nothing is linked, and on a host without it one look at a file is all that happens. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno } from "./errno.ts";

const CONFIG = "/etc/selinux/config";

/** The kernel has a policy loaded. */
export function selinuxEnabled(): boolean {
  return existsSync("/sys/fs/selinux/enforce");
}

/** False: what the policy forbids is only logged. */
export function selinuxEnforcing(): boolean {
  try {
    return readFileSync("/sys/fs/selinux/enforce", "latin1").trim() === "1";
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** The context of this process: "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023". */
export function ownContext(): string {
  return readFileSync("/proc/self/attr/current", "latin1").replace(/[\0\n]*$/, "");
}

/**
 * Asks for the context that the program has which this thread executes next (setexeccon(3)); undefined: what the policy gives it. Throws EACCES where the policy does not
 * let this process ask; whether the program may have it is told by execve.
 */
export function setNextContext(context: string | undefined): void {
  // Without O_CREAT: there is nothing to make, and asking for it is a refusal in the audit log.
  writeFileSync("/proc/thread-self/attr/exec", context === undefined ? "\n" : `${context}\0`, { flag: "r+" });
}

/** A file of the host's policy: `contexts/lxc_contexts` of /etc/selinux/TYPE. Throws NOT_FOUND. */
export function readPolicyFile(name: string, config = CONFIG): string {
  const path = `/etc/selinux/${policyType(readText(config))}/${name}`;
  return readText(path);
}

/** SELINUXTYPE= of selinux_config(5). Throws INVALID_INPUT for what would lead out of its directory. */
export function policyType(config: string): string {
  const type = /^\s*SELINUXTYPE\s*=\s*(\S+)\s*$/m.exec(config)?.[1] ?? "targeted";
  if (/^[A-Za-z0-9_-]+$/.test(type)) return type;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot use SELINUXTYPE ${quoted(type)} of ${quoted(CONFIG)}: it is no name of a policy`,
  );
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new RktError(
      "NOT_FOUND",
      `Cannot label the pod: SELinux is enabled, and its file ${quoted(path)} cannot be read`,
      {
        cause,
        hint: "install the host's SELinux policy for containers, or switch SELinux off",
      },
    );
  }
}
