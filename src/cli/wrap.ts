/** Lines of prose cut to a terminal's width. Pure. */

/** `text` in lines of at most `width` characters, cut at spaces; a word that is longer stands alone and stays whole. Never empty. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && [...line].length + 1 + [...word].length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
