import { expect, test } from "bun:test";
import { PodFiles } from "../../src/core/data-dir.ts";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { labelEnvironment, labelFromEnvironment, parseRunArguments } from "../../src/stage1-contract/mod.ts";
import { supervisor } from "./supervisor.ts";

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
