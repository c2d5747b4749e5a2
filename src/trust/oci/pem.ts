/** The DER content of a PEM block of `type` (RFC 7468); undefined when there is none. */
export function pemContent(text: string, type: "PUBLIC KEY" | "CERTIFICATE"): Buffer | undefined {
  const match = new RegExp(`-----BEGIN ${type}-----([A-Za-z0-9+/=\\s]+)-----END ${type}-----`).exec(text);
  const der = match?.[1] === undefined ? undefined : Buffer.from(match[1], "base64");
  return der === undefined || der.length === 0 ? undefined : der;
}

/** A PEM block. */
export function pemBlock(der: Buffer, type: "PUBLIC KEY" | "CERTIFICATE"): string {
  const lines = der.toString("base64").replace(/(.{64})(?=.)/g, "$1\n");
  return `-----BEGIN ${type}-----\n${lines}\n-----END ${type}-----\n`;
}
