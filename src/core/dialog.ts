/** How the operator is asked something. Made by the command-line frame; a library step that may have to ask takes it from the Engine. */
export interface Dialog {
  /** A line on stdout. */
  print(line: string): void;
  /** The next line of stdin; undefined at its end. */
  readLine(): string | undefined;
  /** Whether both stdin and stderr are terminals. */
  isInteractive(): boolean;
}
