/** What the command line says about one app, apart from how it was written: the input of the pod manifest. */

import type { Mount, NameValue } from "../spec/appc/mod.ts";

export interface AppOptions {
  /** `--name`; undefined: made from the image's name. */
  readonly name: string | undefined;
  /** `--exec`: replaces argv[0] and drops the image's own arguments. */
  readonly exec: string | undefined;
  /** Words after `--`. */
  readonly args: readonly string[];
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly supplementaryGids: readonly number[];
  readonly workingDirectory: string | undefined;
  readonly readOnlyRootFs: boolean | undefined;
  readonly environment: readonly NameValue[];
  readonly mounts: readonly Mount[];
  readonly annotations: readonly NameValue[];
  readonly userAnnotations: readonly NameValue[];
  readonly userLabels: readonly NameValue[];
  /** Bytes. */
  readonly memory: string | undefined;
  /** Cores or milli-cores: "500m", "2". */
  readonly cpu: string | undefined;
  readonly cpuShares: number | undefined;
  readonly oomScoreAdj: number | undefined;
  readonly capsRetain: readonly string[] | undefined;
  readonly capsRemove: readonly string[] | undefined;
  /** `mode=retain|remove,[errno=E,]call[,call…]`. */
  readonly seccomp: string | undefined;
}
