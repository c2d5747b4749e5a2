import { expect, test } from "bun:test";
import type { RktEvent } from "../core/events.ts";
import { extendingStartTimeout } from "./start-timeout.ts";

const progress = (done: number): RktEvent => ({ kind: "progress", label: "ACI", done, total: 10 });

test("each second in which a download moves asks for more time", () => {
  const [sent, seen]: [string[], RktEvent[]] = [[], []];
  let time = 0;
  const emit = extendingStartTimeout(
    (event) => void seen.push(event),
    { NOTIFY_SOCKET: "/run/notify" },
    () => time,
    (socket, text) => void sent.push(`${socket} ${text}`),
  );
  emit({ kind: "notice", source: "image", text: "x" });
  expect(sent).toEqual([]);
  for (const at of [0, 500, 999, 1000, 5000]) {
    time = at;
    emit(progress(at));
  }
  expect(sent).toEqual(Array.from({ length: 3 }, () => "/run/notify EXTEND_TIMEOUT_USEC=90000000"));
  expect(seen.length).toBe(6);
});

test("without a service manager nothing is sent", () => {
  const emit = () => {};
  expect(extendingStartTimeout(emit, {})).toBe(emit);
  expect(extendingStartTimeout(emit, { NOTIFY_SOCKET: "" })).toBe(emit);
});
