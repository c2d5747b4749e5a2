/** The arguments of a stage1's `run` entrypoint: written by stage0, read by the stage1s of this project (a foreign one reads the same). */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

export interface RunArguments {
  uuid: string;
  debug: boolean;
  /** As given to `--net`: "default", "host", "none", "a,b:IP=10.1.2.3". */
  net: string;
  interactive: boolean;
  /** `SHIFT:COUNT`. */
  privateUsers: string | undefined;
  mdsToken: string | undefined;
  localConfig: string;
  /** Interface ≥ 2. */
  hostname: string | undefined;
  /** Interface ≥ 4. */
  dnsMode: { resolv: string; hosts: string } | undefined;
  /** Interface ≥ 3. */
  disableCapabilitiesRestriction: boolean;
  disablePaths: boolean;
  disableSeccomp: boolean;
  mutable: boolean;
  /** Interface ≥ 6: "", "auto", "private", "parent". */
  ipc: string | undefined;
}

/** argv (without the program) for a stage1 that speaks `interfaceVersion`. Unknown flags make foreign entrypoints fail, so newer ones are left out. */
export function formatRunArguments(run: RunArguments, interfaceVersion: number): string[] {
  const argv: string[] = [];
  if (run.debug) argv.push("--debug");
  argv.push(`--net=${run.net}`);
  if (run.interactive) argv.push("--interactive");
  if (run.privateUsers !== undefined) argv.push(`--private-users=${run.privateUsers}`);
  if (run.mdsToken !== undefined) argv.push(`--mds-token=${run.mdsToken}`);
  argv.push(`--local-config=${run.localConfig}`);
  if (interfaceVersion >= 2 && run.hostname !== undefined) argv.push(`--hostname=${run.hostname}`);
  if (interfaceVersion >= 3) {
    if (run.disableCapabilitiesRestriction) argv.push("--disable-capabilities-restriction");
    if (run.disablePaths) argv.push("--disable-paths");
    if (run.disableSeccomp) argv.push("--disable-seccomp");
  }
  if (interfaceVersion >= 4 && run.dnsMode !== undefined) {
    argv.push(`--dns-conf-mode=resolv=${run.dnsMode.resolv},hosts=${run.dnsMode.hosts}`);
  }
  if (run.mutable) argv.push("--mutable");
  if (interfaceVersion >= 6 && run.ipc !== undefined && run.ipc !== "") argv.push(`--ipc=${run.ipc}`);
  argv.push(run.uuid);
  return argv;
}

const SWITCHES = {
  debug: "debug",
  interactive: "interactive",
  mutable: "mutable",
  "disable-capabilities-restriction": "disableCapabilitiesRestriction",
  "disable-paths": "disablePaths",
  "disable-seccomp": "disableSeccomp",
} as const;

const VALUES = {
  net: "net",
  "private-users": "privateUsers",
  "mds-token": "mdsToken",
  "local-config": "localConfig",
  hostname: "hostname",
  ipc: "ipc",
} as const;

/** Parses what {@link formatRunArguments} wrote, by this or another stage0 (`--flag v` and `--flag=v`). Throws USAGE on anything unknown. */
export function parseRunArguments(argv: readonly string[]): RunArguments {
  const run: RunArguments = {
    uuid: "",
    debug: false,
    net: "default",
    interactive: false,
    privateUsers: undefined,
    mdsToken: undefined,
    localConfig: "/etc/rkt",
    hostname: undefined,
    dnsMode: undefined,
    disableCapabilitiesRestriction: false,
    disablePaths: false,
    disableSeccomp: false,
    mutable: false,
    ipc: undefined,
  };
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith("-")) {
      if (run.uuid !== "")
        throw new RktError("USAGE", `Cannot use argument ${quoted(word)}: the pod's UUID was given already`);
      run.uuid = word;
      continue;
    }
    const [flag = "", inline] = splitFlag(word);
    if (Object.hasOwn(SWITCHES, flag)) {
      run[SWITCHES[flag as keyof typeof SWITCHES]] = inline === undefined || inline === "true";
      continue;
    }
    const value = inline ?? rest.shift();
    if (value === undefined) throw new RktError("USAGE", `flag needs an argument: --${flag}`);
    if (flag === "dns-conf-mode") run.dnsMode = parseDnsMode(value);
    else if (Object.hasOwn(VALUES, flag)) run[VALUES[flag as keyof typeof VALUES]] = value;
    else throw new RktError("USAGE", `unknown flag: --${flag}`);
  }
  if (run.uuid === "") throw new RktError("USAGE", "Cannot run a pod: its UUID is missing");
  return run;
}

function splitFlag(word: string): [string, string | undefined] {
  const name = word.replace(/^--?/, "");
  const equals = name.indexOf("=");
  return equals < 0 ? [name, undefined] : [name.slice(0, equals), name.slice(equals + 1)];
}

function parseDnsMode(text: string): { resolv: string; hosts: string } {
  const mode = { resolv: "default", hosts: "default" };
  for (const part of text.split(",")) {
    const [key, value] = part.split("=");
    if ((key !== "resolv" && key !== "hosts") || value === undefined || value === "") {
      throw new RktError("USAGE", `Cannot use ${quoted(text)} as --dns-conf-mode: expected resolv=MODE,hosts=MODE`);
    }
    mode[key] = value;
  }
  return mode;
}
