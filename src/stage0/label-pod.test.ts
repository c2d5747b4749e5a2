import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordingHost } from "../host/recording.ts";
import { sharedContext, sharedLayerContext } from "../pod/selinux-label.ts";
import { refuseSystemDirectory } from "./label-pod.ts";
import { mountOverlay } from "./mount-overlay.ts";

test("a shared volume has the pods' type, and none of their categories", () => {
  expect(sharedContext("system_u:object_r:container_file_t:s0:c1,c2")).toBe("system_u:object_r:container_file_t:s0");
  expect(sharedContext("u:object_r:t:s0-s0:c0.c1023")).toBe("u:object_r:t:s0");
});

test("layers have the policy's context for what pods only read, else the shared one", () => {
  const both = 'process = "a:b:c:s0"\nfile = "u:object_r:t:s0:c1"\n';
  expect(sharedLayerContext(`${both}ro_file = "u:object_r:ro:s0"\n`)).toBe("u:object_r:ro:s0");
  expect(sharedLayerContext(both)).toBe("u:object_r:t:s0");
});

test("directories of the host itself are not relabelled", () => {
  for (const path of ["/", "//", "/etc", "/etc/", "/usr", "/usr/share/x", "/var/lib", "/home", "/lib64", "/srv/../etc"])
    expect(() => refuseSystemDirectory(path, "data")).toThrow("the host itself needs the labels there");
  for (const path of ["/srv/data", "/var/lib/app", "/home/web", "/data", "/etcetera", "/opt/x"])
    expect(() => refuseSystemDirectory(path, "data")).not.toThrow();
});

test("the overlay of a labelled pod is mounted with its context, quoted; another is mounted as before", () => {
  const dir = mkdtempSync(join(tmpdir(), "rkt-overlay-"));
  try {
    const options = (context: string | undefined) => {
      const { host, calls } = recordingHost();
      const [upper, work, target] = ["upper", "work", "target"].map((name) => join(dir, name)) as [
        string,
        string,
        string,
      ];
      mountOverlay(host, { base: dir, lower: ["."], upper, work, target, context });
      return calls.find(({ name }) => name === "mount")?.args[4];
    };
    const plain = `lowerdir=.,upperdir=${dir}/upper,workdir=${dir}/work,userxattr`;
    expect(options(undefined)).toBe(plain);
    expect(options("u:object_r:t:s0:c1,c2")).toBe(`${plain},context="u:object_r:t:s0:c1,c2"`);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
