/** The object store in a folder that all processes share. */
import { createReadStream } from 'node:fs';
import { openContentFolder } from './contentFolder';
import type { ObjectStore } from './objectStore';

export async function openFolderStore(folder: string): Promise<ObjectStore> {
  const files = await openContentFolder(folder);
  return {
    put: (source, bytesMax) =>
      files.receive(source, bytesMax, async (received) => {
        await files.keep(received);
        return { digest: received.digest, size: received.size };
      }),
    pathOf: (digest) => files.locate(digest),
    read: async (digest) => createReadStream(await files.locate(digest)),
  };
}
