/** Gathers what may be signatures of an OCI image, within {@link SIGNATURE_LIMITS}: anybody who may push can put any number of them beside an image. */

import { RktError } from "../core/errors.ts";
import type { SignatureDocument, SignatureSet } from "../core/spine.ts";
import { SIGNATURE_LIMITS, sizeOfDocument, sizeOfSet } from "../spec/oci/signature-set.ts";
import type { Job } from "./job.ts";

export interface SignatureCollector {
  /** Takes a document, or drops it when there is no room. */
  add(document: SignatureDocument): void;
  /** Notes that something was there that is no signature that could be used. */
  drop(why: string): void;
  /** Looks at one place. What goes wrong there counts only when no other place has a signature. */
  search(place: string, look: () => Promise<void>): Promise<void>;
  /** Throws the first problem when nothing was found at all: a server that does not answer is no server without signatures. */
  result(): SignatureSet;
}

/** `indexes`: what led to the manifest. */
export function signatureCollector(job: Job, indexes: readonly Uint8Array[]): SignatureCollector {
  const kept = indexes.slice(0, SIGNATURE_LIMITS.indexes).filter(({ length }) => length <= SIGNATURE_LIMITS.index);
  const documents: SignatureDocument[] = [];
  const searched: string[] = [];
  let size = sizeOfSet({ documents: [], indexes: kept });
  let problem: unknown;
  const drop = (why: string) => job.emit({ kind: "debug", source: "image", text: `ignoring a signature: ${why}` });
  return {
    add(document) {
      const added = sizeOfDocument(document);
      if (added > SIGNATURE_LIMITS.document) return drop(`it has ${added} bytes`);
      if (documents.length >= SIGNATURE_LIMITS.documents || size + added > SIGNATURE_LIMITS.all) {
        return drop(`there are more than ${documents.length} of this image`);
      }
      documents.push(document);
      size += added;
    },
    drop,
    async search(place, look) {
      searched.push(place);
      try {
        await look();
      } catch (error) {
        // An abort is not a problem of the place.
        if (!(error instanceof RktError)) throw error;
        job.emit({ kind: "debug", source: "image", text: `looking for signatures (${place}): ${error.message}` });
        problem ??= error;
      }
    },
    result() {
      if (documents.length === 0 && problem !== undefined) throw problem;
      return { documents, indexes: kept, searched };
    },
  };
}
