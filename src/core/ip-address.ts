/** IP addresses as text. (node:net knows them too, but loading it costs a start several milliseconds.) */

const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const IPV4 = new RegExp(`^${OCTET}(\\.${OCTET}){3}$`);

/** 4 or 6, or 0 when `text` is no IP address. */
export function ipVersion(text: string): 0 | 4 | 6 {
  if (IPV4.test(text)) return 4;
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(":")) return 0;
  return URL.canParse(`http://[${text}]/`) ? 6 : 0;
}
