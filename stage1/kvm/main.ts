/** The entrypoints of the image's scripts: `stage1.js run|enter|gc|stop ARGS`, in a process of their own. */

import { runEntrypoint } from "../common/process.ts";
import * as kvm from "./mod.ts";

process.exitCode = await runEntrypoint(kvm);
