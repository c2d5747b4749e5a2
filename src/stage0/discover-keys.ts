/** Keys for a name that is about to be fetched by discovery: whoever publishes the image may publish whom to trust for it (rkt 1.x, "maybeFetchPubKeys"). */

import { loadConfig } from "../config/mod.ts";
import type { Engine } from "../core/engine.ts";
import { errorLine } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

/**
 * When no key is trusted for a prefix of `name`, offers the ones that its host publishes: asks the operator, or, with `--trust-keys-from-https`, takes what came over
 * https. Never fails: without a key the image's signature is refused later, and says so.
 */
export async function offerDiscoveredKeys(engine: Engine, name: string): Promise<void> {
  const { addKeys, findKeyLocations, isPrefixTrusted } = await import("../trust/mod.ts");
  const note = (text: string) => engine.emit({ kind: "notice", source: "image", text });
  if (isPrefixTrusted(name, engine, engine.emit)) {
    const text = `keys already exist for prefix ${quoted(name)}, not fetching again`;
    engine.emit({ kind: "debug", source: "image", text });
    return;
  }
  const { insecure } = engine;
  // Over a connection that nobody vouches for only where the operator means keys, too (rkt 1.x).
  if (insecure.tls && !insecure.pubkey) return;
  const options = {
    prefix: name,
    systemConfigDir: engine.systemConfigDir,
    localConfigDir: engine.localConfigDir,
    acceptAll: false,
    // A key over a connection that nobody vouches for is anybody's key.
    acceptHttps: engine.trustKeysFromHttps && !insecure.tls,
    allowHttp: insecure.pubkey && insecure.http,
    skipTlsCheck: insecure.tls,
    dialog: engine.dialog,
    config: loadConfig(engine),
    emit: engine.emit,
  };
  let locations: string[];
  try {
    locations = await findKeyLocations(options);
  } catch (error) {
    note(`error determining key location: ${errorLine(error)}`);
    return;
  }
  try {
    await addKeys(locations, options);
  } catch (error) {
    note(`error adding keys: ${errorLine(error)}`);
  }
}
