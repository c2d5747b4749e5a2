/** The fish completion script, made from the commands' own declarations. */

import type { Completion } from "./words.ts";

export function fishCompletion(commands: readonly Completion[]): string {
  return `# fish completion for rkt

function __rkt_path
	set -l path rkt
	for word in (commandline -opc)[2..]
		switch "$path $word"
			case ${commands.map(({ path }) => quote(path)).join(" ")}
				set path "$path $word"
		end
	end
	echo $path
end

function __rkt_at
	test (__rkt_path) = "$argv"
end

function __rkt_complete
	rkt complete $argv 2>/dev/null
end

${commands.map(linesOf).join("")}`;
}

function linesOf({ path, words, asked, flags }: Completion): string {
  const at = `complete -c rkt -n ${quote(`__rkt_at ${path}`)}`;
  const lines = [
    ...words.map(({ word, meaning }) => `${at} -f -a ${quote(word)} -d ${quote(meaning)}`),
    ...asked.map((question) => `${at} -a ${quote(`(__rkt_complete ${question})`)}`),
    ...flags.map(({ name, meaning, needsValue }) => `${at} -l ${name}${needsValue ? " -r" : ""} -d ${quote(meaning)}`),
  ];
  return `${lines.join("\n")}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
