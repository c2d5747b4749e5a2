/** A system call filter (seccomp(2)) as bytes. */

/** One instruction of classic BPF: how far to jump when its test holds, and when not. */
export type FilterInstruction = readonly [code: number, whenTrue: number, whenFalse: number, value: number];

/** Codes of classic BPF (linux/bpf_common.h): BPF_LD|BPF_W|BPF_ABS, BPF_ALU|BPF_AND|BPF_K, BPF_JMP|BPF_JA, BPF_JMP|BPF_JEQ|BPF_K, …JGT…, …JGE…, …JSET…, BPF_RET|BPF_K. */
export const BPF = {
  ...{ LOAD: 0x20, AND: 0x54, JUMP: 0x05, RETURN: 0x06 },
  ...{ IF_EQUAL: 0x15, IF_ABOVE: 0x25, IF_AT_LEAST: 0x35, IF_ANY_BIT: 0x45 },
} as const;

/** Where struct seccomp_data has what; the arguments have 64 bits each, and this is the first one's lower half. */
export const CALL_DATA = { NUMBER: 0, ARCHITECTURE: 4, FIRST_ARGUMENT: 16 } as const;

/** AUDIT_ARCH_… (linux/audit.h), as struct seccomp_data has it. */
export const ARCHITECTURE = { x64: 0xc000003e, i386: 0x40000003, arm64: 0xc00000b7 } as const;

/** SECCOMP_RET_ALLOW, …USER_NOTIF, and …ERRNO with the error. */
export const VERDICT = { ALLOW: 0x7fff0000, ASK: 0x7fc00000, EPERM: 0x00050001, ENOSYS: 0x00050026 } as const;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; CLONE_NEWTIME is none of clone's flags. */
export const NEW_NAMESPACES = 0x7e020000;

/** Calls of x32 have this bit; no distribution's programs use them. */
export const X32_BIT = 0x40000000;

/** struct sock_filter[] of these. */
export function filterProgram(instructions: readonly FilterInstruction[]): Uint8Array {
  const program = new DataView(new ArrayBuffer(instructions.length * 8));
  instructions.forEach(([code, whenTrue, whenFalse, value], index) => {
    program.setUint16(index * 8, code, true);
    program.setUint8(index * 8 + 2, whenTrue);
    program.setUint8(index * 8 + 3, whenFalse);
    program.setUint32(index * 8 + 4, value, true);
  });
  return new Uint8Array(program.buffer);
}
