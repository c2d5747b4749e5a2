/** A seccomp profile in Docker's form that allows what an app's filter allows, and some calls more: those that `--seccomp=mode=log` found. Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { App } from "../../src/spec/appc/mod.ts";
import { allowedCalls } from "./log-filter.ts";
import { boundingSet } from "./sandbox.ts";
import { isSystemCall } from "./seccomp-sets.ts";

const [EPERM, ENOSYS] = [1, 38];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: what seccomp-profile.ts knows as "no new namespaces". */
const NEW_NAMESPACES = 0x7e020000;

/** Indented JSON with a line break at its end. Throws INVALID_INPUT for a call that has no name here: a profile cannot say it. */
export function profileOfCalls(name: string, app: App, denied: Iterable<string>): string {
  const added = [...denied];
  const unnamed = added.find((call) => !isSystemCall(call));
  if (unnamed !== undefined)
    throw new RktError(
      "INVALID_INPUT",
      `Cannot write a profile for app ${quoted(name)}: it made the system call ${quoted(unnamed)}, whose name is not known here`,
      {
        hint: "a newer rkt may know it",
      },
    );
  const allowed = allowedCalls(name, app.isolators, boundingSet(app.isolators));
  // Where namespaces can be made by one call, to deny them by another one is of no use, and the app needs what it asked for.
  const namespaces = allowed.namespaces || added.some((call) => ["clone", "unshare", "setns"].includes(call));
  const plain = new Set([...allowed.calls, ...added]);
  if (!namespaces) for (const call of ["clone", "clone3"]) plain.delete(call);
  const withoutNamespaces = [
    {
      names: ["clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
    },
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
  ];
  const profile = {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    syscalls: [
      { names: [...plain].sort(), action: "SCMP_ACT_ALLOW" },
      ...(namespaces || !allowed.calls.has("clone") ? [] : withoutNamespaces),
    ],
  };
  return `${JSON.stringify(profile, undefined, 2)}\n`;
}
