/** The flavors that this project builds, and the names by which old callers know them. The one table of aliases. */

import { type IsolationName, NAMESPACE_NAMES } from "./isolation.ts";

export const FLAVORS = ["nspawn", "host", "fly", "kvm"] as const;
export type Flavor = (typeof FLAVORS)[number];

const CONTAINER: readonly IsolationName[] = [...NAMESPACE_NAMES, "capabilities", "seccomp", "devices", "selinux"];

/** What each can give (isolation.ts): in its image's annotation, and for the record of a pod. */
export const FLAVOR_ISOLATION: Readonly<Record<Flavor, readonly IsolationName[]>> = {
  nspawn: CONTAINER,
  host: CONTAINER,
  fly: ["mount"],
  // Inside the machine, but for the last two. Its users are the guest's own, and the same as the pod's.
  kvm: [...CONTAINER.filter((name) => name !== "userns" && name !== "selinux"), "vm", "kvm"],
};

export const DEFAULT_FLAVOR: Flavor = "nspawn";

/** Other names of a flavor, in file names (`stage1-coreos.aci`) and image names (`coreos.com/rkt/stage1-coreos`): what rkt 1.x called it. */
const ALIASES: Readonly<Record<string, Flavor>> = { coreos: "nspawn", "kvm-qemu": "kvm", "kvm-lkvm": "kvm" };

const IMAGE_NAME_PREFIX = "coreos.com/rkt/stage1-";

/** "nspawn" for "nspawn" and "coreos"; undefined for a name that this project does not build. */
export function flavorNamed(name: string): Flavor | undefined {
  const known = FLAVORS.find((flavor) => flavor === name);
  return known ?? (Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined);
}

/** Every name of `flavor`, its own first. */
export function namesOfFlavor(flavor: Flavor): string[] {
  return [flavor, ...Object.keys(ALIASES).filter((alias) => ALIASES[alias] === flavor)];
}

/** The name in the image's manifest. */
export function stage1ImageName(flavor: Flavor): string {
  return `${IMAGE_NAME_PREFIX}${flavor}`;
}

/** The flavor that an image name means ("coreos.com/rkt/stage1-coreos" → "nspawn"). */
export function flavorOfImageName(name: string): Flavor | undefined {
  return name.startsWith(IMAGE_NAME_PREFIX) ? flavorNamed(name.slice(IMAGE_NAME_PREFIX.length)) : undefined;
}

export function stage1FileName(flavor: Flavor): string {
  return `stage1-${flavor}.aci`;
}

/** The flavor that a file name means ("stage1-coreos.aci" → "nspawn"). */
export function flavorOfFileName(file: string): Flavor | undefined {
  const name = /^stage1-(.+)\.aci$/.exec(file)?.[1];
  return name === undefined ? undefined : flavorNamed(name);
}
