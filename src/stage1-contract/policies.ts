/** What a pod's annotations say about its supervision: written by stage0 from flags (or by whoever wrote the pod manifest), read by the stage1s. Additions to rkt 1.x. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

export const SUPERVISION_ANNOTATION = {
  /** "true": apps write to the pod's journal, which copies to the console; "only": to the journal alone. */
  journal: "coreos.com/rkt/stage1/journal",
  /** {@link parseRestart} */
  restart: "coreos.com/rkt/stage1/restart",
  /** {@link parseExitPolicy} */
  exitPolicy: "coreos.com/rkt/stage1/exit-policy",
  /** "true": fly puts a shell between rkt's caller and the app, which records how the app ends. */
  recordExit: "coreos.com/rkt/stage1/record-exit",
} as const;

/** Of an app in a pod: "true" lets it make every system call, and writes down those that its filter would deny (`--seccomp=mode=log`). An image cannot ask for it. */
export const SECCOMP_LOG_ANNOTATION = "coreos.com/rkt/stage2/seccomp-log";

export function logsDeniedCalls(app: Annotated): boolean {
  return annotation(app, SECCOMP_LOG_ANNOTATION) === "true";
}

/** Of an image, or of an app in a pod (rkt 1.x: of an image): "true" says that the app tells when it is ready (sd_notify(3)). */
export const NOTIFY_ANNOTATION = "appc.io/executor/supports-systemd-notify";

export type Restart =
  | { readonly when: "no" | "always" }
  /** `times`: how often at most; undefined: without limit. */
  | { readonly when: "on-failure"; readonly times: number | undefined };

/** When a pod of several apps ends: after the first that failed (or the last), after the last, or after any. */
export type ExitPolicy = "any-failure" | "all" | "any";

interface Annotated {
  readonly annotations: readonly { readonly name: string; readonly value: string }[];
}

/** "no", "always", "on-failure", "on-failure:N". Undefined for anything else. */
export function parseRestart(text: string): Restart | undefined {
  if (text === "no" || text === "always") return { when: text };
  const match = /^on-failure(?::([1-9][0-9]{0,5}))?$/.exec(text);
  if (match === null) return undefined;
  return { when: "on-failure", times: match[1] === undefined ? undefined : Number(match[1]) };
}

export function formatRestart(restart: Restart): string {
  return restart.when === "on-failure" && restart.times !== undefined ? `on-failure:${restart.times}` : restart.when;
}

export function parseExitPolicy(text: string): ExitPolicy | undefined {
  return text === "any-failure" || text === "all" || text === "any" ? text : undefined;
}

/** Throws INVALID_INPUT for an annotation that is no policy. */
export function restartOf(manifest: Annotated): Restart {
  const text = annotation(manifest, SUPERVISION_ANNOTATION.restart) ?? "no";
  return parseRestart(text) ?? invalid(SUPERVISION_ANNOTATION.restart, text, "no, always, on-failure or on-failure:N");
}

/** Throws INVALID_INPUT for an annotation that is no policy. */
export function exitPolicyOf(manifest: Annotated): ExitPolicy {
  const text = annotation(manifest, SUPERVISION_ANNOTATION.exitPolicy) ?? "any-failure";
  return parseExitPolicy(text) ?? invalid(SUPERVISION_ANNOTATION.exitPolicy, text, "any-failure, all or any");
}

/** "no": apps write to the console. */
export function journalOf(manifest: Annotated): "no" | "too" | "only" {
  const text = annotation(manifest, SUPERVISION_ANNOTATION.journal);
  return text === "only" ? "only" : text === "true" ? "too" : "no";
}

/** A record of the exit is kept: it was asked for, or the app is to be started again, which takes the same shell. */
export function recordsExit(manifest: Annotated): boolean {
  return annotation(manifest, SUPERVISION_ANNOTATION.recordExit) === "true" || restartOf(manifest).when !== "no";
}

export function annotation({ annotations }: Annotated, name: string): string | undefined {
  return annotations.find((one) => one.name === name)?.value;
}

function invalid(name: string, value: string, expected: string): never {
  throw new RktError(
    "INVALID_INPUT",
    `Cannot use annotation ${quoted(name)} of the pod: it is ${quoted(value)}, expected ${expected}`,
  );
}
