/** Waiting for what another process does to a pod: nobody tells, so it is looked at again and again. */

import { lookAgain, type Pod, type PodReader } from "./find.ts";

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 100;

/**
 * Waits until `reached`, for at most `timeout` milliseconds (negative: for ever). The last look, which the caller closes; `first` is closed when there was a later one. Undefined when the
 * pod is gone. Throws what `reached` throws.
 */
export async function waitForPod(
  reader: PodReader,
  first: Pod,
  timeout: number,
  reached: (pod: Pod) => boolean,
): Promise<{ readonly pod: Pod; readonly reached: boolean } | undefined> {
  const deadline = timeout < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout;
  let pod = first;
  for (let pause = FIRST_PAUSE; !reached(pod); pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const left = deadline - performance.now();
    if (left <= 0) return { pod, reached: false };
    await Bun.sleep(Math.min(pause, left));
    const again = lookAgain(reader, pod);
    if (again === undefined) return undefined;
    pod = again;
  }
  return { pod, reached: true };
}
