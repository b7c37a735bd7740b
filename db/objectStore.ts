/** Inputs and results by content: a file's name is its digest, so storing it twice is storing it once. */
import type { Readable } from 'node:stream';
import { openFolderStore } from './folderStore';

export { tooLarge } from './contentFolder';
export { openFolderStore };

export interface StoredObject {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly size: number;
}

export interface ObjectStore {
  /**
   * Stores a stream. It counts only once it is whole and kept; anything else leaves nothing.
   *
   * @throws BillingError `input_too_large` as soon as more than `bytesMax` bytes came, `unavailable` when the store is
   * not reached.
   */
  put(source: Readable, bytesMax: number): Promise<StoredObject>;
  /**
   * A local file with the object's contents, not to be changed.
   *
   * @throws Error when it is not stored; BillingError `unavailable` when the store is not reached.
   */
  pathOf(digest: string): Promise<string>;
  /** @throws as `pathOf`; a stream that cannot be finished ends with such an error and without its last bytes. */
  read(digest: string): Promise<Readable>;
}

/** Where objects are kept. */
export type ObjectPlace = FolderPlace | S3Place;

export interface FolderPlace {
  readonly kind: 'folder';
  /** Absolute path. */
  readonly folder: string;
}

export interface S3Place {
  readonly kind: 's3';
  readonly bucket: string;
  /** What the keys begin with, without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** The address of an S3-compatible server; undefined means Amazon's. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** Absolute path of the folder that keeps copies on this machine. */
  readonly cacheFolder: string;
}

/** Opens the store that a configuration names. Nobody is asked anything yet: a process starts while its store is away. */
export async function createObjectStore(place: ObjectPlace): Promise<ObjectStore> {
  if (place.kind === 'folder') return openFolderStore(place.folder);
  // Loaded only here: the client of S3 costs every start that does not need it a sixth of a second.
  const { openS3Store } = require('./s3Store') as typeof import('./s3Store');
  return openS3Store(place);
}
