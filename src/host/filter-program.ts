/** A system call filter (seccomp(2)) as bytes. */

/** One instruction of classic BPF: how far to jump when its test holds, and when not. */
export type FilterInstruction = readonly [code: number, whenTrue: number, whenFalse: number, value: number];

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
