/**
 * Installed programs, which read strangers' files and are never trusted: each runs in the sandbox that the runner gave,
 * where it sees the folder `work/` of the attempt as `/job`, the machine's programs read-only, and nothing else.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { InputFault } from './protocol';

/** How a program ended, and the last of what it wrote. */
export interface ProgramEnd {
  /** Its exit code; 128 + n of a program that signal n ended; null when the sandbox itself was ended. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last 64 KiB of stdout and stderr. */
  readonly output: string;
}

/** A program that runs. */
export interface Program {
  /** Rejects with {@link InputFault} when the program wrote more than it may. */
  readonly end: Promise<ProgramEnd>;
  /**
   * Signals the program itself, inside its sandbox, as soon as it is started. SIGKILL ends the sandbox and so every
   * process in it.
   */
  signal(signal: NodeJS.Signals): void;
}

/** What a program gets besides its arguments. */
export interface ProgramOptions {
  /** Gets each line of stdout and stderr, cut at 4 KiB; lines may end with a carriage return alone. */
  readonly onLine?: (line: string) => void;
  readonly environment?: Readonly<Record<string, string>>;
  /** How much it may write to stdout and stderr together before it is ended; 1 GiB without. Memory is constant. */
  readonly outputBytesMax?: number;
}

const OUTPUT_KEPT = 64 * 1024;
const OUTPUT_BYTES_MAX = 2 ** 30;
const START_POLL_MS = 2;
const LINE_KEPT = 4 * 1024;

/**
 * Starts a program in its sandbox, in the folder `work/`, which must exist.
 *
 * @throws Error without a sandbox: strangers' files are not given to a program that could do anything.
 */
export function startProgram(
  command: string,
  args: readonly string[],
  { onLine = () => {}, environment = {}, outputBytesMax = OUTPUT_BYTES_MAX }: ProgramOptions = {},
): Program {
  const [sandbox, ...sandboxArgs] = JSON.parse(process.env.HOLDFAST_SANDBOX ?? '[]') as string[];
  if (sandbox === undefined) throw new Error(`${command} runs in a sandbox only, and this runner has none`);
  const settings = Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]);
  const child = spawn(sandbox, [...sandboxArgs, ...settings, '--', command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let bytes = 0;
  for (const stream of [child.stdout, child.stderr]) {
    let line = '';
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      bytes += Buffer.byteLength(text);
      if (bytes > outputBytesMax) {
        child.kill('SIGKILL');
        return;
      }
      output += text;
      // Cut now and then, not at each chunk: a program that flushes every line would have 64 KiB copied for each.
      if (output.length > 2 * OUTPUT_KEPT) output = output.slice(-OUTPUT_KEPT);
      const lines = (line + text).split(/[\r\n]/);
      line = (lines.pop() ?? '').slice(0, LINE_KEPT);
      for (const one of lines) if (one !== '') onLine(one.slice(0, LINE_KEPT));
    });
  }
  const end = once(child, 'close').then(([code, signal]) => {
    if (bytes > outputBytesMax) {
      throw new InputFault(`${command} wrote more than ${outputBytesMax} bytes of messages and was ended.`);
    }
    return {
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      output: output.slice(-OUTPUT_KEPT),
    };
  });
  // Whoever awaits the end hears of it; a driver that is busy elsewhere must not die of it.
  end.catch(() => {});
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const signal = (name: NodeJS.Signals): void => {
    if (child.pid === undefined || hasEnded()) return;
    const program = programBelow(child.pid);
    // A sandbox that is ended while it is being made can leave a process behind, which does not yet follow its parent.
    if (program === undefined) setTimeout(() => signal(name), START_POLL_MS);
    else if (name === 'SIGKILL') child.kill(name);
    else send(program, name);
  };
  return { end, signal };
}

/**
 * The process of the program below its sandbox's own ones: bubblewrap hands no signal on, and dies of it. Undefined while
 * the program is not started yet.
 */
function programBelow(sandbox: number): number | undefined {
  const own = nameOf(sandbox);
  for (let pid: number | undefined = sandbox; pid !== undefined; pid = firstChild(pid)) {
    if (nameOf(pid) !== own) return pid;
  }
  return undefined;
}

function nameOf(pid: number): string {
  return textOf(`/proc/${pid}/comm`);
}

/** The eldest child that lives: those that lost their parent come after the one that was started. */
function firstChild(pid: number): number | undefined {
  const [eldest] = textOf(`/proc/${pid}/task/${pid}/children`).split(' ');
  return eldest ? Number(eldest) : undefined;
}

/** Empty when the process is gone. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended between the look and the signal.
  }
}
