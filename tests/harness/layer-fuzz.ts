/** Random layers over few names, so that they collide in every way; the same seed gives the same layers. */

import { applyEntry, emptyModel, type Model, type ModelEntry } from "./layer-model.ts";
import { randomNumbers } from "./random.ts";
import { type Member, tar } from "./tar-builder.ts";

export interface FuzzCase {
  /** One archive per layer, lowest first. */
  archives: Buffer[];
  entries: ModelEntry[][];
  model: Model;
}

export function fuzzCase(seed: number, owner: { uid: number; gid: number }): FuzzCase {
  const random = randomNumbers(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const component = () => pick(["a", "b", "c"]);
  const path = () => Array.from({ length: pick([1, 1, 2, 2, 3]) }, component).join("/");
  const model = emptyModel();
  const entries: ModelEntry[][] = [];
  for (let layer = 0; layer < pick([1, 2, 3, 3, 4]); layer += 1) {
    const placed: ModelEntry[] = [];
    for (let attempt = 0; attempt < 12; attempt += 1) {
      const entry = randomEntry();
      // What must be refused would end the test case; the refusals have tests of their own.
      if (applyEntry(structuredCloneModel(model), entry, layer) && applyEntry(model, entry, layer)) placed.push(entry);
    }
    entries.push(placed);
  }
  return { archives: entries.map((layer) => tar(...layer.map(toMember))), entries, model };

  function randomEntry(): ModelEntry {
    const base = { mode: pick([0o644, 0o700, 0o4755, 0o555]), mtime: Math.floor(random() * 1e9) };
    const name = path();
    switch (pick(["file", "file", "directory", "directory", "symlink", "hardlink", "whiteout", "whiteout", "opaque"])) {
      case "file":
        return { ...base, name, type: "file", text: `content ${Math.floor(random() * 1e6)}` };
      case "directory":
        return { ...base, name, type: "directory", text: "" };
      case "symlink":
        return { ...base, name, type: "symlink", text: pick(["a", "b", "../b", "/c", "/a/b", "../../..", "c/a"]) };
      case "hardlink":
        return { ...base, name, type: "hardlink", text: path() };
      case "whiteout":
        return { ...base, name: name.replace(/[^/]+$/, ".wh.$&"), type: "file", text: "" };
    }
    return { ...base, name: name.replace(/[^/]+$/, ".wh..wh..opq"), type: "file", text: "" };
  }

  function toMember(entry: ModelEntry): Member {
    const { name, mode, mtime, text } = entry;
    const common = { mode, mtime, ...owner };
    if (entry.type === "directory") return { ...common, name: `${name}/` };
    if (entry.type === "symlink") return { ...common, name, type: "2", link: text };
    if (entry.type === "hardlink") return { ...common, name, type: "1", link: text };
    return { ...common, name, data: text };
  }
}

function structuredCloneModel(model: Model): Model {
  return structuredClone(model);
}
