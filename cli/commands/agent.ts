/** Computing for an installation elsewhere. */
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import pino from 'pino';
import { packageRoot } from '../../dev/root';
import { createEmbeddedRunner } from '../../runners/embedded';
import { SERVICES } from '../../services';
import { withAddedServices } from '../../services/added';
import { runAgent } from '../agent';
import { readConfig } from '../config';
import { WrongUsage } from '../failures';
import type { GlobalOptions } from '../invocation';
import type { Terminal } from '../output';
import { signalled } from '../processParts';
import { findTarget } from '../target';

interface AgentCommandOptions {
  readonly engine: readonly string[];
  readonly runs: string;
  readonly name: string;
}

export function agentCommands(program: Command, terminal: Terminal): void {
  program
    .command('agent')
    .description(
      'computes jobs of an installation elsewhere on this machine, until Ctrl-C; needs a key with the role compute',
    )
    .option('--engine <name>', 'an engine to offer; all that need no installed program without it', collect, [])
    .option('--runs <count>', 'how many to compute at once', String(availableParallelism()))
    .option('--name <name>', 'what operators see', hostname())
    .action(async ({ engine, runs, name }: AgentCommandOptions, command: Command) => {
      if (!/^[1-9]\d{0,2}$/.test(runs)) throw new WrongUsage(`--runs is a number from 1, unlike "${runs}".`);
      const { url, key, as } = command.optsWithGlobals<GlobalOptions>();
      const target = findTarget({ url, key, as, person: 'compute', env: terminal.env });
      const config = readConfig(terminal.env);
      const services = withAddedServices(SERVICES, config.servicesFolder);
      const known = [...services.values()].flatMap(({ engines }) => engines).filter((one) => !one.programs?.length);
      const unknown = engine.find((wanted) => known.every((one) => one.name !== wanted));
      if (unknown !== undefined) {
        const names = known.map((one) => one.name).join(', ');
        throw new WrongUsage(`There is no engine "${unknown}" that needs no installed program; there are: ${names}.`);
      }
      const workFolder = join(config.home, 'agent');
      const runner = createEmbeddedRunner({ enginesFolder: join(packageRoot(), 'dist', 'engines'), workFolder });
      await runner.sweep();
      const ending = new AbortController();
      void signalled().then(() => ending.abort());
      await runAgent({
        ...target,
        name,
        engines: engine.length === 0 ? known : known.filter((one) => engine.includes(one.name)),
        runner,
        workFolder,
        runsMax: Number(runs),
        log: pino({ name: 'agent' }, pino.destination({ fd: 2, sync: true })),
        signal: ending.signal,
      });
    });
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}
