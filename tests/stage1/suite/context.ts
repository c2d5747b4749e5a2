/** What the cases of the suite share: one rkt with one store and one set of images for a flavor, and short ways to run a pod of it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../../harness/fetched-aci.ts";
import type { buildAci, Files } from "../../harness/images.ts";
import { type Result, type RunningRkt, type TestRkt, testRkt, until } from "../../harness/rkt.ts";

export type Flavor = "nspawn" | "host" | "fly" | "kvm";

export interface PodRequest {
  /** Flags before the image. */
  readonly pod?: readonly string[];
  /** Flags after it. */
  readonly app?: readonly string[];
  /** Default: {@link Stage1.image}. */
  readonly image?: string;
  /** Default: --net=none. */
  readonly net?: string;
  readonly globals?: readonly string[];
}

/** Filled by {@link setUp}: cases may only use it inside of tests. */
export interface Stage1 {
  readonly flavor: Flavor;
  rkt: TestRkt;
  /** busybox, a probe, users web and adm, groups web and logs. */
  image: string;
  /** With links that would lead out of its root. */
  hostile: string;
}

export function newStage1(flavor: Flavor): Stage1 {
  return { flavor, rkt: undefined as unknown as TestRkt, image: "", hostile: "" };
}

export function setUp(stage1: Stage1): void {
  stage1.rkt = testRkt();
  stage1.image = addImage(stage1, "app", {
    probe: readFileSync(join(import.meta.dir, "probe.sh")),
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\nadm:x:1003:1004::/adm:/bin/sh\n",
    "etc/group": "root:x:0:\nweb:x:1002:\nlogs:x:1003:\nnogroup:x:65534:\n",
    "srv/file": "x",
    marker: "app\n",
  });
  stage1.hostile = addImage(stage1, "hostile", {
    "links/absolute": { link: "/etc" },
    "links/climbing": { link: "../../../../../../../../etc" },
    "links/dangling": { link: "/made/here" },
    "links/loop": { link: "loop" },
    "links/file": "a file",
    "etc/resolv.conf": { link: "../run/resolvconf/resolv.conf" },
  });
}

/** Fetches an image of busybox and `files`; its id. */
export function addImage(
  { rkt }: Stage1,
  name: string,
  files: Files,
  manifest: Parameters<typeof buildAci>[1] = {},
): string {
  return fetchedAci(rkt, { name: `example.com/${name}`, ...manifest }, files, name);
}

/** The words of `rkt run` for a pod of one app, called "app", that runs a shell script. */
export function podWords({ flavor, image }: Stage1, script: string, request: PodRequest = {}): string[] {
  return [
    ...["--insecure-options=image", ...(request.globals ?? []), "run", `--stage1-name=coreos.com/rkt/stage1-${flavor}`],
    ...[request.net ?? "--net=none", ...(request.pod ?? []), request.image ?? image, "--name=app", "--exec=/bin/sh"],
    ...[...(request.app ?? []), "--", "-c", script],
  ];
}

/** Runs such a pod to its end. A console has \r\n; the cases see \n. */
export function run(stage1: Stage1, script: string, request: PodRequest = {}): Result {
  const result = stage1.rkt.run(podWords(stage1, script, request));
  return { ...result, stdout: result.stdout.replaceAll("\r", "") };
}

export function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** The facts that the probe prints in such a pod. Throws with both outputs when it did not come to its end. */
export function probe(stage1: Stage1, request: PodRequest = {}): ReadonlyMap<string, string> {
  const result = run(stage1, "exec /bin/sh /probe", request);
  if (!/^end/m.test(result.stdout)) throw new Error(`status ${result.status}\n${result.stdout}\n${result.stderr}`);
  return new Map(
    lines(result.stdout).map((line) => {
      const space = line.indexOf(" ");
      return space < 0 ? [line, ""] : [line.slice(0, space), line.slice(space + 1)];
    }),
  );
}

/** Starts a pod whose script prints "up" and goes on; resolves when it did. */
export async function startPod(
  stage1: Stage1,
  script: string,
  request: PodRequest = {},
): Promise<{ running: RunningRkt; uuid: string }> {
  const file = join(stage1.rkt.dir, "uuid");
  const running = stage1.rkt.start(
    podWords(stage1, script, { ...request, pod: [`--uuid-file-save=${file}`, ...(request.pod ?? [])] }),
  );
  await until("the app's first line", () => running.stdout().includes("up"));
  return { running, uuid: readFileSync(file, "utf8") };
}
