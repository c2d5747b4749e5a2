/** Unpacking one blob into one layer directory: the chain from descriptor to files. */

import type { Host } from "../../host/mod.ts";
import type { Lower } from "../below.ts";
import { tarReader } from "../tar/reader.ts";
import { treeDigest } from "../tree-digest.ts";
import { type ExpectedBlob, readBlob } from "./blob.ts";
import { type Device, type DeviceList, remainingDevices } from "./devices.ts";
import { aciNaming, ociNaming, type PathFilter } from "./naming.ts";
import { placer } from "./placer.ts";
import { type Below, endWalk, startWalk } from "./walk.ts";

export interface UnpackJob {
  readonly format: "aci" | "oci";
  readonly blob: ExpectedBlob;
  /** ACI: the part of it that is wanted. */
  readonly filter?: PathFilter | undefined;
  /** Read from its position on. */
  readonly blobFd: number;
  /** Root of the layer: an empty directory. */
  readonly target: Lower;
  /** The layers below, topmost first. */
  readonly lowers: readonly Lower[];
  /** Returns when the layers below are filled; called once, before the first look at what is in them. Without it they are. */
  readonly waitForBelow?: () => void;
  /** Called for every piece of the content. */
  readonly onProgress?: () => void;
}

export interface Unpacked {
  /** Nodes that root has to make. */
  readonly devices: Device[];
  /** ACI: the image manifest's bytes. */
  readonly manifest: Buffer | undefined;
  readonly entries: number;
  /** Bytes of the files' content. */
  readonly size: number;
  /** See tree-digest.ts. Devices count as if they were there. */
  readonly digest: string;
}

/**
 * Fills `job.target`. On failure it is left half-filled, for the caller to remove. Throws DIGEST_MISMATCH, INVALID_INPUT, MALICIOUS, SYSTEM_CALL (a full
 * disk, for one), each naming the blob or the entry.
 */
export async function unpack(host: Host, job: UnpackJob): Promise<Unpacked> {
  const naming = job.format === "aci" ? aciNaming(job.filter) : undefined;
  const devices: DeviceList = new Map();
  // Modes in the archive are meant as they are.
  const mask = host.umask(0);
  try {
    const walk = startWalk(host, job.target, filledLowers(job));
    const sink = placer(walk, naming ?? ociNaming, devices);
    const reader = tarReader(sink);
    await readBlob(host, job.blobFd, job.blob, (piece) => {
      reader.push(piece);
      job.onProgress?.();
    });
    reader.finish();
    endWalk(walk);
    const left = remainingDevices(devices, walk);
    return {
      devices: left,
      manifest: naming?.manifest(),
      entries: sink.placed.entries,
      size: sink.placed.size,
      digest: treeDigest(host, job.target, { contents: walk.contents, devices: byInode(devices, left) }),
    };
  } finally {
    host.umask(mask);
  }
}

/**
 * The layers below, for whoever looks into them. Most archives name every directory before what is in it, so that unpacking them needs no look below: then all layers of an image are unpacked side
 * by side.
 */
function filledLowers({ lowers, waitForBelow }: UnpackJob): Below {
  let waits = waitForBelow !== undefined && lowers.length > 0;
  return {
    count: lowers.length,
    layers: () => {
      if (waits) waitForBelow?.();
      waits = false;
      return lowers;
    },
  };
}

/** The devices that are left, by the inode number of what keeps their place. */
function byInode(devices: DeviceList, left: readonly Device[]): Map<number, Device> {
  const names = new Set(left.flatMap(({ paths }) => paths));
  return new Map([...devices].filter(([, { paths }]) => paths.some((path) => names.has(path))));
}
