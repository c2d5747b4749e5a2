import { expect, test } from "bun:test";
import { PodFiles } from "../../src/core/data-dir.ts";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { labelEnvironment, labelFromEnvironment, parseRunArguments } from "../../src/stage1-contract/mod.ts";
import { supervisor, supervisorContext } from "./supervisor.ts";

const UUID = "6733c088-a507-4694-aabf-eda48f5e2d2e";

function words(label: ReturnType<typeof labelFromEnvironment>): string[] {
  return supervisor(new PodFiles("/pod"), ["nspawn"], {
    run: parseRunArguments([UUID]),
    uuid: UUID,
    manifest: { apps: [] } as unknown as PodManifest,
    env: {},
    withoutFilter: false,
    limits: [],
    registered: false,
    capabilities: [],
    ownIpc: false,
    label,
  }).argv.filter((word) => word.startsWith("--selinux"));
}

test("a labelled pod's processes and file systems get its label; without SELinux nothing is said", () => {
  const [process, file] = ["system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"];
  const env = { RKT_SELINUX_CONTEXT: process, RKT_SELINUX_MOUNT_CONTEXT: file };
  expect(words(labelFromEnvironment(env))).toEqual([`--selinux-context=${process}`, `--selinux-apifs-context=${file}`]);
  expect(labelEnvironment({ process, file })).toEqual(env);
  expect(words(labelFromEnvironment(labelEnvironment(undefined)))).toEqual([]);
  expect(words(labelFromEnvironment({}))).toEqual([]);
});

test("what is no context is not passed on", () => {
  const wrong = { RKT_SELINUX_CONTEXT: "u:r:t:s0 --x", RKT_SELINUX_MOUNT_CONTEXT: "u:r:t:s0" };
  expect(() => labelFromEnvironment(wrong)).toThrow("as a SELinux context");
});

test("the supervisor keeps its caller's domain, and has the pod's categories for any that the caller has", () => {
  const label = {
    process: "system_u:system_r:container_t:s0:c1,c2",
    file: "system_u:object_r:container_file_t:s0:c1,c2",
  };
  const domain = "unconfined_u:unconfined_r:unconfined_t";
  for (const level of ["s0", "s0-s0:c0.c1023", "s0:c5-s0:c5,c7"])
    expect(supervisorContext(`${domain}:${level}`, label)).toBe(`${domain}:s0-s0:c1,c2`);
});
