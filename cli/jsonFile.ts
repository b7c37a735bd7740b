/** Requests that people keep in files. */
import { readFile } from 'node:fs/promises';
import { WrongUsage } from './failures';

/** @throws WrongUsage when the file cannot be read or holds no JSON. */
export async function readJsonFile<Request>(file: string): Promise<Request> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new WrongUsage(`${file} cannot be read: ${cause.message}`, { cause });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WrongUsage(`${file} is not JSON: ${(cause as Error).message}`, { cause });
  }
}
