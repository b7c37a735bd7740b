/**
 * Installed programs, which read strangers' files and are never trusted: each runs in the sandbox that the runner gave,
 * where it sees the folder `work/` of the attempt as `/job`, the machine's programs read-only, and nothing else.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** How a program ended, and the last of what it wrote. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last 64 KiB of stdout and stderr. */
  readonly output: string;
}

/** A program that runs. */
export interface Program {
  readonly end: Promise<ProgramEnd>;
  /** Signals the program, through its sandbox where there is one. */
  signal(signal: NodeJS.Signals): void;
}

const OUTPUT_KEPT = 64 * 1024;
const LINE_KEPT = 4 * 1024;

/**
 * Starts a program in its sandbox, in the folder `work/`.
 *
 * @param onLine gets each line of stdout and stderr (cut at 4 KiB); lines may end with a carriage return alone.
 * @throws Error without a sandbox: strangers' files are not given to a program that could do anything.
 */
export function startProgram(
  command: string,
  args: readonly string[],
  {
    onLine = () => {},
    environment = {},
  }: { onLine?: (line: string) => void; environment?: Record<string, string> } = {},
): Program {
  const [sandbox, ...sandboxArgs] = JSON.parse(process.env.HOLDFAST_SANDBOX ?? '[]') as string[];
  if (sandbox === undefined) throw new Error(`${command} runs in a sandbox only, and this runner has none`);
  const settings = Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]);
  const child = spawn(sandbox, [...sandboxArgs, ...settings, '--', command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    let line = '';
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_KEPT);
      const lines = (line + text).split(/[\r\n]/);
      line = (lines.pop() ?? '').slice(0, LINE_KEPT);
      for (const one of lines) if (one !== '') onLine(one.slice(0, LINE_KEPT));
    });
  }
  const end = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    output,
  }));
  return { end, signal: (signal) => child.kill(signal) };
}
