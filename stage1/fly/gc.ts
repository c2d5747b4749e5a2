/** fly leaves nothing outside the pod's directory: its mounts went with its mount namespace. */

import type { Entrypoint } from "../common/io.ts";

export const gc: Entrypoint = async () => 0;
