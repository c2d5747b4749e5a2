/** A pod's SELinux label: what stage0 chooses and stage1 puts into effect (RKT_SELINUX_CONTEXT, RKT_SELINUX_MOUNT_CONTEXT). */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { STAGE1_ENV } from "./files.ts";

export interface PodLabel {
  /** Context of the pod's processes: "system_u:system_r:container_t:s0:c12,c700". */
  readonly process: string;
  /** Context of its files, with the same level. */
  readonly file: string;
}

/** What stage0 said; undefined: SELinux is off. Throws INVALID_INPUT for what cannot be a context. */
export function labelFromEnvironment(env: Readonly<Record<string, string | undefined>>): PodLabel | undefined {
  const process = env[STAGE1_ENV.selinuxContext] ?? "";
  const file = env[STAGE1_ENV.selinuxMountContext] ?? "";
  if (process === "" && file === "") return undefined;
  for (const context of [process, file])
    if (!isContext(context)) throw new RktError("INVALID_INPUT", `Cannot use ${quoted(context)} as a SELinux context`);
  return { process, file };
}

export function labelEnvironment(label: PodLabel | undefined): Record<string, string> {
  return { [STAGE1_ENV.selinuxContext]: label?.process ?? "", [STAGE1_ENV.selinuxMountContext]: label?.file ?? "" };
}

/** USER:ROLE:TYPE:LEVEL; the level may have colons of its own. Nothing that could end a mount option or a line. */
export function isContext(text: string): boolean {
  return /^[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:s[0-9]+(-s[0-9]+)?(:c[0-9.,c]+)?$/.test(text);
}

/** "s0:c12,c700" of a context. */
export function levelOf(context: string): string {
  return context.split(":").slice(3).join(":");
}

/** As a mount option: the commas of a level would end it (mount(8), "context="). */
export function contextOption(context: string): string {
  return `context="${context}"`;
}
