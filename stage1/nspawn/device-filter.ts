/** A device policy as a BPF program of type cgroup/dev (admin-guide/cgroup-v2.rst "Device controller"; struct bpf_cgroup_dev_ctx of linux/bpf.h). Pure. */

export interface DeviceRule {
  readonly type: "b" | "c";
  readonly major: number;
  /** Undefined: every one. */
  readonly minor: number | undefined;
  readonly access: "r" | "rw" | "rwm";
}

/** BPF_DEVCG_DEV_BLOCK, …_CHAR; BPF_DEVCG_ACC_MKNOD 1, …_READ 2, …_WRITE 4. */
const TYPE = { b: 1, c: 2 } as const;
const ACCESS = { r: 2, rw: 6, rwm: 7 } as const;

// Instructions of linux/bpf.h: LDX|MEM|W, ALU64|AND|K, ALU|RSH|K, ALU64|MOV|X, ALU64|MOV|K, JMP|JNE|K, JMP|EXIT.
const [LOAD, AND, SHIFT_RIGHT, COPY, SET, UNLESS_EQUAL, EXIT] = [0x61, 0x57, 0x74, 0xbf, 0xb7, 0x55, 0x95];
const [RESULT, CONTEXT, TYPE_OF, ACCESS_OF, MAJOR, MINOR, SCRATCH] = [0, 1, 2, 3, 4, 5, 6];

type Instruction = readonly [code: number, to: number, from: number, offset: number, value: number];

/** struct bpf_insn[]: allows what one rule allows, and nothing else. */
export function deviceFilter(rules: readonly DeviceRule[]): Uint8Array {
  const instructions: Instruction[] = [
    [LOAD, TYPE_OF, CONTEXT, 0, 0],
    [COPY, ACCESS_OF, TYPE_OF, 0, 0],
    [AND, TYPE_OF, 0, 0, 0xffff],
    [SHIFT_RIGHT, ACCESS_OF, 0, 0, 16],
    [LOAD, MAJOR, CONTEXT, 4, 0],
    [LOAD, MINOR, CONTEXT, 8, 0],
    ...rules.flatMap(ruleCode),
    [SET, RESULT, 0, 0, 0],
    [EXIT, 0, 0, 0, 0],
  ];
  const program = new DataView(new ArrayBuffer(instructions.length * 8));
  instructions.forEach(([code, to, from, offset, value], index) => {
    program.setUint8(index * 8, code);
    program.setUint8(index * 8 + 1, to | (from << 4));
    program.setInt16(index * 8 + 2, offset, true);
    program.setInt32(index * 8 + 4, value, true);
  });
  return new Uint8Array(program.buffer);
}

/** Jumps to the rule after this one as soon as something differs. */
function ruleCode({ type, major, minor, access }: DeviceRule): Instruction[] {
  const tests: ((rest: number) => Instruction)[] = [
    (rest) => [UNLESS_EQUAL, TYPE_OF, 0, rest, TYPE[type]],
    () => [COPY, SCRATCH, ACCESS_OF, 0, 0],
    () => [AND, SCRATCH, 0, 0, ~ACCESS[access]],
    (rest) => [UNLESS_EQUAL, SCRATCH, 0, rest, 0],
    (rest) => [UNLESS_EQUAL, MAJOR, 0, rest, major],
    ...(minor === undefined ? [] : [(rest: number): Instruction => [UNLESS_EQUAL, MINOR, 0, rest, minor]]),
  ];
  const end: Instruction[] = [
    [SET, RESULT, 0, 0, 1],
    [EXIT, 0, 0, 0, 0],
  ];
  return [...tests.map((make, index) => make(tests.length - 1 - index + end.length)), ...end];
}
