import { describe, expect, test } from "bun:test";
import {
  appcArch,
  appcOsArch,
  assertRunnable,
  formatAppString,
  parseAppString,
  shortAppString,
  withHostLabels,
} from "./mod.ts";

describe("image names", () => {
  test.each([
    ["example.com/app", "example.com/app", []],
    ["example.com/app:v1", "example.com/app", [["version", "v1"]]],
    [
      "example.com/app:v1,arch=amd64",
      "example.com/app",
      [
        ["version", "v1"],
        ["arch", "amd64"],
      ],
    ],
    [
      "app,channel=alpha,label=value",
      "app",
      [
        ["channel", "alpha"],
        ["label", "value"],
      ],
    ],
    ["app,label=a=b%2F+", "app", [["label", "a=b%2F+"]]],
    ["app:", "app", [["version", ""]]],
  ])("%p", (text, name, labels) => {
    const image = parseAppString(text);
    expect(image.name).toBe(name);
    expect(image.labels.map((label) => [label.name, label.value])).toEqual(labels as string[][]);
  });

  test.each([
    ["", "ACIdentifier cannot be empty"],
    ["App", "ACIdentifier must contain only"],
    ["app:a:b", "malformed app string - colon may appear at most once"],
    ["app,a=b:c", "malformed app string - colon may appear only right after the app name"],
    ["app,label", "has a label without a value"],
    ["app,a=1,a=2", 'label a with multiple values ["1" "2"]'],
    ["app:v1,version=v2", "label version with multiple values"],
    ["app,name=x", "label name with multiple values"],
    ["app,=x", "ACIdentifier cannot be empty"],
    ["../etc", "ACIdentifier must start and end"],
  ])("%p is refused", (text, problem) => {
    expect(() => parseAppString(text)).toThrow(problem);
  });

  test("written again", () => {
    const image = parseAppString("app,os=linux,version=1");
    expect(shortAppString(image)).toBe("app:1");
    expect(formatAppString(image)).toBe("app:1,os=linux");
  });
});

describe("operating system and architecture", () => {
  test("the host's labels fill in", () => {
    expect(withHostLabels([{ name: "os", value: "linux" }])).toEqual([
      { name: "os", value: "linux" },
      { name: "arch", value: appcArch() },
    ]);
    expect(appcArch("x64")).toBe("amd64");
    expect(appcArch("arm64")).toBe("aarch64");
  });

  test("only known pairs run, in rkt's words", () => {
    const os = { name: "os", value: "linux" };
    expect(() => assertRunnable([os, { name: "arch", value: "amd64" }])).not.toThrow();
    expect(() => assertRunnable([])).toThrow("missing os label in the image manifest");
    expect(() => assertRunnable([os])).toThrow("missing arch label in the image manifest");
    expect(() =>
      assertRunnable([
        { name: "os", value: "freebsd" },
        { name: "arch", value: "amd64" },
      ]),
    ).toThrow('bad os "freebsd" (must be one of: [linux])');
    expect(() => assertRunnable([os, { name: "arch", value: "s390x" }])).toThrow(
      'bad arch "s390x" for linux (must be one of: [amd64 i386 aarch64 aarch64_be armv6l armv7l armv7b ppc64le])',
    );
  });

  test("OCI platforms in appc's words", () => {
    expect(appcOsArch("linux", "arm64", "v8")).toEqual({ os: "linux", arch: "aarch64" });
    expect(appcOsArch("linux", "arm", "v7")).toEqual({ os: "linux", arch: "armv7l" });
    expect(appcOsArch("linux", "arm")).toEqual({ os: "linux", arch: "armv6l" });
    expect(appcOsArch("darwin", "amd64")).toEqual({ os: "darwin", arch: "x86_64" });
    expect(appcOsArch("linux", "riscv64")).toBeUndefined();
    expect(appcOsArch("windows", "amd64")).toBeUndefined();
  });
});
