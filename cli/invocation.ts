/** What every command for people is given: whom it asks, where it writes. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { type Client, createClient, type Me } from './client';
import { WrongUsage } from './failures';
import { createOutput, type Output, type Terminal } from './output';
import { findTarget } from './target';

export interface GlobalOptions {
  readonly url?: string;
  readonly key?: string;
  readonly as?: string;
  readonly json?: boolean;
  readonly color: boolean;
}

export interface Invocation {
  readonly terminal: Terminal;
  readonly output: Output;
  /** Made on first use: what needs no server works without one. */
  readonly client: Client;
}

/**
 * Puts an invocation together from the global options of a command.
 *
 * @param person whose demo key is used when nobody was named.
 */
export function invocationOf(command: Command, terminal: Terminal, person = 'submitter'): Invocation {
  const { url, key, as, json = false, color } = command.optsWithGlobals<GlobalOptions>();
  const output = createOutput(terminal, { json, color });
  let client: Client | undefined;
  return {
    terminal,
    output,
    get client() {
      client ??= createClient(findTarget({ url, key, as, person, env: terminal.env }));
      return client;
    },
  };
}

/** Whether somebody sits there to be asked. */
export function isInteractive({ stdin, stdout }: Terminal): boolean {
  return stdin.isTTY === true && stdout.isTTY === true;
}

/** Asks a question that only a clear yes answers. */
export async function confirm({ stdin, stderr }: Terminal, question: string): Promise<boolean> {
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}

/** The contract that is meant: by id, by a part of its name that fits only one, or the only one there is. */
export async function contractOf(client: Client, me: Me, wanted: string | undefined): Promise<string | null> {
  if (wanted === 'none') return null;
  if (wanted !== undefined && UUID.test(wanted)) return wanted;
  if (wanted === undefined && me.contractIds.length <= 1) return me.contractIds[0] ?? null;
  const { items } = (await client.contracts()).body;
  const fitting = items.filter(({ id, name }) =>
    wanted === undefined ? me.contractIds.includes(id) : name.toLowerCase().includes(wanted.toLowerCase()),
  );
  if (wanted !== undefined && fitting.length === 1 && fitting[0]) return fitting[0].id;
  const list = (fitting.length > 0 ? fitting : items).map(({ id, name }) => `  ${id}  ${name}`).join('\n');
  throw new WrongUsage(
    `${wanted === undefined ? 'Say which contract pays' : `"${wanted}" names ${fitting.length} contracts; say which one`}` +
      ` with --contract (an id, a part of its name, or none for your individual credits):\n${list}`,
  );
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
