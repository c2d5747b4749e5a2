/** The checks of `rkt fsck` in the order in which their mends build on each other. */

import { closeSync } from "node:fs";
import { basename, dirname } from "node:path";
import { formatDigest } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { Problem } from "../core/problem.ts";
import type { StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { AT_FDCWD, linux, O } from "../host/mod.ts";
import { removeTree } from "../host/remove-tree.ts";
import { eachPod, podReader, takePrepareLock, treesInUse } from "../pod/mod.ts";
import { treeProblems } from "../render/check-trees.ts";
import { refetchImage, reimportArchive } from "../stage0/refetch-image.ts";
import { renderStored } from "../stage0/render-stored.ts";
import { type BlobProblem, blobProblems, isBlobWhole, removeWrongBlob } from "../store/check-blobs.ts";
import { leftoverProblems, modeProblems } from "../store/check-files.ts";
import { isIndexLost, recordProblems } from "../store/check-records.ts";
import { isUntaken, layoutProblems, listImages } from "../store/mod.ts";
import { rebuildRecords, restoreAci, unrecordedArchives } from "../store/rebuild-index.ts";
import { rkt1Problems } from "./check-rkt-1.ts";
import { staleTemporaries } from "./gc-plan.ts";
import { failureText } from "./image-removals.ts";

export interface Finding {
  readonly problem: Problem;
  /** What was done; undefined when nothing was. */
  readonly action: string | undefined;
  readonly mended: boolean;
}

export interface CheckRequest {
  readonly engine: Engine;
  readonly repair: boolean;
  readonly deep: boolean;
  readonly report: (finding: Finding) => void;
}

/**
 * Finds what is wrong, and mends it when asked to: layout, records, blobs, unpacked layers, leftovers. Each step looks at what the step before has mended. For root. Mends of layers
 * hold the prepare lock, exclusive; those of the store its own lock, briefly.
 */
export async function checkDataDir(request: CheckRequest): Promise<void> {
  const { dataDir } = request.engine;
  // Before the layout is mended: only who takes a directory over looks at what was open to others there.
  if (isUntaken(dataDir, linux)) {
    await handle(request, rkt1Problems(request.engine));
    if (isUntaken(dataDir, linux)) return;
  }
  await handle(request, layoutProblems(dataDir, linux));
  await handle(request, rkt1Problems(request.engine));
  await checkRecords(request);
  await handle(request, modeProblems(dataDir));
  await checkBlobs(request);
  await checkTrees(request);
  await handle(request, leftovers(request));
}

async function handle(request: CheckRequest, problems: readonly Problem[]): Promise<void> {
  for (const problem of problems) request.report(await mend(request, problem));
}

async function mend({ repair }: CheckRequest, problem: Problem): Promise<Finding> {
  if (!repair || problem.mend === undefined) return { problem, action: undefined, mended: false };
  try {
    return { problem, action: await problem.mend(), mended: true };
  } catch (error) {
    return { problem, action: failureText(error), mended: false };
  }
}

async function checkRecords(request: CheckRequest): Promise<void> {
  const { engine, repair } = request;
  const wasLost = isIndexLost(engine.dataDir);
  const problems = recordProblems(engine.dataDir);
  const broken = new Set(problems.flatMap(({ kind, image }) => (kind === "broken-record" && image ? [image] : [])));
  const isManifest = ({ kind }: Problem): boolean => kind === "lost-manifest";
  await handle(
    request,
    problems.filter((problem) => !isManifest(problem)),
  );
  // Records that came back may lack theirs.
  for (const problem of recordProblems(engine.dataDir).filter(isManifest))
    await handle(request, [{ ...problem, mend: () => mendManifest(engine, problem) }]);
  // Archives are opened by a worker only, and for that only when there is reason to.
  if (!repair || !(wasLost || broken.size > 0)) return;
  const rebuilt = rebuildRecords(engine.dataDir, broken);
  for (const id of rebuilt) engine.emit({ kind: "debug", source: "fsck", text: `recorded image ${id} from its blobs` });
  for (const digest of unrecordedArchives(engine.dataDir)) await rebuildAci(request, digest, wasLost, broken);
}

async function rebuildAci(
  { engine, report }: CheckRequest,
  digest: Parameters<typeof reimportArchive>[1],
  wasLost: boolean,
  broken: ReadonlySet<string>,
): Promise<void> {
  const path = engine.dataDir.blob(digest);
  try {
    const download = await reimportArchive(engine, digest);
    if (!wasLost && !broken.has(download.id)) return;
    restoreAci(engine.dataDir, download);
    const message = `image ${download.id} has no record in the index; its archive can give it`;
    const problem = { severity: "damage", kind: "lost-record", path, image: download.id, message } as const;
    report({ problem, action: `recorded it as ${download.name}`, mended: true });
  } catch (error) {
    // A blob of another kind: what nothing needs is a leftover, and reported as one.
    engine.emit({ kind: "debug", source: "fsck", text: `${formatDigest(digest)}: ${failureText(error)}` });
  }
}

async function mendManifest(engine: Engine, problem: Problem): Promise<string> {
  const image = listImages(engine.dataDir).find(({ id }) => id === problem.image);
  const [archive] = image?.layers ?? [];
  if (image === undefined || archive === undefined) return "left it: the image is gone";
  const download = await reimportArchive(engine, archive.digest);
  if (download.id !== image.id)
    throw new RktError("DIGEST_MISMATCH", `Cannot read the manifest: the archive is that of ${download.id}`);
  restoreAci(engine.dataDir, download);
  return "read it from the archive again";
}

async function checkBlobs(request: CheckRequest): Promise<void> {
  const { engine, deep } = request;
  for (const problem of blobProblems(engine.dataDir, { deep })) {
    await handle(request, [{ ...problem, mend: () => mendBlob(engine, problem) }]);
  }
}

/** What is wrong is removed first: content under a digest that is not its own is of no use to anybody, and a fetch would take it for what it is called. */
async function mendBlob(engine: Engine, { blob, images }: BlobProblem): Promise<string> {
  const removed = removeWrongBlob(engine.dataDir, blob);
  const failures: string[] = [];
  for (const image of images) {
    if (isBlobWhole(engine.dataDir, blob)) break;
    try {
      await refetchImage(engine, image);
    } catch (error) {
      failures.push(failureText(error));
    }
  }
  if (isBlobWhole(engine.dataDir, blob)) return "fetched it again";
  const reason = failures[0] ?? "it was not among what was fetched";
  throw new RktError(
    "NOT_FOUND",
    `${removed ? "removed what was there, but cannot fetch it" : "cannot fetch it"} again: ${reason}`,
  );
}

async function checkTrees(request: CheckRequest): Promise<void> {
  const { engine, deep, repair } = request;
  const { dataDir } = engine;
  const lock = await takePrepareLock(dataDir, linux, repair ? "exclusive" : "shared");
  const images = listImages(dataDir);
  const lost: Problem[] = [];
  try {
    const problems = treeProblems({ dataDir, host: linux, deep, treesInUse: treesInUse(dataDir, linux), images });
    lost.push(...problems.filter(({ kind }) => kind === "lost-layers"));
    await handle(
      request,
      problems.filter(({ kind }) => kind !== "lost-layers"),
    );
  } finally {
    closeSync(lock);
  }
  // Unpacking takes the prepare lock itself.
  for (const problem of lost) {
    const image = images.find(({ id }) => id === problem.image);
    await handle(request, [image === undefined ? problem : { ...problem, mend: () => unpackAgain(engine, image) }]);
  }
}

async function unpackAgain(engine: Engine, image: StoredImage): Promise<string> {
  await renderStored(engine, image);
  return "unpacked them again";
}

function leftovers({ engine }: CheckRequest): Problem[] {
  const { dataDir } = engine;
  const temporaries = staleTemporaries(dataDir).map(
    (path): Problem => ({
      severity: "leftover",
      kind: "leftover",
      path,
      message: `${quoted(path)} was left by a command that was killed`,
      mend: () => removeTemporary(path),
    }),
  );
  return [...leftoverProblems(dataDir), ...temporaries, ...abortedPods(engine)];
}

function removeTemporary(path: string): string {
  const parent = linux.openat(AT_FDCWD, dirname(path), O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0);
  try {
    removeTree(linux, parent, basename(path));
    return "removed it";
  } finally {
    linux.close(parent);
  }
}

/** `rkt gc` knows how to remove them with everything that may hang on a pod; here they are only named. */
function abortedPods({ dataDir }: Engine): Problem[] {
  const problems: Problem[] = [];
  for (const pod of eachPod(podReader(dataDir, linux), ["embryo", "prepare"], () => {})) {
    if (pod.state !== "aborted prepare" && pod.state !== "embryo") continue;
    const message = `pod ${pod.uuid} was never prepared to the end: rkt gc removes it`;
    problems.push({ severity: "leftover", kind: "aborted-pod", path: pod.uuid, message });
  }
  return problems;
}
