/** `rkt complete images | pods [STATE…]`: the names that completion scripts offer, a line each: WORD, tab, what it is. Hidden. */

import type { DataDir } from "../../core/data-dir.ts";
import { RktError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { linux } from "../../host/linux.ts";
import { eachPod, LISTED_PLACES, podReader } from "../../pod/find.ts";
import { appNames } from "../../pod/names.ts";
import { podNamesByUuid } from "../../pod/pod-name.ts";
import { manifestExpected } from "../../pod/view.ts";
import type { Command, Engine } from "../command.ts";

export const command: Command = {
  name: "complete",
  summary: "List names for completion scripts",
  usage: "images | pods [STATE ...]",
  hidden: true,
  flags: [],
  async run({ engine, args, output }) {
    const [kind, ...states] = args;
    if (kind !== "images" && kind !== "pods") throw new RktError("USAGE", "expected images or pods");
    const words = kind === "images" ? await imageWords(engine) : podWords(engine.dataDir, states);
    output.stdout(words.map(([word, meaning]) => `${word}\t${printable(meaning)}\n`).join(""));
  },
};

type Word = readonly [word: string, meaning: string];

async function imageWords(engine: Engine): Promise<Word[]> {
  const { listImages } = await import("../../store/mod.ts");
  return listImages(engine.dataDir, { emit: engine.emit }).flatMap(({ id, name }): Word[] => [
    ...(isWord(name) ? [[name, id.slice(0, 19)] as const] : []),
    [id, name],
  ]);
}

/** UUIDs and names. */
function podWords(dataDir: DataDir, states: readonly string[]): Word[] {
  const names = podNamesByUuid(dataDir);
  const words: Word[] = [];
  for (const pod of eachPod(podReader(dataDir, linux), LISTED_PLACES, () => {})) {
    if (states.length > 0 && !states.includes(pod.state)) continue;
    const apps = manifestExpected(pod) ? appNames(linux, pod).map(({ name }) => name) : [];
    const meaning = [pod.state, ...apps].join(" ");
    const name = names.get(pod.uuid);
    if (name !== undefined) words.push([name, meaning]);
    words.push([pod.uuid, meaning]);
  }
  return words;
}

/** A name comes from an image: only what no shell takes for anything else is offered. */
function isWord(name: string): boolean {
  return /^[\w./:@-]+$/.test(name);
}
