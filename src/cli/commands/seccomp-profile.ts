/** rkt seccomp-profile: what an app was found to need (`--seccomp=mode=log`), as a profile for `--seccomp=profile=FILE`. */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import { closePod, deniedCalls, podManifest, podReader, retrievePod } from "../../pod/mod.ts";
import { chosenApp } from "../chosen-app.ts";
import type { Command, CommandInput } from "../command.ts";
import { podWord, UUID_FILE_FLAG } from "../pod-words.ts";

export const command: Command = {
  name: "seccomp-profile",
  summary: "Write a seccomp profile of what an app needs",
  usage: "[--app=APPNAME] --uuid-file=FILE | UUID",
  description: `Prints a seccomp profile (Docker's JSON form) that allows what the app's filter allows and the calls that it would have denied, which a pod started with --seccomp=mode=log has written down. The profile is for --seccomp=profile=FILE.

The pod may still run; what the app does later is then not in the profile.`,
  flags: [{ name: "app", kind: "string", usage: "name of the app, in a pod of several" }, UUID_FILE_FLAG],
  run: seccompProfileCommand,
};

async function seccompProfileCommand(input: CommandInput): Promise<void> {
  const { engine, flags, output } = input;
  const pod = retrievePod(podReader(engine.dataDir, linux), podWord(input));
  try {
    const { apps } = podManifest(linux, pod);
    const names = apps.map(({ name }) => name);
    const name = chosenApp(names, flags.string("app"), "seccomp-profile", output);
    const app = apps.find((one) => one.name === name);
    const denied = deniedCalls(linux, pod, name);
    if (app?.app === undefined || denied === undefined) throw notLogged(name);
    const { profileOfCalls } = await import("../../../stage1/nspawn/profile-of-calls.ts");
    output.stdout(profileOfCalls(name, app.app, denied.keys()));
  } finally {
    closePod(linux, pod);
  }
}

function notLogged(name: string): RktError {
  return new RktError(
    "NOT_FOUND",
    `Cannot write a seccomp profile of app ${quoted(name)}: nobody wrote down its system calls`,
    { hint: "run it with --seccomp=mode=log first" },
  );
}
