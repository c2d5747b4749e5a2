import { stage1Suite } from "./suite.ts";

stage1Suite("host");
