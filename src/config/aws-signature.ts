/** AWS Signature Version 4 of a GET without a body, for service s3 (AWS General Reference, "Signing AWS API requests"). Pure. */

const SERVICE = "s3";
const DEFAULT_REGION = "us-east-1";

export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string | undefined;
}

/** The headers to send with the request; the signature holds for this host, path and query, and some minutes. */
export function signAwsRequest(keys: AwsKeys, url: URL, now: Date): Readonly<Record<string, string>> {
  const region = keys.region ?? guessRegion(url.hostname);
  const time = now.toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const bodyHash = sha256("");
  const signedHeaders = "host;x-amz-content-sha256;x-amz-date";
  const canonicalRequest = [
    "GET",
    url.pathname.split("/").map(reencoded).join("/"),
    canonicalQuery(url),
    `host:${url.host}`,
    `x-amz-content-sha256:${bodyHash}`,
    `x-amz-date:${time}`,
    "",
    signedHeaders,
    bodyHash,
  ].join("\n");
  const scope = `${day}/${region}/${SERVICE}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", time, scope, sha256(canonicalRequest)].join("\n");
  const key = [day, region, SERVICE, "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${keys.secretAccessKey}`);
  const signature = hmac(key, toSign).toString("hex");
  return {
    Authorization: `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    "X-Amz-Content-Sha256": bodyHash,
    "X-Amz-Date": time,
  };
}

/** `s3.eu-west-1.amazonaws.com`, `bucket.s3-eu-west-1.amazonaws.com` → "eu-west-1". */
export function guessRegion(hostname: string): string {
  const match = /(?:^|\.)s3[.-]([a-z]+(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?$/.exec(hostname.toLowerCase());
  return match?.[1] ?? DEFAULT_REGION;
}

function canonicalQuery(url: URL): string {
  return [...url.searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join("&");
}

/** A path segment as it stands in a URL, in AWS's encoding. */
function reencoded(segment: string): string {
  try {
    return encoded(decodeURIComponent(segment));
  } catch {
    return segment;
  }
}

/** RFC 3986: everything but unreserved characters is escaped. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return new Bun.CryptoHasher("sha256", key).update(text).digest();
}
