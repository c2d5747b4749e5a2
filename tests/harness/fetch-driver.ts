/** A small program for tests of the fetch step as it really runs: `driver DATADIR REFERENCE [SIGNATURE]` starts the worker, `driver worker fetch` is the worker. */

import { resolve } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import { formatDigest } from "../../src/core/digest.ts";
import { RktError } from "../../src/core/errors.ts";
import { SECURE } from "../../src/core/insecure-options.ts";
import { fetchImage, parseImageReference } from "../../src/fetch/mod.ts";
import { runFetchWorker } from "../../src/fetch/worker.ts";
import { linux } from "../../src/host/mod.ts";
import { initDataDir } from "../../src/store/init-data-dir.ts";

const [first = "", second = "", signature] = process.argv.slice(2);
if (first === "worker" && second === "fetch") await runFetchWorker();
else await main();

/** One JSON line: the result, or the error. */
async function main(): Promise<void> {
  const dataDir = new DataDir(resolve(first));
  try {
    initDataDir(dataDir, linux);
    const download = await fetchImage(parseImageReference(second, process.cwd()), {
      dataDir,
      insecure: { ...SECURE, http: true, image: signature === "none" },
      config: {
        auth: new Map(),
        dockerAuth: new Map(),
        registries: new Map(),
        caFiles: [],
        paths: { data: undefined, stage1Images: undefined },
        stage1: { name: undefined, version: undefined, location: undefined },
        measurement: {},
        warnings: [],
        hidden: [],
      },
      signature: signature === "none" ? undefined : signature,
      emit: (event) => {
        if (event.kind === "warning") process.stderr.write(`${event.text}\n`);
      },
    });
    const blobs =
      download.format === "aci" ? [download.archive] : [download.manifest, download.config, ...download.layers];
    const signed = download.format === "aci" ? (download.signature?.length ?? 0) : 0;
    console.log(JSON.stringify({ id: download.id, blobs: blobs.map((blob) => formatDigest(blob.digest)), signed }));
  } catch (error) {
    const { code, message, hint } = error instanceof RktError ? error : { code: "?", message: String(error), hint: "" };
    console.log(JSON.stringify({ code, message, hint }));
    process.exitCode = 1;
  }
}
