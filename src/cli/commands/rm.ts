/** rkt rm: removes pods that are over, without the grace of gc. */

import { errorLine, RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import { closePod, findPod, moveToGarbage, type Pod, type Remover, removeGarbage } from "../../pod/mod.ts";
import type { Command, CommandInput } from "../command.ts";
import { podWords, UUID_FILE_FLAG } from "../pod-words.ts";
import { removerOf } from "../remover.ts";

export const command: Command = {
  name: "rm",
  summary: "Remove all files and resources associated with an exited pod",
  usage: "--uuid-file=FILE | UUID ...",
  description: "Unlike gc, rm allows users to remove specific pods.",
  flags: [UUID_FILE_FLAG],
  requiresRoot: true,
  run: rmCommand,
};

async function rmCommand(input: CommandInput): Promise<number> {
  const { output } = input;
  const remover = removerOf(input);
  let failed = false;
  for (const word of uuidWords(input)) {
    try {
      const uuid = await removeOne(remover, word);
      if (uuid === undefined) failed = true;
      else output.stdout(`${quoted(uuid)}\n`);
    } catch (error) {
      output.error(errorLine(error));
      failed = true;
    }
  }
  if (!failed) return 0;
  output.error("failed to remove one or more pods");
  return 254;
}

function uuidWords(input: CommandInput): readonly string[] {
  try {
    return podWords(input);
  } catch (error) {
    if (error instanceof RktError && error.code === "NOT_FOUND") {
      input.output.error(errorLine(error));
      throw new RktError("NOT_FOUND", "failed to remove one or more pods");
    }
    throw error;
  }
}

/** The removed pod's UUID; undefined when something is left, which was told. */
async function removeOne(remover: Remover, word: string): Promise<string | undefined> {
  let pod: Pod;
  try {
    pod = findPod(remover, word);
  } catch (cause) {
    throw new RktError("NOT_FOUND", "cannot get pod", { cause });
  }
  try {
    const garbage = await asGarbage(remover, pod);
    return garbage !== undefined && (await removeGarbage(remover, garbage)) ? pod.uuid : undefined;
  } finally {
    closePod(linux, pod);
  }
}

/** Brings the pod among the garbage. Throws WRONG_STATE with rkt's words when it is not over. */
async function asGarbage(remover: Remover, pod: Pod): Promise<Pod | undefined> {
  const refused = (text: string) => new RktError("WRONG_STATE", `pod ${quoted(pod.uuid)} is currently ${text}`);
  switch (pod.state) {
    case "running":
      if (!pod.supervisorLost) throw refused("running");
      return moved(remover, pod, "exited-garbage");
    case "exited":
      return moved(remover, pod, "exited-garbage");
    case "embryo":
    case "preparing":
      throw refused("being prepared");
    case "deleting":
    case "exited deleting":
      throw refused("being deleted");
    case "aborted prepare":
      remover.tell(`moving failed prepare ${quoted(pod.uuid)} to garbage`);
      return moved(remover, pod, "garbage");
    case "prepared":
      remover.tell(`moving expired prepared pod ${quoted(pod.uuid)} to garbage`);
      return moved(remover, pod, "garbage");
    case "garbage":
    case "exited garbage":
      return pod;
  }
}

async function moved(remover: Remover, pod: Pod, to: "exited-garbage" | "garbage"): Promise<Pod | undefined> {
  const garbage = await moveToGarbage(remover, pod, to);
  if (garbage === undefined) remover.tell(`pod ${quoted(pod.uuid)} not removed: another process runs or removes it`);
  return garbage;
}
