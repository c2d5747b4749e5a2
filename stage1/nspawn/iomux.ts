/** Which apps have their input and output carried by iomux (iomux.c), and what it is told. Pure. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { NameValue, PodManifest, RuntimeApp } from "../../src/spec/appc/mod.ts";
import { STREAMS, type Stream, streamMode } from "../common/stdio.ts";

export interface IoMux {
  /** Carried through a FIFO. */
  readonly streams: readonly Stream[];
  /** On the app's terminal. */
  readonly tty: readonly Stream[];
  /** The app's log, relative to the pod's directory of logs; undefined: none. */
  readonly log: string | undefined;
}

/** Where a pod's directory of logs is mounted in its own root. */
export const LOG_DIRECTORY = "rkt/kubernetes/log";

/** The pod's directory of logs on the host, where the caller asked for logs in the kubelet's form (rkt 1.x's annotations). Throws INVALID_INPUT. */
export function logDirectory({ annotations }: PodManifest): string | undefined {
  const mode = annotationValue(annotations, "coreos.com/rkt/experiment/logmode");
  if (mode === undefined) return undefined;
  if (mode !== "k8s-plain")
    throw new RktError("INVALID_INPUT", `Cannot log in mode ${quoted(mode)}: expected "k8s-plain"`);
  const directory = annotationValue(annotations, "coreos.com/rkt/experiment/kubernetes-log-dir");
  if (directory?.startsWith("/")) return directory;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot log in mode "k8s-plain": the annotation "coreos.com/rkt/experiment/kubernetes-log-dir" is ${quoted(directory ?? "")}, expected an absolute path`,
  );
}

/** Undefined for an app that needs none. Throws INVALID_INPUT for a log outside the pod's directory of logs. */
export function ioMux(manifest: PodManifest, app: RuntimeApp): IoMux | undefined {
  const log = logDirectory(manifest) === undefined ? undefined : logPath(app);
  const streams = STREAMS.filter((stream) => {
    const mode = streamMode(app, stream) ?? (stream === "stdin" ? "null" : "log");
    return mode === "stream" || (mode === "log" && log !== undefined);
  });
  const tty = STREAMS.filter((stream) => streamMode(app, stream) === "tty");
  return streams.length + tty.length === 0 ? undefined : { streams, tty, log };
}

function logPath(app: RuntimeApp): string | undefined {
  const path = annotationValue(app.annotations, "coreos.com/rkt/experiment/kubernetes-log-path");
  if (path === undefined || path === "") return undefined;
  // iomux runs with the pod's rights, but the directory is the host's: nothing beside it may be written to.
  const parts = path.split("/");
  if (!path.startsWith("/") && !parts.includes("..") && !/[\x00-\x1f\x7f]/.test(path) && parts.at(-1) !== "")
    return path;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot log to ${quoted(path)}: expected a relative path of a file in the pod's directory of logs`,
  );
}

/** The environment of iomux. */
export function ioMuxEnvironment({ streams, tty, log }: IoMux): Map<string, string> {
  const variables = streams.map((stream): [string, string] => [`STAGE2_${stream.toUpperCase()}`, "true"]);
  if (tty.length > 0) variables.push(["STAGE2_TTY", "true"]);
  if (log !== undefined) variables.push(["STAGE1_LOGMODE", "k8s-plain"], ["KUBERNETES_LOG_PATH", log]);
  return new Map(variables);
}

/** What can be attached to, as rkt 1.x lists it: `endpoints` in the app's directory. */
export function endpoints(app: string, { streams, tty }: IoMux): string {
  const names = [...streams, ...(tty.length > 0 ? ["tty"] : [])];
  const targets = names.map((name) => ({ name, domain: "unix", address: `/rkt/iottymux/${app}/sock-${name}` }));
  return `${JSON.stringify({ version: 1, targets }, undefined, "\t")}\n`;
}

function annotationValue(annotations: readonly NameValue[], name: string): string | undefined {
  return annotations.find((annotation) => annotation.name === name)?.value;
}
