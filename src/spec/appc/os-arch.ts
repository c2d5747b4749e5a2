/** Operating systems and architectures in the appc vocabulary (schema/types/labels.go), and which of them rkt runs (stage0/arch.go of rkt 1.x). */

import { RktError } from "../../core/errors.ts";
import type { Labels } from "../../core/spine.ts";
import { quoted } from "../../core/text.ts";

/** Values of the labels `os` and `arch` that a manifest may have. */
export const VALID_OS_ARCH: OsArchTable = {
  darwin: ["x86_64", "i386"],
  freebsd: ["amd64", "i386", "arm"],
  linux: ["amd64", "i386", "aarch64", "aarch64_be", "armv6l", "armv7l", "armv7b", "ppc64", "ppc64le", "s390x"],
};

/** What rkt fetches and runs. */
export const RUNNABLE_OS_ARCH: OsArchTable = {
  linux: ["amd64", "i386", "aarch64", "aarch64_be", "armv6l", "armv7l", "armv7b", "ppc64le"],
};

export type OsArchTable = Readonly<Record<string, readonly string[]>>;

/** Why the labels `os` and `arch` are not in `table`; undefined when they are, or are absent. `arch` counts only beside an `os`. */
export function osArchProblem(labels: Labels, table: OsArchTable): string | undefined {
  const os = labelValue(labels, "os");
  if (os === undefined) return undefined;
  const archs = Object.hasOwn(table, os) ? table[os] : undefined;
  if (archs === undefined) {
    return `bad os ${quoted(os)} (must be one of: [${Object.keys(table).sort().join(" ")}])`;
  }
  const arch = labelValue(labels, "arch");
  if (arch === undefined || archs.includes(arch)) return undefined;
  return `bad arch ${quoted(arch)} for ${os} (must be one of: [${archs.join(" ")}])`;
}

/** Checks that an image with these labels may run here: both labels present, and known to rkt. Throws UNSUPPORTED in rkt's words. */
export function assertRunnable(labels: Labels): void {
  for (const name of ["os", "arch"]) {
    if (labelValue(labels, name) === undefined) {
      throw new RktError("UNSUPPORTED", `missing ${name} label in the image manifest`);
    }
  }
  const problem = osArchProblem(labels, RUNNABLE_OS_ARCH);
  if (problem !== undefined) throw new RktError("UNSUPPORTED", problem);
}

/** `labels` with the host's `os` and `arch` where they are missing, as rkt fetches an image named without them. */
export function withHostLabels(labels: Labels): Labels {
  const result = [...labels];
  if (labelValue(labels, "os") === undefined) result.push({ name: "os", value: appcOs() });
  if (labelValue(labels, "arch") === undefined) result.push({ name: "arch", value: appcArch() });
  return result;
}

/** The host's operating system as an appc label. */
export function appcOs(): string {
  return process.platform;
}

/** The host's architecture as an appc label ("amd64", "aarch64"). An unknown one is returned as it is: checks then name it. */
export function appcArch(architecture: string = process.arch): string {
  return HOST_ARCHS[architecture] ?? architecture;
}

/** process.arch → appc. */
const HOST_ARCHS: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "i386",
  arm64: "aarch64",
  arm: "armv7l",
  ppc64: "ppc64le",
  s390x: "s390x",
};

/** The appc `os` and `arch` of an OCI platform (Go's names); undefined when appc has no word for it (riscv64, windows). */
export function appcOsArch(os: string, architecture: string, variant = ""): { os: string; arch: string } | undefined {
  const key = architecture === "arm" && os === "linux" ? `linux/arm/${variant || "v6"}` : `${os}/${architecture}`;
  const arch = Object.hasOwn(OCI_ARCHS, key) ? OCI_ARCHS[key] : undefined;
  return arch === undefined ? undefined : { os, arch };
}

const OCI_ARCHS: Readonly<Record<string, string>> = {
  "linux/amd64": "amd64",
  "linux/386": "i386",
  "linux/arm64": "aarch64",
  "linux/arm64be": "aarch64_be",
  "linux/arm/v5": "armv6l",
  "linux/arm/v6": "armv6l",
  "linux/arm/v7": "armv7l",
  "linux/arm/v8": "armv7l",
  "linux/ppc64": "ppc64",
  "linux/ppc64le": "ppc64le",
  "linux/s390x": "s390x",
  "freebsd/amd64": "amd64",
  "freebsd/386": "i386",
  "freebsd/arm": "arm",
  "darwin/amd64": "x86_64",
  "darwin/386": "i386",
};

/** The value of the label `name`. */
export function labelValue(labels: Labels, name: string): string | undefined {
  return labels.find((label) => label.name === name)?.value;
}
