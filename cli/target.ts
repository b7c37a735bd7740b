/** Which installation is asked, and as whom: options, then the environment, then what runs from the home folder. */
import { findRunningInstance, type Instance } from '../dev/instance';
import { readConfig } from './config';
import { NothingRuns, WrongUsage } from './failures';

export interface TargetOptions {
  readonly url?: string | undefined;
  readonly key?: string | undefined;
  /** A demo person of the installation on this machine. */
  readonly as?: string | undefined;
  /** Who asks when nobody was named. */
  readonly person: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface Target {
  readonly url: string;
  readonly key: string;
}

/** @throws NothingRuns when there is nobody to ask. @throws WrongUsage when it is not clear as whom. */
export function findTarget({ url, key, as, person, env }: TargetOptions): Target {
  const wantedUrl = url || env.HOLDFAST_URL || undefined;
  // A person named on the command line is meant more than a key left in the environment.
  const wantedKey = key || (as === undefined ? env.HOLDFAST_API_KEY : undefined) || undefined;
  if (key && as !== undefined) throw new WrongUsage('Say either --key or --as, not both.');
  if (wantedUrl !== undefined && !/^https?:\/\//.test(wantedUrl)) {
    throw new WrongUsage(`The address of the API begins with http:// or https://, unlike "${wantedUrl}".`);
  }
  if (wantedUrl && wantedKey) return { url: wantedUrl, key: wantedKey };
  const { home } = readConfig(env);
  const instance = findRunningInstance(home);
  const found = wantedUrl ?? instance?.apiUrl ?? undefined;
  if (found === undefined) {
    throw new NothingRuns(
      `Nothing runs from ${home}. Start it with "npm start", or say where it is with HOLDFAST_URL and HOLDFAST_API_KEY.`,
    );
  }
  if (wantedKey) return { url: found, key: wantedKey };
  // Demo keys go to the installation that they are of, and nowhere else.
  if (!instance || instance.apiUrl !== found.replace(/\/+$/, '')) {
    throw new WrongUsage(`An API key is needed for ${found}: set HOLDFAST_API_KEY or give --key.`);
  }
  return { url: found, key: keyOf(instance, as ?? person) };
}

function keyOf(instance: Instance, person: string): string {
  const wanted = person.toLowerCase();
  const people = Object.entries(instance.keys);
  const found = people.find(([id, { name, role }]) => [id, name, role].some((one) => one.toLowerCase() === wanted));
  if (found) return found[1].key;
  const known = people.map(([id]) => id).join(', ') || 'none';
  throw new WrongUsage(`There is no demo person "${person}"; there are: ${known}.`);
}
