/** What `image rm` and `image gc` tell of removed images, in rkt's words. */

import { errorChain, FAILURE_STATUS } from "../core/errors.ts";
import type { StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import type { Removal } from "../store/remove-image.ts";
import type { Output } from "./command.ts";

export interface Removals {
  removed(image: StoredImage, removal: Removal): void;
  failed(image: StoredImage, error: unknown): void;
  /** Prints the sums; the exit status. */
  end(): number;
}

export function imageRemovals(output: Output): Removals {
  let [done, stale, failures] = [0, 0, 0];
  return {
    removed(image, removal) {
      done += 1;
      if (removal.stale.length > 0) {
        stale += 1;
        output.error(`some files cannot be removed for image ${named(image)}: ${removal.stale.join("; ")}`);
      }
      output.stdout(`successfully removed aci for image: ${quoted(image.id)}\n`);
    },
    failed(image, error) {
      failures += 1;
      output.error(`error removing aci for image ${named(image)}: ${failureText(error)}`);
    },
    end() {
      if (done > 0) output.error(`${done} image(s) successfully removed`);
      if (stale > 0) output.error(`${stale} image(s) removed but left some stale files`);
      if (failures > 0) output.error(`${failures} image(s) cannot be removed`);
      if (stale + failures === 0) return 0;
      output.error("error(s) found while removing images");
      return FAILURE_STATUS;
    },
  };
}

/** The outermost message and the innermost, as the report prints an error. */
export function failureText(error: unknown): string {
  const [first = "", ...causes] = errorChain(error);
  return [first, ...causes.slice(-1)].join(": ");
}

function named(image: StoredImage): string {
  return `${quoted(image.id)} (${quoted(image.name)})`;
}
