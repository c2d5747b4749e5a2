/** What the names of an archive mean: an OCI layer is the file system itself; an ACI has it under `rootfs/`, beside the image manifest. */

import { normalize } from "node:path";
import { RktError } from "../../core/errors.ts";
import { type ByteString, fromText, shown } from "../tar/bytes.ts";
import type { EntryType } from "../tar/entry.ts";
import type { Naming } from "./place.ts";

/** Names of an OCI layer (image-spec layer.md). */
export const ociNaming: Naming = {
  whiteouts: true,
  place: (components) => components,
  elsewhere: () => undefined,
};

/** As large as the OCI image specification lets a manifest be; real ACI manifests are a few KiB. */
export const LARGEST_MANIFEST = 4 * 1024 * 1024;

/** Which paths of an image are kept: absolute paths, as in manifests (appc spec/aci.md, "pathWhitelist"). */
export interface PathFilter {
  /** The image's own list; says nothing about directories. */
  readonly own: readonly string[] | undefined;
  /** The list of an image that depends on it. */
  readonly upper: readonly string[] | undefined;
}

export interface AciNaming extends Naming {
  /** The manifest's bytes. Throws INVALID_INPUT when there was none. */
  manifest(): Buffer;
}

/**
 * Names of an App Container image (appc spec/aci.md, "Image Layout"): `manifest` and `rootfs/`. Other top-level entries are left out, as rkt 1.x did.
 */
export function aciNaming(filter?: PathFilter): AciNaming {
  const own = pathSet(filter?.own);
  const upper = pathSet(filter?.upper);
  const isKept = (path: ByteString, type: EntryType): boolean =>
    (own === undefined || type === "directory" || own.has(path)) && (upper === undefined || upper.has(path));
  let pieces: Buffer[] | undefined;
  return {
    whiteouts: false,
    place(components, entry) {
      const [top, ...rest] = components;
      if (top !== "rootfs") return undefined;
      if (rest.length === 0 && entry.type === "symlink") {
        throw new RktError(
          "MALICIOUS",
          `Cannot unpack entry ${shown(entry.name)}: the image's root is a symbolic link`,
        );
      }
      return rest.length === 0 || isKept(rest.join("/"), entry.type) ? rest : undefined;
    },
    elsewhere(components, entry) {
      if (components.length !== 1 || components[0] !== "manifest") return undefined;
      if (entry.type !== "file" || entry.sparse || pieces !== undefined) {
        throw new RktError("INVALID_INPUT", "Cannot unpack the image: expected one manifest, a plain file");
      }
      if (entry.size > LARGEST_MANIFEST) {
        throw new RktError(
          "INVALID_INPUT",
          `Cannot unpack the image: its manifest has ${entry.size} bytes, expected at most ${LARGEST_MANIFEST}`,
        );
      }
      const gathered: Buffer[] = [];
      pieces = gathered;
      return (bytes) => void gathered.push(Buffer.from(bytes));
    },
    manifest() {
      if (pieces === undefined) throw new RktError("INVALID_INPUT", "Cannot unpack the image: it has no manifest");
      return Buffer.concat(pieces);
    },
  };
}

function pathSet(paths: readonly string[] | undefined): ReadonlySet<ByteString> | undefined {
  if (paths === undefined) return undefined;
  return new Set(paths.map((path) => fromText(normalize(`/${path}`).replace(/^\/+|\/+$/g, ""))));
}
