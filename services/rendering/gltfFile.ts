/**
 * Opens a glTF file that nobody trusts: only its header and its JSON are read, through one file descriptor, and the
 * JSON is counted before it is parsed, so that a file costs memory in proportion to what a scene may honestly hold.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { InputError, type InputFile } from '../service';

export interface GltfFile {
  readonly format: 'glb' | 'gltf';
  readonly json: unknown;
  /** How long the binary chunk is; nothing of it was read. */
  readonly binaryBytes: number | undefined;
}

const MEBIBYTE = 1024 * 1024;
const GLB_JSON_BYTES_MAX = 16 * MEBIBYTE;
const GLTF_BYTES_MAX = 64 * MEBIBYTE;
/** Values of the JSON, containers included. A parsed value takes up to some fifty bytes. */
const VALUES_MAX = 4_000_000;
const NESTING_MAX = 64;

const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;

/** @throws InputError `input_not_gltf`, `input_truncated`, `input_malformed` or `input_too_large`. */
export async function openGltf(input: InputFile, bytesMax: number): Promise<GltfFile> {
  const file = await open(input.path, 'r');
  try {
    // The file itself says how long it is; what was written down about it may be wrong.
    const { size } = await file.stat();
    const head = await read(file, 0, Math.min(20, size));
    const isGlb = head.length >= 4 && head.readUInt32LE(0) === MAGIC;
    if (!isGlb && !/^(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{|$)/.test(head.toString('latin1'))) {
      throw new InputError('input_not_gltf', 'The file is not glTF: it is neither a .glb nor JSON.');
    }
    if (size > bytesMax) {
      throw new InputError('input_too_large', `The file is larger than ${bytesMax / MEBIBYTE} MiB.`);
    }
    return isGlb ? await openGlb(file, head, size) : await openText(file, size);
  } finally {
    await file.close();
  }
}

async function openGlb(file: FileHandle, head: Buffer, size: number): Promise<GltfFile> {
  if (head.length < 20) throw truncated('it ends inside its header');
  const version = head.readUInt32LE(4);
  const length = head.readUInt32LE(8);
  if (version !== 2)
    throw new InputError('input_not_gltf', `The GLB container has version ${version}; only 2 is known.`);
  if (length > size) throw truncated(`its header says ${length} bytes and there are ${size}`);
  if (length < size) throw malformed(`its header says ${length} bytes and there are ${size}`);
  const jsonLength = head.readUInt32LE(12);
  if (head.readUInt32LE(16) !== JSON_CHUNK) {
    throw new InputError('input_not_gltf', 'The file is not glTF: its first chunk is not JSON.');
  }
  if (20 + jsonLength > size) throw truncated('its JSON chunk passes the end');
  if (jsonLength > GLB_JSON_BYTES_MAX) {
    throw new InputError('input_too_large', `The scene's JSON is larger than ${GLB_JSON_BYTES_MAX / MEBIBYTE} MiB.`);
  }
  const json = parse(await read(file, 20, jsonLength));
  return { format: 'glb', json, binaryBytes: await binaryChunk(file, 20 + jsonLength, size) };
}

/** The length of the binary chunk, which comes right after the JSON if there is one. */
async function binaryChunk(file: FileHandle, at: number, size: number): Promise<number | undefined> {
  if (size === at) return undefined;
  if (size < at + 8) throw truncated('it ends inside the header of a chunk');
  const head = await read(file, at, 8);
  const length = head.readUInt32LE(0);
  if (at + 8 + length > size) throw truncated('its binary chunk passes the end');
  return head.readUInt32LE(4) === BINARY_CHUNK ? length : undefined;
}

async function openText(file: FileHandle, size: number): Promise<GltfFile> {
  if (size > GLTF_BYTES_MAX) {
    const limit = `${GLTF_BYTES_MAX / MEBIBYTE} MiB`;
    throw new InputError('input_too_large', `A .gltf text is at most ${limit}; put larger scenes into a .glb.`);
  }
  return { format: 'gltf', json: parse(await read(file, 0, size)), binaryBytes: undefined };
}

function parse(text: Buffer): unknown {
  boundStructure(text);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new InputError('input_not_gltf', 'The file is not glTF: its JSON cannot be parsed.', { cause });
  }
}

/** Counts the values and the nesting of a JSON text without building any of them. */
function boundStructure(text: Buffer): void {
  let values = 0;
  let nesting = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === 0x22) {
      at = endOfString(text, at);
    } else if (byte === 0x7b || byte === 0x5b) {
      values++;
      if (++nesting > NESTING_MAX) throw malformed(`its JSON is nested deeper than ${NESTING_MAX} levels`);
    } else if (byte === 0x7d || byte === 0x5d) {
      nesting--;
    } else if (byte === 0x2c && ++values > VALUES_MAX) {
      throw new InputError('input_too_large', `The scene's JSON holds more than ${VALUES_MAX} values.`);
    }
  }
}

/** Where the string that starts at a quote ends. Long strings are data: URIs, so this looks from quote to quote. */
function endOfString(text: Buffer, start: number): number {
  for (let at = text.indexOf(0x22, start + 1); at !== -1; at = text.indexOf(0x22, at + 1)) {
    let escapes = 0;
    while (text[at - 1 - escapes] === 0x5c) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw truncated('it ended while it was read');
    done += bytesRead;
  }
  return buffer;
}

function truncated(how: string): InputError {
  return new InputError('input_truncated', `The file is truncated: ${how}.`);
}

/** A glTF file that contradicts itself. */
export function malformed(how: string): InputError {
  return new InputError('input_malformed', `The scene is malformed: ${how}.`);
}
