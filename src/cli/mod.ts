/**
 * cli: the command line.
 * Takes words, gives an exit status. Commands (commands/, listed in cli.ts, loaded one at a time) chain the library's steps; report.ts alone writes to the terminal.
 */

export { runCommandLine } from "./run-command-line.ts";
