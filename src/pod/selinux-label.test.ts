import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataDir } from "../core/data-dir.ts";
import { linux } from "../host/linux.ts";
import { policyType } from "../host/selinux.ts";
import { contextOption, isContext, levelOf } from "../stage1-contract/selinux.ts";
import { chooseCategories, parseLxcContexts, readPodLabel, takePodLabel } from "./selinux-label.ts";

const DEBIAN = `process = "system_u:system_r:container_t:s0"
content = "system_u:object_r:virt_var_lib_t:s0"
file = "system_u:object_r:container_file_t:s0"
ro_file = "system_u:object_r:container_ro_file_t:s0"
sandbox_lxc_process = "system_u:system_r:container_t:s0"
`;

describe("parseLxcContexts", () => {
  test("reads process and file, and not what only ends in their names", () => {
    expect(parseLxcContexts(DEBIAN)).toEqual({
      process: "system_u:system_r:container_t:s0",
      file: "system_u:object_r:container_file_t:s0",
    });
  });

  test.each([
    ["nothing", ""],
    ["no file", 'process = "a:b:c:s0"\n'],
    ["too few fields", 'process = "a:b:c"\nfile = "a:b:c:s0"\n'],
    ["a mount option", 'process = "a:b:c:s0"\nfile = "a:b:c:s0,suid"\n'],
  ])("refuses %s", (_what, text) => {
    expect(() => parseLxcContexts(text)).toThrow("Cannot label the pod");
  });
});

test("contexts: their form, their level, as a mount option", () => {
  expect(isContext("u:r:t:s0:c1,c1023")).toBe(true);
  expect(isContext("u:r:t:s0-s0:c0.c1023")).toBe(true);
  for (const text of ["u:r:t", "u:r:t:s0\n", 'u:r:t:s0"', "u:r:t:s0:c1 c2", ""]) expect(isContext(text)).toBe(false);
  expect(levelOf("u:r:t:s0:c1,c2")).toBe("s0:c1,c2");
  expect(contextOption("u:r:t:s0:c1,c2")).toBe('context="u:r:t:s0:c1,c2"');
});

test("the policy's name comes from its configuration, and stays in its directory", () => {
  expect(policyType("SELINUX=enforcing\nSELINUXTYPE=default\n")).toBe("default");
  expect(policyType("# SELINUXTYPE=mls\n")).toBe("targeted");
  expect(() => policyType("SELINUXTYPE=../../tmp\n")).toThrow("it is no name of a policy");
});

describe("chooseCategories", () => {
  test("every number is another pair, the smaller category first", () => {
    const seen = new Set<string>();
    for (let number = 0; number < 523776; number += 97) {
      const pair = chooseCategories(new Set(), () => number);
      const [smaller = 0, larger = 0] = pair.split(",").map((word) => Number(word.slice(1)));
      expect(smaller).toBeLessThan(larger);
      expect(larger).toBeLessThan(1024);
      seen.add(pair);
    }
    expect(seen.size).toBe(Math.ceil(523776 / 97));
    expect(chooseCategories(new Set(), () => 523775)).toBe("c1022,c1023");
  });

  test("takes none that is in use, the first again after the last", () => {
    expect(chooseCategories(new Set(["c0,c1", "c0,c2"]), () => 0)).toBe("c1,c2");
    expect(chooseCategories(new Set(["c1022,c1023"]), () => 523775)).toBe("c0,c1");
  });
});

describe("takePodLabel", () => {
  let root: string;
  let dataDir: DataDir;
  const pod = (state: "run" | "garbage", uuid: string) => {
    const dir = join(dataDir.podsIn(state), uuid);
    mkdirSync(dir, { recursive: true });
    return dir;
  };
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "rkt-label-"));
    dataDir = new DataDir(root);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  test("records a label of the pod's own, and gives it again", async () => {
    const [one, two] = [pod("run", "one"), pod("garbage", "two")];
    const label = await takePodLabel(dataDir, linux, one, () => DEBIAN);
    expect(label.process).toMatch(/^system_u:system_r:container_t:s0:c\d+,c\d+$/);
    expect(levelOf(label.file)).toBe(levelOf(label.process));
    expect(await takePodLabel(dataDir, linux, one, () => "gone")).toEqual(label);
    expect(readPodLabel(one)).toEqual(label);
    expect(readFileSync(join(one, "selinux"), "utf8")).toBe(`process=${label.process}\nfile=${label.file}\n`);
    const other = await takePodLabel(dataDir, linux, two, () => DEBIAN);
    expect(levelOf(other.file)).not.toBe(levelOf(label.file));
  });

  test("a damaged record is told, not replaced", () => {
    const dir = pod("run", "one");
    expect(readPodLabel(dir)).toBeUndefined();
    writeFileSync(join(dir, "selinux"), "process=x\n");
    expect(() => readPodLabel(dir)).toThrow("is damaged");
  });
});
