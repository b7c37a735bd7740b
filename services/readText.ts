/** Reads a text file that nobody vouches for. */
import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import { InputError, type InputFile } from './service';

/**
 * The text of an input file; never more than the limit is read, whatever the size was said to be.
 *
 * @throws InputError `input_too_large`, or with the given code when it is not text.
 */
export async function readText({ path }: InputFile, limit: { bytesMax: number; code: string }): Promise<string> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(limit.bytesMax + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = (await file.read(bytes, length, bytes.length - length, null)).bytesRead;
    }
    if (length > limit.bytesMax) {
      throw new InputError('input_too_large', `the file is larger than ${limit.bytesMax / 1024 / 1024} MiB`);
    }
    const text = bytes.subarray(0, length);
    // Zero bytes are what gives a binary file away.
    if (!isUtf8(text) || text.includes(0)) throw new InputError(limit.code, 'the file is not text in UTF-8');
    return text.toString('utf8');
  } finally {
    await file.close();
  }
}
