/**
 * What rkt becomes: a shell that starts virtiofsd and QEMU, carries the console, turns TERM into a halt of the pod, and ends with the status that the guest told (decision D11's order: a shell is
 * under a megabyte). Pure: the shell's words.
 */

export interface Supervised {
  readonly qemu: readonly string[];
  readonly virtiofsd: readonly string[];
  /** "terminal": the caller's, for input and output. "pipe": the caller's input, which ends. */
  readonly input: "none" | "terminal" | "pipe";
  /** Tells the end of the input (guest/agent.c). */
  readonly mark: string;
}

/**
 * The pod's directory is the working directory. Descriptors 3 to 7 hold the pipes open, so that nobody waits for the other side; 9 is the caller's input, which a shell takes from
 * its background. At the end a line of "." is behind everything that the guest has said. A guest that ended without telling a status has crashed.
 *
 * The guest may be an attacker's: of what it says to its serial port the first megabyte is kept, or it would fill the host's disk; "." is written while what stands before it is read, or a guest that
 * has filled the pipe would keep the pod from ending; and what it says of errors is shown without a terminal's commands.
 */
export function supervisorScript({ qemu, virtiofsd, input, mark }: Supervised): string {
  return `
exec 3<>kvm/vm/control.out 4<>kvm/vm/control.in 5<>kvm/vm/console.out 6<>kvm/vm/console.in 7<>kvm/vm/kernel 9<&0
stopping= machine=
stop() { stopping=1; echo stop >&4; }
trap stop TERM INT
trap '[ -z "$machine" ] || kill -KILL "$machine"' HUP
cat < kvm/vm/console.out ${OWN} 9<&- &
output=$!
${input === "terminal" ? TERMINAL : ""}${input === "none" ? "" : feed(input, mark)}
{ head -c ${LONGEST_LOG} > kvm/kernel.log; exec cat > /dev/null; } < kvm/vm/kernel ${OWN} 9<&- &
log=$!
${words(virtiofsd)} < /dev/null > kvm/files.log 2>&1 ${OWN} 9<&- &
files=$!
${words(qemu)} < /dev/null > kvm/qemu.log 2>&1 ${OWN} 9<&- &
machine=$!
code=0
while :; do
  wait "$machine"
  code=$?
  kill -0 "$machine" 2> /dev/null || break
done
trap '' TERM INT HUP
exec 5<&- 7<&-
wait "$output" "$log"
[ -z "$feeder" ] || kill "$feeder" 2> /dev/null
${input === "terminal" ? '[ -z "$settings" ] || stty "$settings" <&9\n' : ""}kill "$files" 2> /dev/null
printf '\\n.\\n' >&3 &
mark=$!
status=
while read -r word rest <&3; do
  case $word in
    .) break ;;
    exit) status=$rest ;;
    error) printf 'stage1: %s\\n' "$rest" | tr -cd '\\12\\40-\\176' | cut -c 1-500 >&2 ;;
  esac
done
kill -KILL "$mark" 2> /dev/null
case $status in
  *[!0-9]* | ????*) status=254 ;;
  '')
    status=254
    echo "stage1: the virtual machine ended (status $code) and its pod did not: see kvm/kernel.log and kvm/qemu.log in the pod's directory" >&2
    tail -n 3 kvm/qemu.log | cut -c 1-500 >&2
    tail -n 3 kvm/kernel.log | tr -cd '\\12\\40-\\176' | cut -c 1-500 >&2
    ;;
esac
exit "$status"
`;
}

/** What only the supervisor holds open. */
const OWN = "3<&- 4<&- 5<&- 6<&- 7<&-";

/** Bytes. */
const LONGEST_LOG = 1 << 20;

/** Keys go to the guest as they are typed; its own terminal does the rest. */
const TERMINAL = `
settings=$(stty -g <&9)
stty raw -echo <&9
resize() { set -- $(stty size <&9); echo "size $1 $2" >&4; }
resize
trap resize WINCH
`;

function feed(input: "terminal" | "pipe", mark: string): string {
  const source = `<&9 > kvm/vm/console.in ${OWN}`;
  return input === "terminal"
    ? `cat ${source} &\nfeeder=$!\n`
    : `{ cat; printf %s '${mark}'; } ${source} &\nfeeder=$!\n`;
}

/** Words for a shell, each in quotes. */
function words(argv: readonly string[]): string {
  return argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}
