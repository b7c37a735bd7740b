/** Slurm's commands, each with a timeout, and what their failures mean: somebody is away, or the answer is no. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** The controller, its network or its authentication does not answer. Whether it heard us is not known. */
export class SlurmAway extends Error {
  override readonly name = 'SlurmAway';
}

/** Slurm answered no, and asking again will not help. */
export class SlurmRefusal extends Error {
  override readonly name = 'SlurmRefusal';
}

/** A job as Slurm shows it. */
export interface SlurmJob {
  readonly id: string;
  /** Such as `PENDING`, `RUNNING`, `SUSPENDED`, `COMPLETED`, `NODE_FAIL`. */
  readonly state: string;
  /** Why it waits or how it ended, in Slurm's words. */
  readonly reason: string;
}

/** All of Slurm that the runner uses. Every call throws {@link SlurmAway} or {@link SlurmRefusal}. */
export interface SlurmClient {
  /** Submits a script and returns the id of its job. */
  submit(script: string, options: readonly string[]): Promise<string>;
  /** The named jobs; one that Slurm does not know is left out. */
  jobs(ids: readonly string[]): Promise<SlurmJob[]>;
  /** Jobs by name that work in `folder`, ended ones included, as long as Slurm remembers them. */
  find(name: string, folder: string): Promise<SlurmJob[]>;
  cancel(ids: readonly string[]): Promise<void>;
  suspend(id: string): Promise<void>;
  resume(id: string): Promise<void>;
}

/** @param environment what the commands see, such as `PATH` and `SLURM_CONF`; jobs see it too. */
export function createSlurmClient(environment: Readonly<Record<string, string>>): SlurmClient {
  const run = (command: string, args: readonly string[], input?: string) =>
    runCommand(environment, command, args, input);
  const list = async (...selection: string[]) => {
    try {
      return parseJobs(await run('squeue', ['--noheader', '--states=all', `--format=${FORMAT}`, ...selection]));
    } catch (error) {
      // Said only when none of the jobs is known; otherwise unknown ones are left out in silence.
      if (error instanceof SlurmRefusal && /invalid job id/i.test(error.message)) return [];
      throw error;
    }
  };
  return {
    async submit(script, options) {
      const answer = await run('sbatch', ['--parsable', ...options], script);
      const id = /^(\d+)/.exec(answer)?.[1];
      if (id === undefined) throw new SlurmAway(`sbatch answered ${JSON.stringify(answer.slice(0, 200))}`);
      return id;
    },
    jobs: (ids) => list(`--jobs=${ids.join(',')}`),
    async find(name, folder) {
      const found = await list(`--name=${name}`);
      return found.filter((job) => job.folder === folder);
    },
    async cancel(ids) {
      await run('scancel', ids);
    },
    async suspend(id) {
      await run('scontrol', ['suspend', id]);
    },
    async resume(id) {
      await run('scontrol', ['resume', id]);
    },
  };
}

/** The folder comes last: it alone may hold the character between fields. */
const FORMAT = '%i|%T|%r|%Z';

/** Commands wait for a controller that is away by themselves; this is how long we wait for them. */
const COMMAND_TIMEOUT_MS = 15_000;

/**
 * What commands say when nobody answered. Slurm's exit codes do not tell it from a refusal. A message that is not here
 * counts as a refusal: nothing is repeated for ever because of an unknown sentence.
 */
const AWAY =
  /unable to contact|connection (refused|reset|timed out)|timed out|zero bytes|munge|authentication|transport endpoint|communication|temporarily|no route|try again|not responding|shutdown failure|connect failure|lookup failed/i;

function parseJobs(table: string): (SlurmJob & { readonly folder: string })[] {
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', state = '', reason = '', ...folder] = line.split('|');
      return { id: id.trim(), state: state.trim(), reason: reason.trim(), folder: folder.join('|').trim() };
    });
}

async function runCommand(
  environment: Readonly<Record<string, string>>,
  command: string,
  args: readonly string[],
  input = '',
): Promise<string> {
  const child = spawn(command, args, { env: environment, stdio: 'pipe' });
  const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_TIMEOUT_MS);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  child.stdin.on('error', () => {}); // It ended before it read its input: its exit code tells the rest.
  child.stdin.end(input);
  try {
    const [code, answer, complaint] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    if (code === 0) return answer;
    const sentence = `${command}: ${complaint.trim().slice(0, 500) || 'no answer'}`;
    throw code === null || AWAY.test(complaint) ? new SlurmAway(sentence) : new SlurmRefusal(sentence);
  } finally {
    clearTimeout(timer);
  }
}
