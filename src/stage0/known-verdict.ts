/** A verdict that was reached before: an image that is fetched again and has not changed need not be hashed again for its signature. */

import { sameDigest } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import type { Download, VerifiedImage } from "../core/spine.ts";
import { findImageById, storedDownload } from "../store/mod.ts";
import { trustedKeysFor } from "../trust/mod.ts";

/**
 * The verdict of the caller's own record (root's, which nobody else writes), when the archive and the signature are the ones it was reached over and the signer is
 * still trusted for the name; undefined otherwise, and the image is verified. What is unpacked from the archive is hashed again in any case.
 */
export function knownVerdict(engine: Engine, download: Download): VerifiedImage | undefined {
  if (download.format !== "aci" || download.signature === undefined || engine.insecure.image) return undefined;
  const stored = findImageById(engine.dataDir, download.id);
  const [archive] = stored?.layers ?? [];
  const verification = stored?.verification;
  if (stored === undefined || archive === undefined || verification?.kind !== "openpgp") return undefined;
  if (stored.name !== download.name || JSON.stringify(stored.labels) !== JSON.stringify(download.labels))
    return undefined;
  if (!sameDigest(archive.digest, download.archive.digest)) return undefined;
  const known = storedDownload(engine.dataDir, stored);
  if (known.format !== "aci" || known.signature === undefined) return undefined;
  if (!Buffer.from(known.signature).equals(download.signature)) return undefined;
  const trusted = trustedKeysFor(download.name, engine, engine.emit);
  if (!trusted.some(({ fingerprint }) => fingerprint === verification.fingerprint)) return undefined;
  engine.emit({
    kind: "debug",
    source: "image",
    text: `image ${stored.id} was verified before, by the same signature`,
  });
  return { download, verification };
}
