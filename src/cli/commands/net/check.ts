/** rkt net check: are the networks of the pods as they were made? */

import { RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import { ordered } from "../../../spec/json-text.ts";
import type { NetworkLook } from "../../check-networks.ts";
import type { Command, CommandInput } from "../../command.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";

export const command: Command = {
  name: "check",
  summary: "Check the networks of running pods, and look for what dead ones left",
  usage: "[--format=json|json-pretty]",
  description: `Looks at each running pod: its network namespace, interfaces and addresses, and the rules of its forwarded ports; and asks the plugins of each of its networks (CNI's CHECK). Asks the plugins of every configured network whether they could add a pod (STATUS). And looks for namespaces, rules, opened interfaces and leased addresses of pods that are gone. Changes nothing.

The exit status is 0 when all is in order, 1 when damage was found, and 254 when the check could not be made. A pod that has ended and waits for gc is no damage.`,
  flags: [FORMAT_FLAG],
  requiresRoot: true,
  run: (input) => lookAndTell(input, false),
};

const DAMAGE_LEFT = 1;

/** `check` and `repair` differ in one word. */
export async function lookAndTell(input: CommandInput, repair: boolean): Promise<number> {
  const { args, flags, output } = input;
  const format = jsonFormat(flags);
  const [word] = args;
  if (word !== undefined) throw new RktError("USAGE", `Cannot check ${quoted(word)}: expected no arguments`);
  const { checkNetworks, findingText } = await import("../../check-networks.ts");
  const look = await checkNetworks(input, repair);
  const left = look.findings.filter(({ severity, mended }) => severity === "damage" && !mended).length;
  if (format === undefined) {
    for (const { uuid, network, ifName, check } of look.pods) {
      output.stdout(`${uuid.slice(0, 8)} ${network} ${ifName} ${check}\n`);
    }
    for (const finding of look.findings) output.stdout(findingText(finding));
    output.stdout(`${summary(look, repair)}\n`);
  } else output.stdout(formatted(asJson(look, left), format));
  return left > 0 ? DAMAGE_LEFT : 0;
}

function summary({ findings, collected }: NetworkLook, repair: boolean): string {
  const damage = findings.filter(({ severity }) => severity === "damage");
  const leftovers = findings.length - damage.length;
  const mended = findings.filter((finding) => finding.mended).length;
  const parts = [
    damage.length === 0 ? "the networks are in order" : `damage: ${damage.length} found`,
    ...(leftovers === 0 ? [] : [`ended pods with a network: ${leftovers}`]),
    ...(repair && findings.length > 0 ? [`mended: ${mended}`] : []),
    ...(collected.length === 0 ? [] : [`collected by plugins: ${collected.join(", ")}`]),
  ];
  const hint = !repair && findings.some(({ problem }) => problem.mend !== undefined);
  return `${parts.join("; ")}${hint ? "; rkt net repair mends what can be mended" : ""}`;
}

function asJson({ pods, findings, collected }: NetworkLook, left: number): ReturnType<typeof ordered> {
  return ordered(
    [
      "pods",
      pods.map(({ uuid, network, ifName, check }) =>
        ordered(["pod", uuid], ["network", network], ["interface", ifName], ["check", check]),
      ),
    ],
    [
      "problems",
      findings.map(({ problem, severity, mended, failure }) =>
        ordered(
          ["severity", severity],
          ["kind", problem.kind],
          ["pod", problem.pod],
          ["network", problem.network],
          ["message", problem.message],
          ["mended", mended],
          ["failure", failure],
        ),
      ),
    ],
    ["collected", [...collected]],
    ["damage_left", left],
  );
}
