/** The configuration as the rest of rkt sees it: read, checked and merged. Credentials in it never reach a log or an error. */

/** How to authenticate against a host for App Container images. */
export type Auth =
  | { readonly kind: "basic"; readonly user: string; readonly password: string }
  | { readonly kind: "oauth"; readonly token: string }
  | {
      readonly kind: "aws";
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      /** Undefined: guessed from the host's name. */
      readonly region: string | undefined;
    };

export interface DockerCredentials {
  readonly user: string;
  readonly password: string;
}

/** What proves to a registry who we are: at most one of these. */
export interface RegistryCredentials {
  readonly basic?: DockerCredentials | undefined;
  /** A token that goes to the registry as it is ("registrytoken" of Docker's configuration). */
  readonly bearer?: string | undefined;
  /** A token that the registry's token server exchanges for short-lived ones (Docker: "identity token"). */
  readonly refreshToken?: string | undefined;
}

/** How to speak to one registry. Paths are absolute. */
export interface RegistryConnection {
  /** Plain http is allowed when the registry does not speak https. */
  readonly insecure: boolean;
  /** PEM file with certificate authorities besides the host's. */
  readonly caFile: string | undefined;
  /** Both or neither; PEM files. */
  readonly clientCertificate: string | undefined;
  readonly clientKey: string | undefined;
}

/** Which references a mirror is asked for: a tag can be stale there, a digest cannot. */
export type MirrorPull = "all" | "digest-only" | "tag-only";

export interface RegistryMirror {
  /** HOST[:PORT][/PATH] that stands in for the rule's prefix. */
  readonly location: string;
  readonly pull: MirrorPull;
  /** What is not said here is as the rules for the mirror's own location say. */
  readonly connection: Partial<RegistryConnection>;
}

/** What the configuration says of every image whose name begins with a prefix. */
export interface RegistryRule {
  /** HOST[:PORT][/PATH], as written. */
  readonly prefix: string;
  /** HOST[:PORT][/PATH] that stands in for the prefix; undefined: the prefix itself. */
  readonly location: string | undefined;
  /** In the order in which they are asked, before the registry itself. */
  readonly mirrors: readonly RegistryMirror[];
  readonly blocked: boolean;
  /** Of the location, or of the registry itself. */
  readonly connection: Partial<RegistryConnection>;
  /** The file that says so. */
  readonly file: string;
}

export interface Config {
  /** By domain, as it stands in a URL (`host` or `host:port`). */
  readonly auth: ReadonlyMap<string, Auth>;
  /** By registry host, or by HOST/PATH for the repositories below a path. What a later directory says stands last. */
  readonly dockerAuth: ReadonlyMap<string, DockerCredentials>;
  /** By prefix. */
  readonly registries: ReadonlyMap<string, RegistryRule>;
  /** PEM files with certificate authorities for every connection, besides the host's. */
  readonly caFiles: readonly string[];
  readonly paths: { readonly data: string | undefined; readonly stage1Images: string | undefined };
  /** Name and version are both there or both undefined. */
  readonly stage1: {
    readonly name: string | undefined;
    readonly version: string | undefined;
    /** Absolute path, or URL (file, docker, http, https). */
    readonly location: string | undefined;
  };
  /** What was said about measuring pods; {@link measurementSettings} adds the defaults. */
  readonly measurement: Partial<MeasurementSettings>;
  /** Remarks for whoever uses the credentials: files that too many can read. */
  readonly warnings: readonly string[];
  /** Files and directories with credentials that the caller may not read: they were passed over. */
  readonly hidden: readonly string[];
}

/** How pods are measured into the machine's TPM before they start (docs/measured-launch.md). */
export interface MeasurementSettings {
  /** `required`: a pod that could not be measured does not run. `best-effort`: it runs, and rkt says so. */
  readonly policy: MeasurementPolicy;
  /** The register that is extended. */
  readonly pcr: number;
  /** How the tools reach the TPM (tss2-tctildr(7)): `device:/dev/tpmrm0`. */
  readonly tcti: string;
  /** Seconds that the TPM may take for one answer. */
  readonly timeout: number;
  /** Each pod is measured a second time in rkt 1.x's words, for verifiers that look for them. */
  readonly rkt1Events: boolean;
}

export const MEASUREMENT_POLICIES = ["off", "best-effort", "required"] as const;
export type MeasurementPolicy = (typeof MEASUREMENT_POLICIES)[number];

/** Off unless the configuration says otherwise. */
export function measurementSettings({ measurement }: Pick<Config, "measurement">): MeasurementSettings {
  const defaults = { policy: "off", pcr: 15, tcti: "device:/dev/tpmrm0", timeout: 30, rkt1Events: false } as const;
  return { ...defaults, ...measurement };
}

/** Where configuration lies; an Engine has these fields. */
export interface ConfigDirs {
  readonly systemConfigDir: string;
  readonly localConfigDir: string;
  /** "": none. */
  readonly userConfigDir: string;
}
