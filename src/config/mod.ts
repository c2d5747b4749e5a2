/**
 * config: the configuration files of the system, the host and the user.
 * Takes three directories, gives one checked Config. Used by the commands, which hand parts of it to fetch (credentials), stage0 (stage1 image) and the data
 * directory.
 */

export {
  type Auth,
  type Config,
  type ConfigDirs,
  type DockerCredentials,
  type MeasurementSettings,
  measurementSettings,
  type RegistryConnection,
  type RegistryCredentials,
} from "./config.ts";
export { authHeaderFor, awsKeysFor, dockerCredentials } from "./credentials.ts";
export { loadConfig } from "./load.ts";
export { lookasideUrl } from "./lookaside.ts";
export { insecureHosts, pullEndpoints, pushEndpoint, type RegistryEndpoint } from "./registries.ts";
