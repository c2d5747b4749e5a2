import { describe, expect, test } from "bun:test";
import { hostPlatform, type Index, MEDIA_TYPE, parseIndex, selectPlatform } from "./mod.ts";

/** An index of images for "os/arch[/variant]" ("" names none); an image's size is its place. */
function indexOf(...platforms: string[]): Index {
  const manifests = platforms.map((platform, size) => {
    const [os, architecture, variant] = platform.split("/");
    return {
      mediaType: MEDIA_TYPE.ociManifest,
      digest: `sha256:${"0".repeat(64)}`,
      size,
      ...(platform === "" ? {} : { platform: { os, architecture, variant } }),
    };
  });
  return parseIndex(JSON.stringify({ schemaVersion: 2, manifests }));
}

describe("selectPlatform() chooses", () => {
  test.each([
    ["linux/amd64", ["linux/arm64", "linux/amd64"], 1],
    ["linux/amd64", ["linux/amd64", "linux/amd64"], 0],
    ["linux/amd64", ["linux/amd64/v3", "linux/amd64/v1"], 1],
    ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1],
    ["linux/arm64", ["linux/arm64/v8"], 0],
    ["linux/arm64/v8", ["linux/arm64"], 0],
    ["linux/arm64", ["linux/arm64/v9", "linux/arm64"], 1],
    ["linux/arm", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"], 2],
    ["linux/arm/v6", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], 1],
    ["linux/arm/v7", ["linux/arm/v5"], 0],
    ["linux/amd64", ["unknown/unknown", "linux/amd64", "unknown/unknown"], 1],
    ["linux/amd64", [""], 0],
    ["linux/amd64", ["", "linux/amd64"], 1],
    ["linux/riscv64", ["linux/riscv64"], 0],
  ])("for %p of %p", (wanted, offered, place) => {
    const [os = "", architecture = "", variant] = wanted.split("/");
    expect(selectPlatform(indexOf(...offered), { os, architecture, variant }).size).toBe(place);
  });
});

describe("selectPlatform() refuses", () => {
  test.each([
    ["linux/s390x", ["linux/amd64", "linux/arm/v7"], "the index offers linux/amd64, linux/arm/v7"],
    ["linux/amd64", ["windows/amd64"], "the index offers windows/amd64"],
    ["linux/arm/v6", ["linux/arm/v7"], "the index offers linux/arm/v7"],
    ["linux/amd64", ["linux/amd64/v3"], "the index offers linux/amd64/v3"],
    ["linux/amd64", ["", ""], "no platform"],
    ["linux/amd64", [], "no platform"],
  ])("%p of %p", (wanted, offered, problem) => {
    const [os = "", architecture = "", variant] = wanted.split("/");
    expect(() => selectPlatform(indexOf(...offered), { os, architecture, variant })).toThrow(problem);
  });
});

test("artifacts are no images", () => {
  const artifact = {
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: "application/vnd.dev.sigstore.bundle.v0.3+json",
    digest: `sha256:${"0".repeat(64)}`,
    size: 1,
  };
  const index = parseIndex(JSON.stringify({ schemaVersion: 2, manifests: [artifact] }));
  expect(() => selectPlatform(index, { os: "linux", architecture: "amd64" })).toThrow("no platform");
});

test("the host in Go's words", () => {
  expect(hostPlatform().architecture).not.toBe("x64");
});
