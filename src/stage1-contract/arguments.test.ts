import { describe, expect, test } from "bun:test";
import { formatGcArguments, formatStopArguments } from "./ending-arguments.ts";
import { formatRunArguments, parseRunArguments, type RunArguments } from "./run-arguments.ts";

const UUID = "5bc80844-0000-4000-8000-000000000001";
const ALL: RunArguments = {
  uuid: UUID,
  debug: true,
  net: "default,lan:IP=10.1.2.3",
  interactive: true,
  privateUsers: "65536:65536",
  mdsToken: "abc",
  localConfig: "/etc/rkt",
  hostname: "web",
  dnsMode: { resolv: "host", hosts: "stage0" },
  disableCapabilitiesRestriction: true,
  disablePaths: true,
  disableSeccomp: true,
  mutable: true,
  ipc: "parent",
};

/** From which interface version on an entrypoint knows the flag (rkt 1.x): an older one fails on it. */
const SINCE: readonly [flag: string, version: number][] = [
  ["--debug", 1],
  ["--net=default,lan:IP=10.1.2.3", 1],
  ["--interactive", 1],
  ["--private-users=65536:65536", 1],
  ["--mds-token=abc", 1],
  ["--local-config=/etc/rkt", 1],
  ["--hostname=web", 2],
  ["--disable-capabilities-restriction", 3],
  ["--disable-paths", 3],
  ["--disable-seccomp", 3],
  ["--dns-conf-mode=resolv=host,hosts=stage0", 4],
  ["--mutable", 1],
  ["--ipc=parent", 6],
];

describe("the arguments of run", () => {
  test("are those that the stage1's interface version knows, in rkt 1.x's order, the UUID last", () => {
    for (const version of [1, 2, 3, 4, 5, 6]) {
      const known = SINCE.filter(([, since]) => since <= version).map(([flag]) => flag);
      expect(formatRunArguments(ALL, version)).toEqual([...known, UUID]);
    }
  });

  test("are read as they were written, and in two words as well", () => {
    expect(parseRunArguments(formatRunArguments(ALL, 6))).toEqual(ALL);
    expect(parseRunArguments(["--net", "host", "-debug", "--hostname", "web", "--disable-paths=false", UUID])).toEqual({
      ...parseRunArguments([UUID]),
      ...{ net: "host", debug: true, hostname: "web" },
    });
  });

  test("that are not of the contract are refused, and a pod must be named once", () => {
    expect(() => parseRunArguments(["--frobnicate", UUID])).toThrow("unknown flag: --frobnicate");
    expect(() => parseRunArguments([UUID, "--net"])).toThrow("flag needs an argument: --net");
    expect(() => parseRunArguments([UUID, UUID])).toThrow("was given already");
    expect(() => parseRunArguments(["--net=host"])).toThrow("its UUID is missing");
    expect(() => parseRunArguments(["--dns-conf-mode=resolv=", UUID])).toThrow("expected resolv=MODE,hosts=MODE");
  });
});

test("gc gets its configuration directory, in two words, from version 5 on", () => {
  const gc = { uuid: UUID, debug: true, localConfig: "/etc/rkt" };
  expect(formatGcArguments(gc, 4)).toEqual(["--debug", UUID]);
  expect(formatGcArguments({ ...gc, debug: false }, 5)).toEqual(["--local-config", "/etc/rkt", UUID]);
});

test("stop gets --force and the UUID", () => {
  expect(formatStopArguments({ uuid: UUID, force: false })).toEqual([UUID]);
  expect(formatStopArguments({ uuid: UUID, force: true })).toEqual(["--force", UUID]);
});
