/**
 * The manifests of the App Container specification 0.8.11 (schema/image.go, schema/pod.go and spec/aci.md, spec/pods.md of appc/spec).
 *
 * Lists are never absent: a missing or null list is empty. A missing text is "" where an empty text means the same (working directory), else undefined.
 * Every type is read-only: a change is a copy with other fields.
 */

import type { Labels } from "../../core/spine.ts";
import type { JsonValue } from "../json-value.ts";
import type { AcName } from "./names.ts";

/** One label, annotation, environment variable, user label or user annotation. */
export interface NameValue {
  readonly name: string;
  readonly value: string;
}

export interface ImageManifest {
  readonly acVersion: string;
  /** An AC identifier: "example.com/app". */
  readonly name: string;
  readonly labels: Labels;
  readonly app: App | undefined;
  readonly annotations: readonly NameValue[];
  readonly dependencies: readonly Dependency[];
  /** Absolute paths; empty: everything is kept. */
  readonly pathWhitelist: readonly string[];
}

export interface Dependency {
  readonly imageName: string;
  /** `sha512-…`, whole or cut. */
  readonly imageId: string | undefined;
  readonly labels: Labels;
  /** Bytes; 0 when not given. */
  readonly size: number;
}

export interface App {
  /** Empty: the image names no command, `--exec` must. The first word may be relative (docs/compatibility.md, binary look-up). */
  readonly exec: readonly string[];
  readonly eventHandlers: readonly EventHandler[];
  /** A name, a number, or an absolute path whose owner counts. */
  readonly user: string;
  readonly group: string;
  /** Numbers; or, beyond the specification, names and absolute paths as in `group`. */
  readonly supplementaryGids: readonly (number | string)[];
  /** Absolute, or "" (the same as "/"). */
  readonly workingDirectory: string;
  readonly environment: readonly NameValue[];
  readonly mountPoints: readonly MountPoint[];
  readonly ports: readonly Port[];
  readonly isolators: readonly Isolator[];
  readonly userAnnotations: readonly NameValue[];
  readonly userLabels: readonly NameValue[];
}

export interface EventHandler {
  readonly name: "pre-start" | "post-stop";
  readonly exec: readonly string[];
}

/** Where an app wants a volume. */
export interface MountPoint {
  readonly name: AcName;
  readonly path: string;
  readonly readOnly: boolean;
}

/** A port offered inside the pod. */
export interface Port {
  readonly name: AcName;
  readonly protocol: string;
  /** 1-65535. */
  readonly port: number;
  /** How many ports from `port` on; at least 1. */
  readonly count: number;
  readonly socketActivated: boolean;
}

/** `value` is the JSON as it came; isolators.ts reads the known ones. */
export interface Isolator {
  readonly name: string;
  readonly value: JsonValue;
}

export interface PodManifest {
  /** rkt writes its own version here, not that of the specification. */
  readonly acVersion: string;
  readonly apps: readonly RuntimeApp[];
  readonly volumes: readonly Volume[];
  /** Limits of all apps together; kernel settings. */
  readonly isolators: readonly Isolator[];
  readonly annotations: readonly NameValue[];
  readonly ports: readonly ExposedPort[];
  readonly userAnnotations: readonly NameValue[];
  readonly userLabels: readonly NameValue[];
}

export interface RuntimeApp {
  readonly name: AcName;
  readonly image: RuntimeImage;
  /** Undefined: the image's own app, unchanged. */
  readonly app: App | undefined;
  readonly readOnlyRootFs: boolean;
  readonly mounts: readonly Mount[];
  readonly annotations: readonly NameValue[];
}

export interface RuntimeImage {
  readonly name: string | undefined;
  /** `sha512-…`; a pod manifest written by hand may cut it. */
  readonly id: string;
  readonly labels: Labels;
}

/** A volume at a path of one app. */
export interface Mount {
  readonly volume: AcName;
  readonly path: string;
  /** A volume of this app alone; undefined: the pod's volume of that name. */
  readonly appVolume: Volume | undefined;
}

export type Volume = HostVolume | EmptyVolume | TmpfsVolume;

/** What all kinds say, and what `undefined` means (the flavor's default) is the same for all. */
interface AnyVolume {
  readonly name: AcName;
  /** Undefined: the mount point decides. */
  readonly readOnly: boolean | undefined;
  /** Undefined: true for nspawn, host and kvm, false for fly. */
  readonly recursive: boolean | undefined;
}

export interface HostVolume extends AnyVolume {
  readonly kind: "host";
  /** Absolute path on the host. */
  readonly source: string;
  /** Where SELinux is enabled, the source gets the label of this pod, or one that every pod may use. Beyond the specification. */
  readonly relabel?: "shared" | "private" | undefined;
}

export interface EmptyVolume extends AnyVolume, Owned {
  readonly kind: "empty";
}

/** Memory, gone with the pod. Beyond the specification. */
export interface TmpfsVolume extends AnyVolume, Owned {
  readonly kind: "tmpfs";
  /** A quantity of bytes ("64M"); undefined: half of the machine's memory, the kernel's own limit (tmpfs(5)). */
  readonly size: string | undefined;
}

interface Owned {
  /** Octal, "0755" by default. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
}

/** A port of the host that leads to a port of the pod. */
export interface ExposedPort {
  readonly name: AcName;
  /** 0 when not given. */
  readonly hostPort: number;
  /** IPv4 or IPv6 address; undefined: every address. */
  readonly hostIp: string | undefined;
  /** Undefined: the port of that name in one of the apps. */
  readonly podPort: Port | undefined;
}
