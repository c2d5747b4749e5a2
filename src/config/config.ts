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

export interface Config {
  /** By domain, as it stands in a URL (`host` or `host:port`). */
  readonly auth: ReadonlyMap<string, Auth>;
  /** By registry host. */
  readonly dockerAuth: ReadonlyMap<string, DockerCredentials>;
  readonly paths: { readonly data: string | undefined; readonly stage1Images: string | undefined };
  /** Name and version are both there or both undefined. */
  readonly stage1: {
    readonly name: string | undefined;
    readonly version: string | undefined;
    /** Absolute path, or URL (file, docker, http, https). */
    readonly location: string | undefined;
  };
}

/** Where configuration lies; an Engine has these fields. */
export interface ConfigDirs {
  readonly systemConfigDir: string;
  readonly localConfigDir: string;
  /** "": none. */
  readonly userConfigDir: string;
}
