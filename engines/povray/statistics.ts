/** What POV-Ray itself says that it did for one picture. */
export interface PictureStatistics {
  readonly width: number;
  readonly height: number;
  /** Zero when each pixel had one sample. */
  readonly samples: number;
  readonly rays: number;
  readonly finiteObjects: number;
  readonly lightSources: number;
}

/**
 * Reads a statistics file (`+GS`), or nothing from one that is not whole. Its `Pixels` are left out: they count the
 * borders of blocks again when there are several samples a pixel (81,760 for a picture of 76,800).
 */
export function readStatistics(text: string): PictureStatistics | undefined {
  const numbers = (pattern: RegExp) => pattern.exec(text)?.slice(1).map(Number) ?? [];
  const [width, height] = numbers(/^Image Resolution (\d+) x (\d+)/m);
  const [samples] = numbers(/^Pixels: +\d+ +Samples: +(\d+)/m);
  const [rays] = numbers(/^Rays: +(\d+)/m);
  const [finiteObjects = 0] = numbers(/^Finite Objects: +(\d+)/m);
  const [lightSources = 0] = numbers(/^Light Sources: +(\d+)/m);
  if (width === undefined || height === undefined || samples === undefined || rays === undefined) return undefined;
  return { width, height, samples, rays, finiteObjects, lightSources };
}
