import { describe, expect, test } from "bun:test";
import {
  BLANK_APP,
  type ImageManifest,
  ISOLATOR,
  parseMount,
  parseVolume,
  resourceIsolator,
} from "../spec/appc/mod.ts";
import type { AppOptions } from "./app-options.ts";
import { buildPodManifest, type PodOptions } from "./pod-manifest.ts";

const IMAGE: ImageManifest = {
  acVersion: "0.8.11",
  name: "example.com/busybox",
  labels: [],
  app: { ...BLANK_APP, exec: ["/bin/sh", "-c", "true"], environment: [{ name: "A", value: "image" }] },
  annotations: [],
  dependencies: [],
  pathWhitelist: [],
};

const NO_OPTIONS: AppOptions = {
  name: undefined,
  exec: undefined,
  args: [],
  user: undefined,
  group: undefined,
  supplementaryGids: undefined,
  workingDirectory: undefined,
  readOnlyRootFs: undefined,
  environment: [],
  mounts: [],
  annotations: [],
  userAnnotations: [],
  userLabels: [],
  isolators: [],
  capsRetain: undefined,
  capsRemove: undefined,
  seccomp: undefined,
};

const POD: PodOptions = {
  volumes: [],
  mounts: [],
  ports: [],
  environment: { inherited: [], fromFiles: [], set: [] },
  annotations: [],
  userAnnotations: [],
  userLabels: [],
  isolators: [],
};

const build = (options: Partial<AppOptions>, pod: Partial<PodOptions> = {}, image = IMAGE) =>
  buildPodManifest(
    [{ imageId: `sha512-${"a".repeat(64)}`, imageManifest: image, options: { ...NO_OPTIONS, ...options } }],
    { ...POD, ...pod },
  );

describe("buildPodManifest", () => {
  test("names the app after the image's last component and marks the pod immutable", () => {
    const manifest = build({});
    expect(String(manifest.apps[0]?.name)).toBe("busybox");
    expect(manifest.annotations).toEqual([{ name: "coreos.com/rkt/stage1/mutable", value: "false" }]);
  });

  test("lets --exec replace the program and drop the image's arguments", () => {
    expect(build({ exec: "/bin/ls", args: ["-l"] }).apps[0]?.app?.exec).toEqual(["/bin/ls", "-l"]);
    expect(build({ args: ["x"] }).apps[0]?.app?.exec).toEqual(["/bin/sh", "-c", "true", "x"]);
  });

  test("refuses an image without a command, two apps of one name, and a dangling mount", () => {
    const bare = { ...IMAGE, app: undefined };
    expect(() => build({}, {}, bare)).toThrow("has no app section and --exec argument is not provided");
    expect(build({ exec: "/x" }, {}, bare).apps[0]?.app?.exec).toEqual(["/x"]);
    const request = { imageId: `sha512-${"a".repeat(64)}`, imageManifest: IMAGE, options: NO_OPTIONS };
    expect(() => buildPodManifest([request, request], POD)).toThrow("error: multiple apps with name busybox");
    expect(() => build({ mounts: [parseMount("volume=data,target=/data")] })).toThrow(
      'dangling mount point "/data": volume "data" not found',
    );
  });

  test("lets an app's own mount win over the pod's at the same path", () => {
    const volumes = [parseVolume("a,kind=empty"), parseVolume("b,kind=empty")];
    const manifest = build(
      { mounts: [parseMount("volume=a,target=/m")] },
      { volumes, mounts: [parseMount("volume=b,target=/m")] },
    );
    expect(manifest.apps[0]?.mounts.map((mount) => String(mount.volume))).toEqual(["a"]);
  });

  test("keeps the first of an app's mounts at one path", () => {
    const volumes = [parseVolume("a,kind=empty"), parseVolume("b,kind=empty")];
    const mounts = [parseMount("volume=a,target=/m"), parseMount("volume=b,target=/m/")];
    expect(build({ mounts }, { volumes }).apps[0]?.mounts.map(({ volume }) => String(volume))).toEqual(["a"]);
  });

  test("lets --supplementary-gids replace the image's groups, which may be more than the operator wants", () => {
    const image = { ...IMAGE, app: { ...BLANK_APP, exec: ["/bin/sh"], supplementaryGids: [0, 42] } };
    expect(build({}, {}, image).apps[0]?.app?.supplementaryGids).toEqual([0, 42]);
    expect(build({ supplementaryGids: [7, "web"] }, {}, image).apps[0]?.app?.supplementaryGids).toEqual([7, "web"]);
  });

  test("replaces isolators of the image and refuses both capability sets", () => {
    const limit = (amount: string) => resourceIsolator(ISOLATOR.memory, amount);
    const image = { ...IMAGE, app: { ...BLANK_APP, exec: ["/bin/sh"], isolators: [limit("32M")] } };
    expect(build({ isolators: [limit("64M")] }, {}, image).apps[0]?.app?.isolators).toEqual([limit("64M")]);
    expect(() => build({ capsRetain: ["CAP_KILL"], capsRemove: ["CAP_KILL"] })).toThrow(
      "cannot use both --caps-retain and --caps-remove",
    );
  });
});
