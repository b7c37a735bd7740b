/** A Slurm of one host for tests: its own key, sockets, ports and folder, gone when it stops. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir, totalmem, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isAlive, readProcessTable, sendSignal } from '../processes';

const PROGRAMS = ['setpriv', 'munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'scontrol', 'scancel', 'sinfo'];
const PATH = [process.env.PATH, '/usr/sbin', '/sbin', '/usr/local/sbin'].join(delimiter);
const NODE = 'n1';

/** What of Slurm this machine lacks; nothing when a cluster can be started. */
export const missingSlurmPrograms: readonly string[] =
  process.platform === 'linux'
    ? PROGRAMS.filter((name) => !PATH.split(delimiter).some((folder) => existsSync(join(folder, name))))
    : ['Linux'];

type Daemon = 'munged' | 'slurmctld' | 'slurmd';

export class SlurmCluster {
  readonly node = NODE;
  /** What commands need to reach this cluster. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #daemons = new Map<Daemon, ChildProcess>();

  private constructor(
    private readonly folder: string,
    ports: { readonly controller: number; readonly node: number },
  ) {
    for (const name of ['munge', 'state', 'spool', 'log']) mkdirSync(join(folder, name), { mode: 0o700 });
    writeFileSync(join(folder, 'munge', 'key'), randomBytes(1024), { mode: 0o400 });
    writeFileSync(join(folder, 'slurm.conf'), configuration(folder, ports));
    this.environment = { PATH, HOME: folder, USER: userInfo().username, SLURM_CONF: join(folder, 'slurm.conf') };
    writeFileSync(join(folder, 'environment'), `SLURM_CONF=${this.environment.SLURM_CONF}\n`);
  }

  /**
   * Starts a cluster in an empty folder and waits until its node takes jobs, some tenths of a second. The file
   * `environment` in the folder is what Node reads with `--env-file` to reach the cluster.
   */
  static async start(folder = mkdtempSync(join(tmpdir(), 'holdfast-slurm-'))): Promise<SlurmCluster> {
    const [controller, node] = await Promise.all([freePort(), freePort()]);
    const cluster = new SlurmCluster(folder, { controller, node });
    try {
      await cluster.startDaemon('munged');
      await cluster.startDaemon('slurmctld');
      await cluster.startDaemon('slurmd');
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Starts a daemon, for the first time or again, and waits until it serves. */
  async startDaemon(daemon: Daemon): Promise<void> {
    const log = openSync(join(this.folder, 'log', `${daemon}.out`), 'a');
    // Daemons die with the tests, however those end.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', daemon, ...this.#argumentsOf(daemon)], {
      env: this.environment,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#daemons.set(daemon, child);
    await once(child, 'spawn');
    const isServing = {
      munged: async () => existsSync(join(this.folder, 'munge', 'socket')),
      slurmctld: async () => (await this.command('scontrol', 'ping')).includes('is UP'),
      slurmd: async () => /^(idle|mixed|allocated|drain\w*)$/m.test(await this.command('sinfo', '-h', '-o', '%T')),
    }[daemon];
    for (const giveUpAt = Date.now() + 20_000; !(await isServing().catch(() => false)); await delay(20)) {
      if (child.exitCode !== null || Date.now() > giveUpAt)
        throw new Error(`${daemon} does not serve, see ${this.folder}`);
    }
  }

  /** Kills a daemon as a crash does. */
  async killDaemon(daemon: Daemon): Promise<void> {
    const child = this.#daemons.get(daemon);
    this.#daemons.delete(daemon);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    if (daemon === 'munged')
      for (const name of ['socket', 'socket.lock', 'pid']) rmSync(join(this.folder, 'munge', name), { force: true });
  }

  /** Kills the controller and starts it without a memory, as after a crash before it saved its state. */
  async forgetJobs(): Promise<void> {
    await this.killDaemon('slurmctld');
    for (const name of readdirSync(join(this.folder, 'state'))) {
      if (name.startsWith('job_state')) rmSync(join(this.folder, 'state', name));
    }
    await this.startDaemon('slurmctld');
  }

  /** Waits until the controller wrote all that it knows of its jobs to its disk, which it does seconds after a change. */
  async saveJobs(): Promise<void> {
    const mark = `mark-${Date.now()}`;
    for (const id of (await this.command('squeue', '-h', '-t', 'R', '-o', '%i')).split('\n')) {
      await this.command('scontrol', 'update', `JobId=${id}`, `Comment=${mark}`);
    }
    const isSaved = () => existsSync(this.#savedJobs) && readFileSync(this.#savedJobs, 'latin1').includes(mark);
    for (const giveUpAt = Date.now() + 20_000; !isSaved(); await delay(50)) {
      if (Date.now() > giveUpAt) throw new Error('the controller does not save its jobs');
    }
  }

  get #savedJobs(): string {
    return join(this.folder, 'state', 'job_state');
  }

  /** Runs one of Slurm's commands and returns what it says. */
  async command(name: string, ...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(name, args, { env: this.environment, timeout: 15_000 });
    return stdout.trim();
  }

  /** Kills the daemons and everything they started, and removes the folder. */
  async stop(): Promise<void> {
    const isOurs = (pid: number) => environmentOf(pid).includes(`SLURM_CONF=${this.environment.SLURM_CONF}\0`);
    for (let left = [0]; left.length > 0; await delay(20)) {
      left = [...(readProcessTable()?.values() ?? [])]
        .filter((row) => isAlive(row) && isOurs(row.pid))
        .map(({ pid }) => pid);
      for (const pid of left) sendSignal(pid, 'SIGKILL');
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #argumentsOf(daemon: Daemon): string[] {
    const munge = (name: string) => join(this.folder, 'munge', name);
    switch (daemon) {
      case 'munged':
        return [
          '--foreground',
          '--force',
          `--key-file=${munge('key')}`,
          `--socket=${munge('socket')}`,
          `--pid-file=${munge('pid')}`,
          `--seed-file=${munge('seed')}`,
        ];
      case 'slurmctld':
        return ['-D'];
      case 'slurmd':
        return ['-D', '-N', NODE];
    }
  }
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return ''; // It ended, or is somebody else's.
  }
}

/** No accounting database, no systemd, no cgroups: what every Linux host can do, as root or not. */
function configuration(folder: string, ports: { readonly controller: number; readonly node: number }): string {
  const host = hostname().split('.')[0];
  const user = userInfo().username;
  const mebibytes = Math.floor(totalmem() / 2 ** 20 / 2);
  return `${[
    'ClusterName=holdfast',
    `SlurmctldHost=${host}(127.0.0.1)`,
    'CommunicationParameters=NoInAddrAny,NoCtldInAddrAny',
    'AuthType=auth/munge',
    `AuthInfo=socket=${folder}/munge/socket`,
    'CredType=cred/munge',
    `SlurmUser=${user}`,
    `SlurmdUser=${user}`,
    `SlurmctldPort=${ports.controller}`,
    `SlurmctldPidFile=${folder}/slurmctld.pid`,
    `SlurmdPidFile=${folder}/slurmd.pid`,
    `SlurmctldLogFile=${folder}/log/slurmctld.log`,
    `SlurmdLogFile=${folder}/log/slurmd.log`,
    `StateSaveLocation=${folder}/state`,
    `SlurmdSpoolDir=${folder}/spool`,
    // More jobs at once than a small machine has cores.
    'SlurmdParameters=config_overrides',
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'MpiDefault=none',
    'SwitchType=switch/none',
    'MailProg=/bin/true',
    'ReturnToService=2',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_Core',
    'SchedulerType=sched/backfill',
    'SchedulerParameters=sched_interval=1,bf_interval=5,batch_sched_delay=0',
    'JobAcctGatherType=jobacct_gather/none',
    'AccountingStorageType=accounting_storage/none',
    'JobCompType=jobcomp/none',
    'KillWait=5',
    'MinJobAge=300',
    'InactiveLimit=0',
    'Waittime=0',
    `NodeName=${NODE} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports.node} CPUs=4 RealMemory=${mebibytes} State=UNKNOWN`,
    `PartitionName=main Nodes=${NODE} Default=YES MaxTime=1440 DefaultTime=10 State=UP`,
  ].join('\n')}\n`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return address.port;
}
