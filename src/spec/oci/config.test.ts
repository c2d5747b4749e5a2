import { describe, expect, test } from "bun:test";
import { formatDigest, parseDigest } from "../../core/digest.ts";
import { chainIds, parseConfig } from "./mod.ts";

const DIFF = `sha256:${"1".repeat(64)}`;

describe("configurations", () => {
  test("the least there is", () => {
    const config = parseConfig("{}");
    expect(config.platform).toEqual({ os: "", architecture: "", variant: undefined });
    expect(config.diffIds).toEqual([]);
    expect(config.process).toEqual({
      user: "",
      exposedPorts: [],
      env: [],
      entrypoint: [],
      cmd: [],
      volumes: [],
      workingDir: "",
      labels: [],
      stopSignal: undefined,
    });
  });

  test("what real images have", () => {
    const config = parseConfig(
      JSON.stringify({
        created: "2024-01-01T00:00:00Z",
        author: "a",
        comment: "c",
        architecture: "arm64",
        os: "linux",
        variant: "v8",
        "os.features": null,
        rootfs: { type: "layers", diff_ids: [DIFF] },
        history: [{ empty_layer: true }],
        container_config: { Cmd: 1 },
        config: {
          User: 1000,
          ExposedPorts: { "80/tcp": {}, "443/tcp": null },
          Env: ["PATH=/bin", "EMPTY="],
          Entrypoint: null,
          Cmd: "/bin/sh",
          Volumes: { "/b": {}, "/a": {} },
          WorkingDir: "/w",
          Labels: { z: null, a: "1", n: 5 },
          StopSignal: "SIGQUIT",
          Healthcheck: { Test: ["CMD", "true"] },
          OnBuild: null,
          ArgsEscaped: true,
        },
      }),
    );
    expect(config.diffIds.map(formatDigest)).toEqual([DIFF]);
    expect(config.process).toEqual({
      user: "1000",
      exposedPorts: ["443/tcp", "80/tcp"],
      env: ["PATH=/bin", "EMPTY="],
      entrypoint: [],
      cmd: ["/bin/sh"],
      volumes: ["/a", "/b"],
      workingDir: "/w",
      labels: [
        { name: "a", value: "1" },
        { name: "n", value: "5" },
        { name: "z", value: "" },
      ],
      stopSignal: "SIGQUIT",
    });
  });

  test.each([
    [{ rootfs: { type: "zfs" } }, 'rootfs.type: expected "layers"'],
    [{ rootfs: { diff_ids: ["x"] } }, "rootfs.diff_ids[0]: Cannot use"],
    [{ rootfs: { diff_ids: [null] } }, "rootfs.diff_ids[0]: Cannot use"],
    [{ config: [] }, "config: expected an object, got a list"],
    [{ config: { Cmd: [1] } }, "config.Cmd[0]: expected a string, got a number"],
    [{ config: { Cmd: ["a\0b"] } }, "config.Cmd[0]: must not contain a NUL character"],
    [{ config: { Volumes: { "/a\0b": {} } } }, "must not contain a NUL character"],
  ])("%p is refused", (fields, problem) => {
    expect(() => parseConfig(JSON.stringify(fields))).toThrow(problem);
  });
});

// Computed with sha256sum from the formula in config.md.
test("chain ids", () => {
  const diffs = ["1", "2", "3"].map((digit) => parseDigest(`sha256:${digit.repeat(64)}`));
  expect(chainIds(diffs).map(formatDigest)).toEqual([
    DIFF,
    "sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5",
    "sha256:50127c0d6b338be78246434b4bce23ecf75e505158ea0bbd15effeb162fbf3ec",
  ]);
  expect(chainIds([])).toEqual([]);
  const sha512 = parseDigest(`sha512:${"a".repeat(128)}`);
  expect(chainIds([sha512])).toEqual([sha512]);
  expect(chainIds([sha512, sha512])[1]?.algorithm).toBe("sha256");
});
