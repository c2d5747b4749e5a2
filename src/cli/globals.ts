/** The global flags. */

import { DEFAULT_DATA_DIR } from "../core/default-data-dir.ts";
import type { FlagSpec } from "./command.ts";

export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { name: "cpuprofile", kind: "string", usage: "write CPU profile to the file", hidden: true },
  { name: "debug", kind: "bool", usage: "print out more debug information to stderr" },
  { name: "dir", kind: "string", default: DEFAULT_DATA_DIR, usage: "rkt data directory" },
  {
    name: "insecure-options",
    kind: "list",
    default: "none",
    usage:
      'comma-separated list of security features to disable. Allowed values: "none", "image", "tls", "ondisk", "http", "pubkey", "capabilities", "paths", "seccomp", "all-fetch", "all-run", "all"',
  },
  { name: "local-config", kind: "string", default: "/etc/rkt", usage: "local configuration directory" },
  { name: "memprofile", kind: "string", usage: "write memory profile to the file", hidden: true },
  { name: "system-config", kind: "string", default: "/usr/lib/rkt", usage: "system configuration directory" },
  { name: "trust-keys-from-https", kind: "bool", usage: "automatically trust gpg keys fetched from https" },
  { name: "user-config", kind: "string", usage: "user configuration directory" },
];
