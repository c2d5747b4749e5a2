/** The zsh completion script, made from the commands' own declarations. Works from a file in $fpath and by `source <(rkt completion zsh)`. */

import type { Completion } from "./words.ts";

export function zshCompletion(commands: readonly Completion[]): string {
  return `#compdef rkt
# zsh completion for rkt

_rkt() {
	local rkt_path=rkt word
	local -a words_of flags_of flags_with asked answers
	for word in \${words[2,CURRENT-1]}; do
		case "$rkt_path $word" in
		${commands.map(({ path }) => quote(path)).join(" | ")}) rkt_path="$rkt_path $word" ;;
		esac
	done
	case $rkt_path in
${commands.map(shellCase).join("")}	esac
	if [[ $PREFIX == -* ]]; then
		_describe -o option flags_of
		_describe -o option flags_with -S '' -q
		return
	fi
	local question line
	for question in $asked; do
		for line in \${(f)"$(rkt complete \${=question} 2>/dev/null)"}; do
			# A colon would end the word.
			answers+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
		done
	done
	_describe word words_of
	_describe word answers
	(( \${#words_of} )) || _files
}

if [[ $funcstack[1] == _rkt ]]; then
	_rkt "$@"
else
	compdef _rkt rkt
fi
`;
}

function shellCase({ path, words, asked, flags }: Completion): string {
  const described = (word: string, meaning: string) => quote(`${word}:${meaning}`);
  const options = (needsValue: boolean) =>
    flags
      .filter((flag) => flag.needsValue === needsValue)
      .map(({ name, meaning }) => described(`--${name}${needsValue ? "=" : ""}`, meaning))
      .join(" ");
  return `	(${quote(path)})
		words_of=(${words.map(({ word, meaning }) => described(word, meaning)).join(" ")})
		asked=(${asked.map(quote).join(" ")})
		flags_of=(${options(false)})
		flags_with=(${options(true)})
		;;
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
