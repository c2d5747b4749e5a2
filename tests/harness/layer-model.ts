/**
 * What a sequence of OCI layers means, as simply as it can be said: a tree in memory to which the entries are applied one after the other, each name remembering
 * the layer that placed it. The judge of the unpacker in tests; it knows nothing of overlays.
 */

export interface ModelEntry {
  /** "a/b"; a whiteout's name as in the archive ("a/.wh.b"). */
  name: string;
  type: "file" | "directory" | "symlink" | "hardlink";
  mode: number;
  mtime: number;
  /** Content, or target of a link. */
  text: string;
}

interface Leaf {
  kind: "file" | "symlink";
  mode: number;
  mtime: number;
  text: string;
}

interface Branch {
  kind: "directory";
  mode: number;
  /** Undefined for a directory that no entry names. */
  mtime: number | undefined;
  children: Map<string, Named>;
}

interface Named {
  node: Leaf | Branch;
  /** Number of the layer whose entry placed the name; -1 - N for what layer N only had to copy. */
  layer: number;
}

export interface Model {
  root: Branch;
}

export function emptyModel(): Model {
  return { root: { kind: "directory", mode: 0o755, mtime: undefined, children: new Map() } };
}

/** Applies one entry of layer `layer`; false when it cannot be placed (and an unpacker must refuse the archive). */
export function applyEntry(model: Model, entry: ModelEntry, layer: number): boolean {
  const path = entry.name.split("/");
  const name = path.pop() ?? "";
  const whiteout = name.startsWith(".wh.");
  const parent = resolve(model, path, !whiteout);
  if (parent === "refused") return false;
  if (whiteout) {
    if (parent !== undefined) applyWhiteout(parent, name, layer);
    return true;
  }
  if (parent === undefined) return false;
  if (entry.type === "directory") return placeDirectory(parent, name, entry, layer);
  if (entry.type !== "hardlink") {
    const { mode, mtime, text } = entry;
    parent.children.set(name, { node: { kind: entry.type, mode, mtime, text }, layer });
    return true;
  }
  const target = entry.text.split("/");
  const targetName = target.pop() ?? "";
  const from = resolve(model, target, false);
  const found = typeof from === "object" ? from.children.get(targetName) : undefined;
  if (found === undefined || found.node.kind === "directory") return false;
  // The new name is a directory that has the target in it: making room would remove the target.
  const replaced = parent.children.get(name)?.node;
  if (replaced?.kind === "directory" && typeof from === "object" && contains(replaced, from)) return false;
  parent.children.set(name, { node: found.node, layer: parent === from && name === targetName ? found.layer : layer });
  return true;
}

/** Every path with what it is, hard links by the first name of their file. */
export function describeModel(model: Model): Map<string, string> {
  const out = new Map<string, string>();
  const firstName = new Map<Leaf, string>();
  const visit = (directory: Branch, prefix: string): void => {
    for (const name of [...directory.children.keys()].sort()) {
      const node = directory.children.get(name)?.node;
      if (node === undefined) continue;
      const path = prefix + name;
      if (node.kind === "directory") {
        out.set(path, `directory ${node.mode.toString(8)} ${node.mtime ?? "?"}`);
        visit(node, `${path}/`);
        continue;
      }
      const first = firstName.get(node) ?? path;
      firstName.set(node, first);
      const mode = node.kind === "symlink" ? "777" : node.mode.toString(8);
      out.set(path, `${node.kind} ${mode} ${node.mtime} ${node.text} =${first}`);
    }
  };
  visit(model.root, "");
  return out;
}

function contains(directory: Branch, wanted: Branch): boolean {
  if (directory === wanted) return true;
  return [...directory.children.values()].some(({ node }) => node.kind === "directory" && contains(node, wanted));
}

function placeDirectory(parent: Branch, name: string, entry: ModelEntry, layer: number): boolean {
  const existing = parent.children.get(name)?.node;
  const children = existing?.kind === "directory" ? existing.children : new Map<string, Named>();
  parent.children.set(name, { node: { kind: "directory", mode: entry.mode, mtime: entry.mtime, children }, layer });
  return true;
}

function applyWhiteout(parent: Branch, name: string, layer: number): void {
  if (name === ".wh..wh..opq") {
    removeOlder(parent, layer);
    return;
  }
  const hidden = name.slice(".wh.".length);
  const named = parent.children.get(hidden);
  if (named !== undefined && isOlder(named, layer)) parent.children.delete(hidden);
}

/** Takes away what the layer did not place; true when nothing is left of the name. */
function isOlder(named: Named, layer: number): boolean {
  if (named.node.kind !== "directory") return named.layer !== layer;
  removeOlder(named.node, layer);
  return named.layer !== layer && named.node.children.size === 0;
}

function removeOlder(directory: Branch, layer: number): void {
  for (const [name, named] of directory.children) if (isOlder(named, layer)) directory.children.delete(name);
}

function resolve(model: Model, path: readonly string[], create: boolean): Branch | undefined | "refused" {
  const stack: Branch[] = [model.root];
  const rest = [...path].reverse();
  let links = 0;
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    const directory = stack.at(-1) ?? model.root;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (stack.length > 1) stack.pop();
      continue;
    }
    let node = directory.children.get(name)?.node;
    if (node === undefined) {
      if (!create) return undefined;
      node = { kind: "directory", mode: 0o755, mtime: undefined, children: new Map() };
      // No entry placed it; it stays as long as something is in it.
      directory.children.set(name, { node, layer: -1 });
    }
    if (node.kind === "directory") {
      stack.push(node);
      continue;
    }
    links += 1;
    if (node.kind === "file" || links > 40) return "refused";
    if (node.text.startsWith("/")) stack.length = 1;
    rest.push(...node.text.split("/").reverse());
  }
  return stack.at(-1);
}
