/** A sandbox for tests of drivers outside a runner: the same walls, by bubblewrap. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** The value of `HOLDFAST_SANDBOX` for an attempt's folder, in which `work/` and `tmp/` are made. */
export function sandboxFor(folder: string): string {
  const [work, temporary] = [join(folder, 'work'), join(folder, 'tmp')];
  for (const one of [work, temporary]) mkdirSync(one, { recursive: true });
  return JSON.stringify([
    'bwrap',
    ...['--unshare-all', '--die-with-parent', '--new-session', '--clearenv', '--cap-drop', 'ALL'],
    ...['--setenv', 'PATH', '/usr/bin', '--setenv', 'HOME', '/job'],
    ...['--ro-bind', '/usr', '/usr', '--symlink', 'usr/lib', '/lib', '--symlink', 'usr/lib64', '/lib64'],
    ...['--symlink', 'usr/bin', '/bin', '--proc', '/proc', '--dev', '/dev', '--bind', temporary, '/tmp'],
    ...['/etc/povray', '/etc/alternatives', '/etc/fonts'].flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--bind', work, '/job', '--chdir', '/job', '--remount-ro', '/dev', '--remount-ro', '/'],
  ]);
}

/** `describe` where these commands are installed and a sandbox can be made; elsewhere the tests are skipped. */
export function describeWith(commands: readonly string[]): jest.Describe {
  const found = commands.every((command) => spawnSync('which', [command]).status === 0);
  const walls = spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']).status === 0;
  return found && walls ? describe : describe.skip;
}
