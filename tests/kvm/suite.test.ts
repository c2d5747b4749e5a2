/** The suite of all flavors in virtual machines: `make test-kvm`, since under emulation each pod takes seconds. Needs root, QEMU, iproute2. */

import { stage1Suite } from "../stage1/suite.ts";

stage1Suite("kvm");
