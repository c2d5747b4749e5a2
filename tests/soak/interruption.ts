/**
 * `rkt run` of a signed image of a registry, interrupted: at fail points by name in each of its phases, at random moments of a large download, by a disk that is full at
 * every stage, and with the store's index lost afterwards. After each: the next commands understand what is there, and the same run works.
 */

import { randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { countingProxy } from "../harness/counting-proxy.ts";
import { choosePoints, type FailPoint, PHASES, type Phase, traceRun } from "../harness/fail-points.ts";
import { leftBehind, takeCensus } from "../harness/leaks.ts";
import { type Random, randomNumbers } from "../harness/random.ts";
import { mountsBelow, type Result, type TestRkt } from "../harness/rkt.ts";
import { type SignedImage, signedImage } from "../harness/signed-image.ts";
import { runProgram, temporaryDirectory } from "../harness/temporary.ts";
import { collect, copy, type Ground, ground, type PartResult, type Say } from "./part.ts";

export interface InterruptionCounts {
  /** Kills in each phase. */
  readonly points: number;
  /** Kills of one large download. */
  readonly kills: number;
  /** Bytes of the large image. */
  readonly bytes: number;
  /** Sizes of the full disk. */
  readonly disks: number;
}

export async function interruptions(counts: InterruptionCounts, seed: number, say: Say): Promise<PartResult[]> {
  using dir = temporaryDirectory("interruption");
  using image = await signedImage(dir.path, [
    { "srv/a": "a".repeat(100_000) },
    Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`srv/many/${at}`, `file ${at} `.repeat(100)])),
  ]);
  const results: PartResult[] = [];
  for (const indexLost of [false, true]) {
    using place = ground();
    image.trustedBy(place.rkt);
    results.push(await killAtPoints(place, image, indexLost ? 1 : counts.points, indexLost, say));
  }
  results.push(await killsOfDownload(counts, randomNumbers(seed), say));
  results.push(fullDisks(image, counts.disks, say));
  return results;
}

function runOf(image: SignedImage, host?: string): string[] {
  return [...image.flags, "run", image.reference(host)];
}

async function killAtPoints(
  place: Ground,
  image: SignedImage,
  count: number,
  indexLost: boolean,
  say: Say,
): Promise<PartResult> {
  const { rkt, scope } = place;
  const seed = join(rkt.dir, "seed");
  copy(rkt.dataDir, seed);
  const before = takeCensus(scope);
  const args = runOf(image);
  const whole = traceRun(rkt, args);
  if (whole.status !== 0) throw new Error(`rkt ${args.join(" ")}: status ${whole.status}: ${whole.stderr}`);
  collect(rkt);
  const findings: string[] = [];
  const hit = new Map<Phase, number>();
  const points = choosePoints(whole.points, count);
  for (const [index, point] of points.entries()) {
    if (findings.length >= 20) break;
    copy(seed, rkt.dataDir);
    const killed = traceRun(rkt, args, point);
    if (killed.status !== 137) findings.push(`${nameOf(point)}: not killed, status ${killed.status}: ${killed.stderr}`);
    if (killed.phase !== undefined) hit.set(killed.phase, (hit.get(killed.phase) ?? 0) + 1);
    if (indexLost) for (const name of ["images", "refs"]) runProgram(["rm", "-rf", join(rkt.dataDir, "cas", name)]);
    const wrong = [...understood(rkt), ...(await worksAgain(place, args, before))];
    findings.push(...wrong.map((text) => `killed in ${nameOf(point)}: ${text}`));
    if (index % 5 === 4) say(`fail points${indexLost ? ", index lost" : ""}: ${index + 1} of ${points.length}`);
  }
  const missed = PHASES.filter((phase) => (hit.get(phase) ?? 0) < count);
  findings.push(...missed.map((phase) => `${phase}: ${hit.get(phase) ?? 0} kills, expected ${count}`));
  return {
    what: `kill -9 of run at fail points${indexLost ? ", then cas/images and cas/refs deleted" : ""}`,
    counts: PHASES.map((phase) => `${phase} ${hit.get(phase) ?? 0}`).join(", "),
    findings,
  };
}

function nameOf({ phase, call, nth }: FailPoint): string {
  return `${phase} (${call} ${nth})`;
}

/** What a user would type next, and what must work whatever was interrupted. */
function understood(rkt: TestRkt): string[] {
  const wrong: string[] = [];
  for (const words of [
    ["list", "--format=json"],
    ["image", "list"],
  ])
    must(wrong, rkt, words);
  wrong.push(...collect(rkt));
  must(wrong, rkt, ["image", "gc"]);
  must(wrong, rkt, ["fsck", "--repair"]);
  must(wrong, rkt, ["fsck"]);
  return wrong;
}

function must(wrong: string[], rkt: TestRkt, words: readonly string[]): Result {
  const result = rkt.run(words);
  if (result.status !== 0) wrong.push(`rkt ${words.join(" ")}: status ${result.status}: ${result.stderr.trim()}`);
  return result;
}

async function worksAgain({ rkt, scope }: Ground, args: readonly string[], before: ReturnType<typeof takeCensus>) {
  const wrong: string[] = [];
  const again = must(wrong, rkt, args);
  if (!again.stdout.includes("it ran")) wrong.push(`the next run says: ${again.stdout}`);
  wrong.push(...collect(rkt));
  // A pod that was not yet born stays for a minute, downloads that nobody continues for a day, a lock's file for ever.
  const left = (await leftBehind(scope, before)).filter(
    (line) => !/\/pods\/embryo\/|\/cas\/tmp\/|\/run\/rkt\/network\.lock/.test(line),
  );
  wrong.push(...left.map((line) => `left behind: ${line}`));
  wrong.push(...mountsBelow(rkt.dataDir).map((path) => `left mounted: ${path}`));
  return wrong;
}

/** One download, killed again and again where it has come to: what was there is not transferred once more. */
async function killsOfDownload({ kills, bytes }: InterruptionCounts, random: Random, say: Say): Promise<PartResult> {
  using dir = temporaryDirectory("large");
  using image = await signedImage(
    dir.path,
    [1, 2, 3, 4].map((at) => ({ [`data/${at}`]: randomBytes(Math.floor(bytes / 4)) })),
  );
  using place = ground();
  const { rkt } = place;
  using proxy = await countingProxy(image.registry.port, 20_000_000);
  image.trustedBy(rkt, proxy.host);
  const args = [...image.flags, "fetch", image.reference(proxy.host)];
  const findings: string[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    const running = rkt.start(args);
    const mark = proxy.bytes() + (image.size / (kills + 2)) * (0.3 + random());
    const ended = await Promise.race([running.ended.then(() => true), proxy.reached(mark).then(() => false)]);
    if (ended) {
      findings.push(`kill ${kill}: the fetch ended by itself: ${running.stderr().trim()}`);
      break;
    }
    running.kill("SIGKILL");
    await running.ended;
    if (kill % 10 === 9) say(`kills of a download: ${kill + 1} of ${kills}`);
  }
  const last = await rkt.start(args).ended;
  if (last.status !== 0) findings.push(`the last fetch: status ${last.status}: ${last.stderr.trim()}`);
  const times = proxy.bytes() / image.size;
  if (times > 1.2) findings.push(`${times.toFixed(2)} times the image was transferred, expected at most 1.2`);
  must(findings, rkt, ["fsck", "--deep"]);
  must(findings, rkt, ["image", "verify", last.stdout.trim()]);
  const parts = readdirSync(join(rkt.dataDir, "cas/tmp")).filter((name) => name.endsWith(".part"));
  if (parts.length > 0) findings.push(`left in cas/tmp: ${parts.join(", ")}`);
  const megabytes = Math.round(image.size / 1e6);
  return {
    what: `kill -9 at random moments of the download of an image of ${megabytes} MB`,
    counts: `fetch ${kills}; ${times.toFixed(2)} times the image was transferred in all`,
    findings,
  };
}

/** Data directories on disks that are too small: by a little, and by a lot. */
function fullDisks(image: SignedImage, sizes: number, say: Say): PartResult {
  using place = ground();
  const { rkt } = place;
  image.trustedBy(rkt);
  const seed = join(rkt.dir, "seed");
  copy(rkt.dataDir, seed);
  const used = (path: string) => Number(runProgram(["du", "--summarize", "--block-size=1", path]).split("\t")[0]);
  const least = used(seed);
  const findings: string[] = [];
  let refused = 0;
  for (let number = 0; number < sizes && findings.length < 20; number += 1) {
    // A tmpfs needs no more than what was measured; the image takes a few megabytes, packed and unpacked.
    const size = least + 65_536 + number * 400_000;
    runProgram(["rm", "-rf", "--one-file-system", rkt.dataDir]);
    runProgram(["mkdir", rkt.dataDir]);
    runProgram(["mount", "-t", "tmpfs", "-o", `size=${size},mode=0755`, "tmpfs", rkt.dataDir]);
    try {
      runProgram(["cp", "--archive", `${seed}/.`, rkt.dataDir]);
      const result = rkt.run(runOf(image));
      if (result.status !== 0) refused += 1;
      const clear = result.status === 0 || (result.status === 254 && /no space left|ENOSPC/i.test(result.stderr));
      if (!clear) findings.push(`${size} bytes: status ${result.status}: ${result.stderr.trim().slice(-600)}`);
      // To the last byte: what frees space needs none.
      runProgram(["sh", "-c", `dd if=/dev/zero of=${join(rkt.dataDir, "ballast")} bs=4k 2>/dev/null || true`]);
      const wrong: string[] = [];
      must(wrong, rkt, ["list"]);
      const images = must(wrong, rkt, ["image", "list", "--no-legend", "--full", "--fields=id"]).stdout.trim();
      wrong.push(...collect(rkt));
      if (images !== "") must(wrong, rkt, ["image", "rm", ...images.split(/\s+/)]);
      must(wrong, rkt, ["image", "gc", "--grace-period=0s"]);
      findings.push(...wrong.map((text) => `full at ${size} bytes: ${text}`));
      if (existsSync(join(rkt.dataDir, "pods/run")) && readdirSync(join(rkt.dataDir, "pods/run")).length > 0)
        findings.push(`full at ${size} bytes: pods are left`);
    } finally {
      runProgram(["umount", "--lazy", rkt.dataDir]);
    }
    if (number % 5 === 4) say(`full disks: ${number + 1} of ${sizes}`);
  }
  return {
    what: "a disk that becomes full, then list, rm and gc on it",
    counts: `${sizes} sizes from ${(least / 1e6).toFixed(1)} MB in steps of 0.4 MB; the run was refused ${refused} times`,
    findings,
  };
}
