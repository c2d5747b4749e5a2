/** Names of images in registries, as signatures and policies have them: compared in one form, whoever wrote them (distribution/reference, "normalized names"). */

export interface ImageName {
  /** host[:port]/path; Docker Hub is "docker.io". */
  readonly repository: string;
  readonly tag: string | undefined;
  /** "sha256:…". */
  readonly digest: string | undefined;
}

/** Docker Hub under the names that skopeo, cosign (go-containerregistry) and rkt write. */
const HUB: readonly string[] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/** Parses "host:5000/team/app:1.0", "busybox", "app@sha256:…". Undefined when it is none. */
export function parseImageName(text: string): ImageName | undefined {
  const match =
    /^((?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?\/)?[A-Za-z0-9][A-Za-z0-9._/-]*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?$/.exec(
      text,
    );
  const [, path = "", tag, digest] = match ?? [];
  // "host:5000" alone: its port is no tag.
  if (match === null || text.length > 1024 || path.endsWith("/") || /(^|\/)\.{0,2}\//.test(path)) return undefined;
  return { repository: normalRepository(path), tag, digest };
}

/** The normal form of host[:port]/path. */
export function normalRepository(path: string): string {
  const slash = path.indexOf("/");
  const first = slash < 0 ? "" : path.slice(0, slash);
  if (!/[.:]/.test(first) && first !== "localhost") return `docker.io/${slash < 0 ? `library/${path}` : path}`;
  const host = first.toLowerCase();
  const rest = path.slice(slash + 1);
  if (!HUB.includes(host)) return `${host}/${rest}`;
  return `docker.io/${rest.includes("/") ? rest : `library/${rest}`}`;
}

export function formatImageName({ repository, tag, digest }: ImageName): string {
  return `${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** True when `name` is `prefix`, or lies below it by whole components. "" is above everything. */
export function isBelow(name: string, prefix: string): boolean {
  return prefix === "" || name === prefix || name.startsWith(`${prefix}/`);
}
