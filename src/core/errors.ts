/**
 * The one error class of rkt, its public codes, and the table that turns a code into an exit status.
 *
 * Four kinds of failure are kept apart, because an operator reacts differently to each: the input is *invalid* (mend it), the content is *not trusted*
 * (decide whom to trust), the content is *malicious* (find out who made it), and *internal error* (report a bug).
 */

/** Every code that rkt can end with. Codes are public and stable: scripts may match them in `--debug` output and in docs/errors.md. */
export const ERROR_CODES = [
  "USAGE", // the command line is wrong
  "MISSING_COMMAND", // `rkt` without a command
  "INVALID_INPUT", // a file, manifest, reference or value from outside does not have the form it must have
  "INVALID_CONFIG", // a configuration file is wrong
  "NOT_FOUND", // a named image, pod, app, file or network does not exist
  "AMBIGUOUS", // a prefix names more than one thing
  "WRONG_STATE", // the thing exists, but is not in a state that allows the request
  "CONFLICT", // the thing exists already, or two requests exclude each other
  "NOT_TRUSTED", // a signature is missing, or is not by a key trusted for this name
  "DIGEST_MISMATCH", // content is not what its digest or size says
  "MALICIOUS", // content tries to do what no honest content does (escape its root, …)
  "NETWORK", // a server could not be reached, or broke off
  "HTTP_STATUS", // a server answered, with a status that ends the request
  "AUTHENTICATION", // a server wants other credentials
  "UNSUPPORTED", // correct, but this build, host or flavor cannot do it
  "PERMISSION", // the caller may not do it
  "SYSTEM_CALL", // the kernel refused
  "HOST_PROGRAM", // a program of the host is missing or failed
  "STAGE1", // a stage1 entrypoint failed
  "OUTPUT", // the output could not be written (full disk)
  "INTERNAL", // a bug in rkt
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export interface ErrorDetails {
  /** One sentence on what the user can do about it. */
  hint?: string;
  /** The error underneath; printed as a chain by `--debug`. */
  cause?: unknown;
}

/** The error that a user sees. `message` reads "Cannot <do> <what>: <state>, expected <state>", without a final period. */
export class RktError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "RktError";
    this.code = code;
    this.hint = details.hint;
  }
}

/** The status of every failure of rkt's own, so that it cannot be taken for an app's (rkt 1.x: 254). */
export const FAILURE_STATUS = 254;

/** `rkt` without arguments prints its usage and ends with 2, as rkt 1.x did. */
export const MISSING_COMMAND_STATUS = 2;

/** The table code → exit status. A command whose own page says otherwise (`status --uuid-file`: 1) throws {@link ExitStatus}. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof ExitStatus) return error.status;
  if (error instanceof RktError && error.code === "MISSING_COMMAND") return MISSING_COMMAND_STATUS;
  return FAILURE_STATUS;
}

/** Ends the command with a status of its own; `reason` (if any) is printed like any other error. */
export class ExitStatus extends Error {
  readonly status: number;

  constructor(status: number, reason?: RktError) {
    super(reason?.message ?? `exit status ${status}`, { cause: reason });
    this.name = "ExitStatus";
    this.status = status;
  }
}

/** The messages of an error and its causes, outermost first. */
export function errorChain(error: unknown): string[] {
  const chain: string[] = [];
  let current: unknown = error;
  while (current !== undefined && current !== null && chain.length < 32) {
    chain.push(current instanceof Error ? current.message : String(current));
    current = current instanceof Error ? current.cause : undefined;
  }
  return chain;
}

/** For a state that only a bug in rkt can bring about. User input never ends here. */
export function internalError(what: string, cause?: unknown): RktError {
  return new RktError("INTERNAL", `internal error: ${what}`, cause === undefined ? {} : { cause });
}

/** An error as one line, as rkt prints it: the outermost message and the innermost. */
export function errorLine(error: unknown): string {
  const [first = "", ...causes] = errorChain(error);
  const innermost = causes.at(-1);
  return innermost === undefined ? first : `${first}: ${reasonOf(innermost)}`;
}

/** Of "ENOENT: no such file or directory, open '/x'" the reason: what was to be opened is said before. So of a write to a descriptor. */
function reasonOf(message: string): string {
  const reason = /^E[A-Z0-9]+: ([^,]+), [a-z0-9_]+( '.*')?$|^Cannot write to descriptor \d+: E[A-Z0-9]+ \((.+)\)$/.exec(
    message,
  );
  return reason?.[1] ?? reason?.[3] ?? message;
}

/** An error that does not say what it is about, `subject`, is given a sentence that does; any other comes back as it is. */
export function aboutSubject(error: unknown, subject: string, sentence: string): unknown {
  if (!(error instanceof RktError) || errorChain(error).some((message) => message.includes(subject))) return error;
  const { code, message, hint, cause } = error;
  return new RktError(code, `${sentence}: ${message}`, { ...(hint === undefined ? {} : { hint }), cause });
}
