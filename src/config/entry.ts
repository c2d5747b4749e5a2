/** One configuration file after its check: what it says, in one form. Several make a Config (merge.ts). */

import type { Auth, DockerCredentials, MeasurementSettings, RegistryRule } from "./config.ts";

export type ConfigEntry =
  | { readonly kind: "auth"; readonly domains: readonly string[]; readonly auth: Auth }
  | { readonly kind: "dockerAuth"; readonly registries: readonly string[]; readonly credentials: DockerCredentials }
  | {
      readonly kind: "registries";
      readonly rules: readonly Omit<RegistryRule, "file">[];
      readonly caFiles: readonly string[];
    }
  | { readonly kind: "paths"; readonly data: string | undefined; readonly stage1Images: string | undefined }
  | {
      readonly kind: "stage1";
      readonly name: string | undefined;
      readonly version: string | undefined;
      readonly location: string | undefined;
    }
  | { readonly kind: "measurement"; readonly settings: Partial<MeasurementSettings> };

export type ConfigKind = ConfigEntry["kind"];

/** Something wrong in one file, in rkt's words. `field` is the path of what is wrong in the file, "" for the file itself. */
export interface Problem {
  readonly file: string;
  readonly field: string;
  readonly text: string;
}

/** Collects a problem of the file that is being checked. */
export type Complain = (field: string, text: string) => void;
