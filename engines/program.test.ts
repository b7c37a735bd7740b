import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Program, type ProgramOptions, startProgram } from './program';
import { describeWith, sandboxFor } from './testing/sandbox';

jest.setTimeout(60_000);
let folder: string;
let program: Program | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-program-'));
  process.env.HOLDFAST_SANDBOX = sandboxFor(folder);
});

afterEach(async () => {
  program?.signal('SIGKILL');
  await program?.end.catch(() => {});
  delete process.env.HOLDFAST_SANDBOX;
  rmSync(folder, { recursive: true, force: true });
});

it('refuses to start a program without a sandbox', () => {
  delete process.env.HOLDFAST_SANDBOX;
  expect(() => startProgram('sh', ['-c', 'true'])).toThrow('sandbox');
});

// Skipped where bubblewrap is not installed or cannot make a namespace.
describeWith(['bwrap'])('a program in its sandbox', () => {
  it('passes its exit code, and 128 + n of the signal that ended it', async () => {
    expect(await shell('exit 7').end).toMatchObject({ code: 7, signal: null });
    expect(await shell('kill -9 $$').end).toMatchObject({ code: 137, signal: null });
  });

  it('hears a signal itself, so that it can write what it has', async () => {
    const running = shellUntil(
      'trap "echo kept > partial; exit 3" TERM; echo ready; while :; do read -t 1 x; done',
      'ready',
    );
    await running.seen;
    program?.signal('SIGTERM');
    expect(await program?.end).toMatchObject({ code: 3 });
    expect(readFileSync(join(folder, 'work', 'partial'), 'utf8')).toBe('kept\n');
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('ends by a %s that comes before it was started', async (signal) => {
    for (let time = 0; time < 20; time++) {
      shell('while :; do read -t 1 x; done');
      program?.signal(signal);
      expect(await program?.end).toMatchObject(signal === 'SIGKILL' ? { code: null, signal } : { code: 143 });
    }
  });

  it('takes a daemon that left its tree with it', async () => {
    const loop = 'while :; do echo x >> beat; done';
    const running = shellUntil(
      `(setsid sh -c '${loop}' >/dev/null 2>&1 &) ; until [ -s beat ]; do :; done; echo ready; read x`,
      'ready',
    );
    await running.seen;
    await program?.end;
    // The namespace ends a moment after bubblewrap: what beats is looked at until it is still.
    expect(await isStill(join(folder, 'work', 'beat'))).toBe(true);
  });

  it('reaches no server of this machine', async () => {
    const server = createServer((socket) => socket.end('secret'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { output } = await startProgram('bash', ['-c', `cat < /dev/tcp/127.0.0.1/${port}; cat /proc/net/dev`]).end;
    server.close();
    expect(output).not.toContain('secret');
    expect(output.match(/^ *\w+:(?= +\d)/gm)?.map((name) => name.trim())).toEqual(['lo:']);
  });

  it('writes nothing outside work/, and sees nothing of the machine but its programs', async () => {
    writeFileSync(join(folder, 'beside'), 'secret');
    const { output } = await shell(
      `echo x > /usr/bin/x; echo x > /x; ls / /home /root; cat /etc/passwd ${folder}/beside ../beside; env; echo x > inside`,
    ).end;
    expect(existsSync(join(folder, 'work', 'inside'))).toBe(true);
    expect(existsSync('/usr/bin/x')).toBe(false);
    expect(existsSync('/x')).toBe(false);
    expect(output).not.toMatch(/secret|root:/);
    expect(output).not.toMatch(/^(home|root|var|HOLDFAST\w*=.*)$/m);
  });

  it('is ended with a fault when it writes more than it may', async () => {
    await expect(shell('yes', { outputBytesMax: 1_000_000 }).end).rejects.toThrow(
      'sh wrote more than 1000000 bytes of messages and was ended.',
    );
  });

  it('writes for as long as it likes in constant memory, with and without lines', async () => {
    const before = process.memoryUsage().rss;
    let longest = 0;
    const onLine = (line: string) => {
      longest = Math.max(longest, line.length);
    };
    const { code, output } = await shell('yes | head -c 20000000; head -c 200000000 /dev/zero | tr "\\0" a', {
      onLine,
    }).end;
    expect({ code, kept: output.length, longest }).toEqual({ code: 0, kept: 64 * 1024, longest: 1 });
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });
});

function shell(script: string, options?: ProgramOptions): Program {
  program = startProgram('sh', ['-c', script], options);
  return program;
}

function shellUntil(script: string, line: string): { readonly seen: Promise<void> } {
  const seen = new Promise<void>((resolve) => {
    program = startProgram('bash', ['-c', script], { onLine: (one) => one === line && resolve() });
  });
  return { seen };
}

/** Whether a file stops growing: three equal looks in a row. */
async function isStill(path: string): Promise<boolean> {
  let last = -1;
  let equal = 0;
  for (let look = 0; look < 200 && equal < 3; look++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { size } = statSync(path);
    equal = size === last ? equal + 1 : 0;
    last = size;
  }
  return equal === 3;
}
