/**
 * A small program around the render step, compiled by the tests that need the real unpacker (a worker is the executable started again):
 * `driver render REQUEST` renders and prints the tree, `driver copy REQUEST` copies one. Failures are printed as `{ "code", "message" }`, with status 1.
 */

import { DataDir } from "../../src/core/data-dir.ts";
import { parseDigest, parseImageId } from "../../src/core/digest.ts";
import { RktError } from "../../src/core/errors.ts";
import { linux } from "../../src/host/mod.ts";
import { copyTree, type RenderableImage, renderImage } from "../../src/render/mod.ts";
import { runUnpackWorker } from "../../src/render/worker.ts";

/** One layer: digests as text; `diffId` is null for an ACI. */
export interface DriverLayer {
  digest: string;
  size: number;
  diffId: string | null;
}

export interface DriverRequest {
  root: string;
  id: string;
  format: "aci" | "oci";
  layers: DriverLayer[];
  /** Images that others depend on, by name. */
  dependencies?: Record<string, Pick<DriverRequest, "id" | "layers">>;
  /** For `copy`: where to. */
  target?: string;
}

const [command, argument] = process.argv.slice(2);
if (command === "worker") await runUnpackWorker();
else {
  try {
    await run(JSON.parse(argument ?? "{}") as DriverRequest);
  } catch (error) {
    if (!(error instanceof RktError)) throw error;
    console.log(JSON.stringify({ code: error.code, message: error.message }));
    process.exitCode = 1;
  }
}

async function run(request: DriverRequest): Promise<void> {
  const dataDir = new DataDir(request.root);
  const tree = await renderImage({
    dataDir,
    host: linux,
    emit: (event) => console.error(JSON.stringify(event)),
    image: imageOf(request),
    resolveDependency: async ({ imageName }) => {
      const found = request.dependencies?.[imageName];
      if (found === undefined) throw new RktError("NOT_FOUND", `no ${imageName}`);
      return imageOf({ ...request, ...found });
    },
    ...(request.format === "oci" ? { ociManifestText: "{}" } : {}),
  });
  if (command === "copy") copyTree(linux, dataDir, tree, request.target ?? "");
  console.log(JSON.stringify(tree));
}

function imageOf(request: DriverRequest): RenderableImage {
  return {
    id: parseImageId(request.id),
    format: request.format,
    layers: request.layers.map((layer) => ({
      digest: parseDigest(layer.digest),
      size: layer.size,
      mediaType: "",
      diffId: layer.diffId === null ? undefined : parseDigest(layer.diffId),
    })),
  };
}
