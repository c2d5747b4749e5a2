/**
 * The start timeout of a service manager while a download moves: a unit that fetches its image at its first start must not be ended for a slow line, and one whose
 * download stands still must (EXTEND_TIMEOUT_USEC, sd_notify(3)).
 */

import type { Emit } from "../core/events.ts";
import { notifyManager } from "../host/notify.ts";

/** How long a transfer may stand still before it counts as broken, and then some for what follows it. */
const EXTENSION_MICROSECONDS = 90_000_000;
const INTERVAL_MILLISECONDS = 1000;

/** `emit`, and with a NOTIFY_SOCKET each progress of a download asks for more time, once a second at most. */
export function extendingStartTimeout(
  emit: Emit,
  env: Readonly<Record<string, string | undefined>> = process.env,
  now: () => number = performance.now.bind(performance),
  send: (socket: string, text: string) => void = notifyManager,
): Emit {
  const socket = env.NOTIFY_SOCKET;
  if (socket === undefined || socket === "") return emit;
  let asked = Number.NEGATIVE_INFINITY;
  return (event) => {
    if (event.kind === "progress" && now() - asked >= INTERVAL_MILLISECONDS) {
      asked = now();
      send(socket, `EXTEND_TIMEOUT_USEC=${EXTENSION_MICROSECONDS}`);
    }
    emit(event);
  };
}
