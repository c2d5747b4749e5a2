/**
 * Measured launch: what a pod consists of goes into the machine's TPM before the pod starts, or an app before it is added. By the policy of the configuration; `--require=measured`
 * makes it `required` for one pod. Costs nothing where it is off: src/measure is loaded only then.
 */

import { createHash } from "node:crypto";
import { existsSync, unlinkSync, writeFileSync } from "node:fs";
import { loadConfig, type MeasurementSettings, measurementSettings } from "../config/mod.ts";
import { PodFiles } from "../core/data-dir.ts";
import { formatDigest } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { errorLine, RktError } from "../core/errors.ts";
import { signerText } from "../core/signer-text.ts";
import type { RenderedTree } from "../core/spine.ts";
import type { PodUuid } from "../core/uuid.ts";
import { RKT_VERSION } from "../core/version.ts";
import { linux } from "../host/mod.ts";
import { type MeasuredApp, type MeasuredEvent, type MeasuredImage, measure, rkt1Event } from "../measure/mod.ts";
import { formatPodManifest, type PodManifest, type RuntimeApp } from "../spec/appc/mod.ts";
import { findImageById } from "../store/mod.ts";
import { treeIdIn } from "./call-stage1.ts";

export interface MeasurementInput {
  readonly uuid: PodUuid;
  readonly dir: string;
  readonly manifest: PodManifest;
  readonly stage1: RenderedTree;
  /** Of the stage1's `run`; without secrets, since a quote carries them away. */
  readonly argv: readonly string[];
}

/** Throws UNSUPPORTED, with the reason, for a pod that had to be measured and could not be. Else leaves the file `measured` in the directory of one that was. */
export async function measurePod(
  engine: Engine,
  settings: MeasurementSettings,
  input: MeasurementInput,
): Promise<void> {
  const { uuid, dir, manifest, stage1, argv } = input;
  const files = new PodFiles(dir);
  await byPolicy(engine, settings, "run the pod", async () => {
    const text = formatPodManifest(manifest);
    const pod: MeasuredEvent = {
      ...{ kind: "pod", uuid, version: RKT_VERSION, manifest: sha256(text), arguments: argv },
      apps: manifest.apps.map((app) => appOf(engine, app, treeIdIn(files.appTreeId(app.name)))),
      stage1: imageOf(engine, stage1.image, stage1.treeId),
    };
    const events = settings.rkt1Events ? [pod, rkt1Event(stage1.image, text, argv)] : [pod];
    const { pcr, record } = await measureEvents(engine, settings, events);
    writeFileSync(files.measured, `pcr ${pcr}, record ${record}\n`, { mode: 0o640 });
  });
}

/** An app that is added to a running pod; `files`: the pod's directory. When it cannot be measured and need not be, the pod counts as measured no more. */
export async function measureAddedApp(
  engine: Engine,
  files: PodFiles,
  { uuid, manifest, app, treeId }: { uuid: PodUuid; manifest: PodManifest; app: RuntimeApp; treeId: string },
): Promise<void> {
  const settings = measurementSettings(loadConfig(engine));
  const wasMeasured = existsSync(files.measured);
  if (settings.policy === "off") {
    if (wasMeasured) unlinkSync(files.measured);
    return;
  }
  const measured = await byPolicy(engine, settings, "add the app", () =>
    measureEvents(engine, settings, [
      {
        ...{ kind: "app", uuid, version: RKT_VERSION, manifest: sha256(formatPodManifest(manifest)) },
        ...{ apps: [appOf(engine, app, treeId)], stage1: undefined, arguments: [] },
      },
    ]),
  );
  if (!measured && wasMeasured) unlinkSync(files.measured);
}

async function measureEvents(engine: Engine, settings: MeasurementSettings, events: readonly MeasuredEvent[]) {
  const measured = await measure(linux, engine.dataDir, settings, events);
  if (measured.disturbed) {
    engine.emit({
      kind: "warning",
      text: `PCR ${measured.pcr} was extended by others than rkt since the last pod: a verifier will not accept its log before the next boot`,
    });
  }
  return measured;
}

/** False: it could not be measured, and need not be. */
async function byPolicy(
  engine: Engine,
  { policy }: MeasurementSettings,
  doing: string,
  act: () => Promise<unknown>,
): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (cause) {
    if (policy === "required") {
      const { hint } = cause instanceof RktError ? cause : {};
      const reason = `Cannot ${doing}: it has to be measured, and could not be: ${errorLine(cause)}`;
      throw new RktError("UNSUPPORTED", reason, hint === undefined ? {} : { hint });
    }
    engine.emit({ kind: "warning", text: `not measured: ${errorLine(cause)}` });
    return false;
  }
}

function appOf(engine: Engine, { name, image }: RuntimeApp, treeId: string): MeasuredApp {
  return { app: name, ...imageOf(engine, image.id, treeId) };
}

/** What root's records say of an image. One that was removed from the store since the pod was prepared has its id alone. */
function imageOf({ dataDir }: Engine, id: string, tree: string): MeasuredImage {
  const image = findImageById(dataDir, id);
  const verification = image?.verification;
  // Without a record of root's own, what the store says was written by whoever may fetch.
  const believed = verification === undefined ? undefined : image;
  // A name that nobody has signed, or that a layout or an unprivileged fetch claims, proves nothing, and a verifier would take it for one that was signed.
  const isClaimed = verification?.kind === "insecure" || (verification !== undefined && "nameClaimed" in verification);
  return {
    id,
    digest: believed?.manifest === undefined ? undefined : formatDigest(believed.manifest.digest),
    name: isClaimed ? undefined : believed?.name,
    signer: verification === undefined ? undefined : signerText({ verification }),
    tree,
  };
}

function sha256(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
