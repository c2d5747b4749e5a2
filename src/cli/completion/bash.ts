/** The bash completion script, made from the commands' own declarations. */

import type { Completion } from "./words.ts";

export function bashCompletion(commands: readonly Completion[]): string {
  return `# bash completion for rkt

__rkt_complete() { rkt complete "$@" 2>/dev/null | cut -f 1; }

__rkt() {
	local cur=\${COMP_WORDS[COMP_CWORD]} path=rkt word i
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=\${COMP_WORDS[i]}
		case "$path $word" in
		${commands.map(({ path }) => `"${path}"`).join(" | ")}) path="$path $word" ;;
		esac
	done
	local words='' flags=''
	case $path in
${commands.map(shellCase).join("")}	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		[[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace
	else
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
		__ltrimcolon_completions "$cur" 2>/dev/null
	fi
}

complete -o bashdefault -o default -F __rkt rkt
`;
}

function shellCase({ path, words, asked, flags }: Completion): string {
  const all = [...words.map(({ word }) => word), ...asked.map((question) => `$(__rkt_complete ${question})`)];
  return `	"${path}")
		words="${all.join(" ")}"
		flags="${flags.map(({ name, needsValue }) => `--${name}${needsValue ? "=" : ""}`).join(" ")}"
		;;
`;
}
