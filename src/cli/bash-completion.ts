/** The bash completion script, made from the commands' own declarations. */

import type { Command, FlagSpec } from "./command.ts";

/** What stands where a command's words stand; everything else completes to file names. */
const WORDS: Readonly<Record<string, string>> = {
  "rkt image cat-manifest": "__rkt_images",
  "rkt image export": "__rkt_images",
  "rkt image extract": "__rkt_images",
  "rkt image render": "__rkt_images",
  "rkt image rm": "__rkt_images",
  "rkt image verify": "__rkt_images",
  "rkt run": "__rkt_images",
  "rkt prepare": "__rkt_images",
  "rkt run-prepared": "__rkt_pods prepared",
  "rkt enter": "__rkt_pods running",
  "rkt stop": "__rkt_pods running",
  "rkt rm": "__rkt_pods 'prepared|exited'",
  "rkt status": "__rkt_pods .",
  "rkt cat-manifest": "__rkt_pods .",
};

/** Loads every command to know its flags. */
export async function bashCompletion(root: Command, globals: readonly FlagSpec[]): Promise<string> {
  const cases = await casesOf(root, "rkt", globals);
  return `# bash completion for rkt

__rkt_images() { rkt image list --no-legend --fields=id,name 2>/dev/null | tr '\\t' '\\n' | grep . ; }
__rkt_pods() { rkt list --no-legend --full 2>/dev/null | grep -E "$1" | grep -oE '^[0-9a-f-]{36}' ; }

__rkt() {
	local cur=\${COMP_WORDS[COMP_CWORD]} path=rkt word i
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=\${COMP_WORDS[i]}
		case "$path $word" in
		${cases.map(({ path }) => `"${path}"`).join(" | ")}) path="$path $word" ;;
		esac
	done
	local words='' flags=''
	case $path in
${cases.map(shellCase).join("")}	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		[[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace
	else
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
	fi
}

complete -o bashdefault -o default -F __rkt rkt
`;
}

interface Case {
  readonly path: string;
  readonly words: string;
  readonly flags: readonly string[];
}

async function casesOf(command: Command, path: string, globals: readonly FlagSpec[]): Promise<Case[]> {
  const visible = (command.subcommands ?? []).filter(({ hidden }) => hidden !== true);
  const dynamic = WORDS[path];
  const own: Case = {
    path,
    words: dynamic === undefined ? visible.map(({ name }) => name).join(" ") : `$(${dynamic})`,
    flags: [...command.flags, ...(command.imageFlags ?? []), ...globals].filter(isShown).map(flagWord),
  };
  const below = await Promise.all(
    visible.map(async (entry) => casesOf(await entry.load(), `${path} ${entry.name}`, globals)),
  );
  return [own, ...below.flat()];
}

function shellCase({ path, words, flags }: Case): string {
  return `	"${path}")
		words="${words}"
		flags="${[...new Set(flags)].sort().join(" ")}"
		;;
`;
}

function isShown(flag: FlagSpec): boolean {
  return flag.hidden !== true && flag.deprecated === undefined;
}

function flagWord(flag: FlagSpec): string {
  return flag.kind === "bool" || flag.bare !== undefined ? `--${flag.name}` : `--${flag.name}=`;
}
