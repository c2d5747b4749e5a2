/** A look at a key or trusted root before it is trusted. Runs in the verify worker: the file may come from anywhere. */

import { RktError } from "../../core/errors.ts";
import { pemContent } from "./pem.ts";
import { publicKey } from "./public-key.ts";
import type { InspectAnswer, InspectRequest } from "./verify-messages.ts";

/** Throws INVALID_INPUT, UNSUPPORTED. */
export async function inspect({ what, content }: InspectRequest): Promise<InspectAnswer> {
  if (what === "trusted-root") {
    const { trustedRoots } = await import("./check-bundle.ts");
    const roots = trustedRoots(content);
    const sum = (kind: "certificateAuthorities" | "tlogs" | "ctlogs" | "timestampAuthorities") =>
      roots.reduce((count, root) => count + root[kind].length, 0);
    const counts = [
      ...(roots.length > 1 ? [`${roots.length} roots`] : []),
      `${sum("certificateAuthorities")} certificate authorities`,
      `${sum("tlogs")} transparency logs`,
      `${sum("ctlogs")} certificate logs`,
      `${sum("timestampAuthorities")} timestamp authorities`,
    ];
    return { kind: "inspected", description: counts.join(", "), der: "" };
  }
  const der = pemContent(content, "PUBLIC KEY");
  if (der === undefined) throw new RktError("INVALID_INPUT", "Cannot read the key: expected a public key in PEM form");
  return { kind: "inspected", description: publicKey(der).description, der: der.toString("base64") };
}
