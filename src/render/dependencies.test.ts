import { describe, expect, test } from "bun:test";
import { imageIdFromSha512 } from "../core/digest.ts";
import type { Dependency } from "../spec/appc/types.ts";
import { filteredLayerId, flattenDependencies } from "./dependencies.ts";
import type { RenderableImage } from "./layer-id.ts";

interface Described {
  dependencies?: string[];
  pathWhitelist?: string[];
}

const idOf = (name: string) => imageIdFromSha512(Buffer.from(name).toString("hex").padEnd(128, "0"));
const imageOf = (name: string): RenderableImage => ({ id: idOf(name), format: "aci", layers: [] });

/** Flattens the tree below "a"; images are called by one letter. */
async function flatten(images: Record<string, Described>, resolvable = true) {
  const names = new Map(Object.keys(images).map((name) => [idOf(name), name]));
  const manifestOf = async ({ id }: RenderableImage) => {
    const name = names.get(id) ?? "";
    const { dependencies = [], pathWhitelist = [] } = images[name] ?? {};
    const wanted = dependencies.map((imageName) => ({ imageName }));
    return JSON.stringify({ acKind: "ImageManifest", acVersion: "0.8.11", name, dependencies: wanted, pathWhitelist });
  };
  const resolve = async (wanted: Dependency) => imageOf(wanted.imageName);
  const flat = await flattenDependencies(imageOf("a"), manifestOf, resolvable ? resolve : undefined);
  return flat.map((one) => ({ name: names.get(one.image.id), filter: one.filter, layerId: filteredLayerId(one) }));
}

describe("flattenDependencies()", () => {
  test("goes depth first, the last dependency first", async () => {
    const flat = await flatten({ a: { dependencies: ["b", "c"] }, b: {}, c: { dependencies: ["d"] }, d: {} });
    expect(flat.map(({ name }) => name).join("")).toBe("acdb");
    expect(flat.every(({ name, layerId }) => layerId === idOf(name ?? ""))).toBe(true);
  });

  test("gives each image its own whitelist and that of the topmost image above", async () => {
    const flat = await flatten({
      a: { dependencies: ["b", "c"], pathWhitelist: ["/x"] },
      b: { pathWhitelist: ["/y"] },
      c: { dependencies: ["d"], pathWhitelist: ["/z"] },
      d: {},
    });
    expect(flat.map(({ filter }) => filter)).toEqual([
      { own: ["/x"], upper: undefined },
      { own: ["/z"], upper: ["/x"] },
      { own: undefined, upper: ["/x"] },
      { own: ["/y"], upper: ["/x"] },
    ]);
    expect(new Set(flat.map(({ layerId }) => layerId)).size).toBe(4);
    expect(flat.some(({ name, layerId }) => layerId === idOf(name ?? ""))).toBe(false);
  });

  test("refuses circles, and dependencies that nobody can resolve", async () => {
    expect(flatten({ a: { dependencies: ["b"] }, b: { dependencies: ["a"] } })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    expect(flatten({ a: { dependencies: ["b"] }, b: {} }, false)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  test("an image may come twice in a tree", async () => {
    const flat = await flatten({ a: { dependencies: ["b", "c"] }, b: { dependencies: ["c"] }, c: {} });
    expect(flat.map(({ name }) => name).join("")).toBe("acbc");
  });
});
