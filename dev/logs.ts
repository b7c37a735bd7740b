import { copyFile, mkdir, rename, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';

const BYTES_MAX = 10 * 1024 * 1024;
const LOOK_EVERY_MS = 15_000;

/** Begins a log: the previous one becomes `<log>.1`. */
export async function beginLog(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rename(path, `${path}.1`).catch(() => undefined);
  return path;
}

/**
 * Keeps logs below twice ten mebibytes. Programs append to their log themselves, so a long one is copied aside and cut:
 * the few lines written between the two are the price for logs that survive the launcher.
 */
export function boundLogs(paths: () => readonly string[]): { end(): void } {
  const timer = setInterval(() => {
    for (const path of paths()) void cutWhenLong(path).catch(() => undefined);
  }, LOOK_EVERY_MS);
  timer.unref();
  return { end: () => clearInterval(timer) };
}

/** Cuts one log when it is longer than allowed. */
export async function cutWhenLong(path: string, bytesMax = BYTES_MAX): Promise<void> {
  if ((await stat(path)).size <= bytesMax) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}
