/** What the command line says about one app, apart from how it was written: the input of the pod manifest. */

import type { Isolator, Mount, NameValue } from "../spec/appc/mod.ts";

export interface AppOptions {
  /** `--name`; undefined: made from the image's name. */
  readonly name: string | undefined;
  /** `--exec`: replaces argv[0] and drops the image's own arguments. */
  readonly exec: string | undefined;
  /** Words after `--`. */
  readonly args: readonly string[];
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** Numbers, or names and paths that the image knows; in place of the image's own. */
  readonly supplementaryGids: readonly (number | string)[] | undefined;
  readonly workingDirectory: string | undefined;
  readonly readOnlyRootFs: boolean | undefined;
  readonly environment: readonly NameValue[];
  readonly mounts: readonly Mount[];
  readonly annotations: readonly NameValue[];
  readonly userAnnotations: readonly NameValue[];
  readonly userLabels: readonly NameValue[];
  /** Limits: each replaces the image's isolator of its name. */
  readonly isolators: readonly Isolator[];
  readonly capsRetain: readonly string[] | undefined;
  readonly capsRemove: readonly string[] | undefined;
  /** `--seccomp`: a filter or a profile. */
  readonly seccomp: Isolator | undefined;
}
