type PemType = "PUBLIC KEY" | "CERTIFICATE";

/** The DER content of the first PEM block of `type` (RFC 7468); undefined when there is none. */
export function pemContent(text: string, type: PemType): Buffer | undefined {
  return pemContents(text, type)[0];
}

/** Of every one. */
export function pemContents(text: string, type: PemType): Buffer[] {
  const blocks = text.matchAll(new RegExp(`-----BEGIN ${type}-----([A-Za-z0-9+/=\\s]+)-----END ${type}-----`, "g"));
  return [...blocks].map(([, base64 = ""]) => Buffer.from(base64, "base64")).filter((der) => der.length > 0);
}

/** A PEM block. */
export function pemBlock(der: Buffer, type: PemType): string {
  const lines = der.toString("base64").replace(/(.{64})(?=.)/g, "$1\n");
  return `-----BEGIN ${type}-----\n${lines}\n-----END ${type}-----\n`;
}
