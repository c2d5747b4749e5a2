import { describe, expect, test } from "bun:test";
import {
  formatIsolation,
  isolationOf,
  parseDeclaredIsolation,
  parseIsolation,
  parseRequiredIsolation,
} from "./isolation.ts";

const ALL = parseDeclaredIsolation("seccomp, pid,mount,ipc,network,userns,capabilities,devices,newer-than-this");
const RUN = {
  net: "default",
  ipc: "",
  privateUsers: "65536:65536",
  disableCapabilitiesRestriction: false,
  disablePaths: false,
  disableSeccomp: false,
};

describe("isolation", () => {
  test("is what the stage1 declares, where nothing takes it away", () => {
    const whole = isolationOf(ALL, RUN, false);
    expect([...whole.keys()]).toEqual([
      "mount",
      "pid",
      "ipc",
      "network",
      "userns",
      "capabilities",
      "seccomp",
      "devices",
    ]);
    expect(whole.get("userns")).toBe("65536:65536");
    const lacks = (change: Partial<typeof RUN> | { privateUsers: undefined }, unfiltered = false) => {
      const left = isolationOf(ALL, { ...RUN, ...change }, unfiltered);
      return ALL.filter((name) => !left.has(name));
    };
    expect(lacks({ net: "host" })).toEqual(["network"]);
    expect(lacks({ net: "none" })).toEqual([]);
    expect(lacks({ ipc: "parent" })).toEqual(["ipc"]);
    expect(lacks({ privateUsers: undefined })).toEqual(["userns"]);
    expect(lacks({ disableCapabilitiesRestriction: true })).toEqual(["capabilities"]);
    expect(lacks({ disablePaths: true })).toEqual(["devices"]);
    expect(lacks({ disableSeccomp: true })).toEqual(["seccomp"]);
    expect(lacks({}, true)).toEqual(["seccomp"]);
  });

  test("of a stage1 that declares nothing is nothing", () => {
    expect(isolationOf(parseDeclaredIsolation(""), RUN, false).size).toBe(0);
  });

  test("is read as it was written; what is not known is passed over", () => {
    const record = isolationOf(ALL, RUN, false);
    expect(parseIsolation(formatIsolation(record))).toEqual(record);
    expect([...parseIsolation("what=ever\nvm=qemu\nmount\n\n")]).toEqual([
      ["mount", ""],
      ["vm", "qemu"],
    ]);
  });

  test("that is required must be a word of the list", () => {
    expect(parseRequiredIsolation(["userns", "vm"])).toEqual(["userns", "vm"]);
    for (const word of ["user", "", "USERNS"]) expect(() => parseRequiredIsolation([word])).toThrow("--require");
  });
});
