import { describe, expect, test } from "bun:test";
import { startWorker } from "./worker.ts";

/** Stands in for the executable: a shell that says `script`. Its words end in the descriptor of the real one, "worker" and the name. */
function fake(script: string, silence?: number) {
  return startWorker({
    worker: "fetch",
    account: undefined,
    launcher: ["/bin/sh", "-c", script],
    descriptors: [],
    request: { task: "x" },
    ...(silence === undefined ? {} : { silence }),
  });
}

async function all(messages: AsyncGenerator<unknown>): Promise<unknown[]> {
  const list: unknown[] = [];
  for await (const message of messages) list.push(message);
  return list;
}

describe("a worker", () => {
  test("gives its messages, without its signs of life", async () => {
    const worker = fake(`read request; echo '{"kind":"alive"}'; echo "$request"; echo '{"kind":"alive"}'`);
    expect(await all(worker.messages())).toEqual([{ task: "x" }]);
  });

  test("that says nothing any more is ended, and called silent", async () => {
    const worker = fake(`echo '{"kind":"alive"}'; exec sleep 1000`, 300);
    await expect(all(worker.messages())).rejects.toThrow("the fetch worker ended early (it was silent for 0.3 s)");
    await worker.ended();
  });

  test("that takes long but says so is waited for, and so is one that is not asked meanwhile", async () => {
    const worker = fake(
      `echo 1; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; echo '{"kind":"alive"}'; done; sleep 0.2; echo 2`,
      600,
    );
    const messages = worker.messages();
    expect((await messages.next()).value).toBe(1);
    // Between two messages the caller may ask a person something.
    await Bun.sleep(700);
    expect(await all(messages)).toEqual([2]);
  });

  test("that dies or writes nonsense is an error that says so", async () => {
    await expect(all(fake("echo why >&2; exit 3").messages())).rejects.toThrow("ended early (exit status 3): why");
    await expect(all(fake("echo nonsense").messages())).rejects.toThrow("Cannot read the answer of the fetch worker");
  });
});
