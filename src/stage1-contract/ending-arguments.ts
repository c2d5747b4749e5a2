/** The arguments of the entrypoints `gc` and `stop`: written by stage0. */

/** `--local-config DIR`, in two words, came with interface 5; an older entrypoint fails on flags it does not know. */
export function formatGcArguments(
  gc: { uuid: string; debug: boolean; localConfig: string },
  interfaceVersion: number,
): string[] {
  const local = interfaceVersion >= 5 ? ["--local-config", gc.localConfig] : [];
  return [...(gc.debug ? ["--debug"] : []), ...local, gc.uuid];
}

export function formatStopArguments(stop: { uuid: string; force: boolean }): string[] {
  return [...(stop.force ? ["--force"] : []), stop.uuid];
}
