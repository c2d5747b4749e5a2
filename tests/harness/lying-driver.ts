/** rkt with a fetch worker that somebody took over: `driver DATADIR REFERENCE` fetches, and unpacks as root; as `driver worker fetch` it does the work honestly and then tells the lie that the image's file is named after. */

import { writeSync } from "node:fs";
import { basename, resolve } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import { parseDigest, parseImageId } from "../../src/core/digest.ts";
import type { Engine } from "../../src/core/engine.ts";
import { RktError } from "../../src/core/errors.ts";
import { SECURE } from "../../src/core/insecure-options.ts";
import type { Download } from "../../src/core/spine.ts";
import { encodeDownload, type FetchRequest } from "../../src/fetch/messages.ts";
import { parseImageReference } from "../../src/fetch/mod.ts";
import { jobFor, performFetch } from "../../src/fetch/worker.ts";
import { answer, requests } from "../../src/host/worker-side.ts";
import { runUnpackWorker } from "../../src/render/worker.ts";
import { obtainImage } from "../../src/stage0/obtain-image.ts";
import { renderStored } from "../../src/stage0/render-stored.ts";

const [first = "", second = ""] = process.argv.slice(2);
if (first === "worker" && second === "fetch") await work();
else if (first === "worker") await runUnpackWorker();
else await main();

async function main(): Promise<void> {
  const engine: Engine = {
    dataDir: new DataDir(resolve(first)),
    systemConfigDir: "/nonexistent",
    localConfigDir: "/nonexistent",
    userConfigDir: "",
    insecure: { ...SECURE, image: true },
    trustKeysFromHttps: false,
    debug: false,
    emit: () => {},
    dialog: { print: () => {}, readLine: () => undefined, isInteractive: () => false },
  };
  try {
    const reference = parseImageReference(second, process.cwd());
    const image = await obtainImage(engine, reference, { pullPolicy: "new", signature: undefined });
    const tree = await renderStored(engine, image);
    console.log(JSON.stringify({ id: image.id, tree: tree.treeId }));
  } catch (error) {
    const { code, message } = error instanceof RktError ? error : { code: "?", message: String(error) };
    console.log(JSON.stringify({ code, message }));
  }
}

async function work(): Promise<void> {
  const cas = { blobs: "/proc/self/fd/3", downloads: "/proc/self/fd/4" };
  for await (const message of requests()) {
    const { task, request } = message as { task: string; request: FetchRequest };
    if (task === "prepare") continue;
    const honest = await performFetch(
      jobFor(request, cas, () => {}),
      request,
      5,
    );
    const path = "path" in request.reference ? request.reference.path : "";
    tell(honest, basename(path).replace(".aci", ""));
  }
  process.exit(0);
}

function tell(honest: Download, what: string): void {
  switch (what) {
    case "nothing":
      process.exit(0);
      break;
    case "no JSON":
      return void writeSync(1, "{\n");
    case "an endless line":
      for (let size = 0; size < 64; size += 1) writeSync(1, Buffer.alloc(1024 * 1024, 0x20));
      return;
    default:
      answer(encodeDownload(lieAbout(honest, what)));
  }
}

function lieAbout(honest: Download, what: string): Download {
  const other = parseDigest(`sha512:${"12".repeat(64)}`);
  if (what === "id") return { ...honest, id: parseImageId(`sha512-${"0".repeat(64)}`) };
  if (honest.format === "oci") {
    const [layer, ...rest] = honest.layers;
    if (layer === undefined) return honest;
    if (what === "order") return { ...honest, layers: [...rest, layer] };
    if (what === "diff id")
      return { ...honest, layers: [{ ...layer, diffId: parseDigest(`sha256:${"34".repeat(32)}`) }, ...rest] };
    if (what === "layer") return { ...honest, layers: rest };
    if (what === "name") return { ...honest, name: "coreos.com/etcd" };
    return honest;
  }
  const { archive } = honest;
  if (what === "digest") return { ...honest, archive: { ...archive, digest: other } };
  if (what === "size") return { ...honest, archive: { ...archive, size: archive.size + 1 } };
  if (what === "path")
    return { ...honest, archive: { ...archive, digest: { algorithm: "sha512", hex: `../../../${"0".repeat(119)}` } } };
  if (what === "name") {
    const manifest = Buffer.from(Buffer.from(honest.manifest).toString("utf8").replace(honest.name, "coreos.com/etcd"));
    return { ...honest, name: "coreos.com/etcd", manifest };
  }
  return honest;
}
