/**
 * Drives POV-Ray: a scene to PNG pictures, each by a run of its own in the sandbox. Counters: `pixels` done, `samples`
 * taken for them, `rays` (as POV-Ray says at the end of each picture).
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Program, startProgram } from '../program';
import { declareResult, InputFault, runEngine, Stopped, writeResult } from '../protocol';
import { encodePng, UNFINISHED } from '../render/picture';
import { readWorkFile } from '../workFile';
import { type FinishedPicture, takeEarlier, writeFinished } from './earlier';
import { readFault, readWarnings } from './messages';
import { panoramaScenes } from './panorama';
import { type PovrayParameters, readParameters } from './parameters';
import { judgePicture } from './picture';
import { layOutScene, rewriteScene, type SceneFiles } from './sceneFiles';
import { type PartialPicture, readStateFile } from './stateFile';
import { readStatistics } from './statistics';

/** One picture to make. */
interface Order {
  /** The result, without its ending. */
  readonly name: string;
  /** What POV-Ray calls it in `work/`, without its ending. */
  readonly file: string;
  readonly options: readonly string[];
  /** The scene, where each picture has its own. */
  readonly text?: string;
}

const MESSAGES_BYTES_MAX = 256 * 1024;
const PICTURE_BYTES_MAX = 512 * 1024 * 1024;
/** Half the time that a stop may take. POV-Ray was measured to need 0.45 s. */
const STOP_PATIENCE_MS = 1500;

const parameters = readParameters(readFileSync('parameters.json', 'utf8'));
const { width, height } = parameters;
const samplesPerPixel = parameters.samplesPerSide ** 2;
const pixelsEach = width * height;
const pixelsTotal = pixelsEach * (parameters.panorama ? 6 : parameters.frames);
const whole = { pictures: 0, rays: 0 };
/** As the program says it: whole pictures and blocks, not the lines of progress that our own counters follow. */
const stated = { pixels: 0, samples: 0, rays: 0 };
let isStated = false;
let pixelsOfCurrent = 0;
/** Pixels of the picture at hand that a lost attempt did: POV-Ray tells of the others only. */
let pixelsBefore = 0;
let running: Program | undefined;
let isStopped = false;

void runEngine({
  done: () => {
    const pixels = whole.pictures * pixelsEach + pixelsOfCurrent;
    return {
      fraction: pixels / pixelsTotal,
      counters: { pixels, samples: pixels * samplesPerPixel, rays: whole.rays },
    };
  },
  compute,
  stop: () => {
    isStopped = true;
    running?.signal('SIGINT');
    // Whatever its parser is at: finished blocks are in the state file either way.
    setTimeout(() => running?.signal('SIGKILL'), STOP_PATIENCE_MS);
  },
  // Of a scene that failed POV-Ray states nothing.
  statistics: () => (isStated ? stated : undefined),
});

async function compute(): Promise<void> {
  mkdirSync('work', { recursive: true });
  const scene = await layOutScene('input');
  const orders = ordersOf(parameters, scene);
  const finished: FinishedPicture[] = [];
  const finish = (picture: FinishedPicture): void => {
    finished.push(picture);
    declareResult(`${picture.name}.png`, 'image/png');
    const { statistics } = picture;
    pixelsOfCurrent = 0;
    whole.pictures += 1;
    whole.rays += statistics.rays;
    stated.pixels += statistics.width * statistics.height;
    // POV-Ray counts samples where there are several a pixel.
    stated.samples += samplesPerPixel === 1 ? statistics.width * statistics.height : statistics.samples;
    stated.rays += statistics.rays;
  };
  const summary = (): void => {
    const { finiteObjects, lightSources } = finished.at(-1)?.statistics ?? {};
    const facts = { width, height, pictures: whole.pictures, samplesPerPixel, threads: parameters.threads };
    const secondsPerPicture = finished.map(({ seconds }) => seconds);
    const warnings = [...new Set(finished.flatMap((picture) => picture.warnings))];
    const text = { ...facts, ...stated, finiteObjects, lightSources, secondsPerPicture, warnings };
    isStated = true;
    writeResult('render.json', 'application/json', `${JSON.stringify(text, undefined, 2)}\n`);
  };
  const files = orders.map(({ file }) => file);
  for (const picture of await takeEarlier(files, { width, height })) finish(picture);
  const begun = orders[finished.length];
  for (const order of orders.slice(finished.length)) {
    // Only what a lost attempt left is continued, and not what a scene may have written for the pictures after it.
    const picture = order === begun ? await renderBegun(scene, order) : await render(scene, order);
    if (!picture) {
      keepPartial(order);
      summary();
      throw new Stopped();
    }
    writeFinished([...finished, picture]);
    finish(picture);
  }
  summary();
}

/** By what signals a program ends that does something wrong itself: illegal instruction, abort, bus, arithmetic, address. */
const CRASHES: ReadonlySet<number> = new Set([4, 6, 7, 8, 11].map((signal) => 128 + signal));

function ordersOf({ frames, panorama }: PovrayParameters, scene: SceneFiles): Order[] {
  if (panorama) {
    return panoramaScenes(scene.text.toString('latin1')).map((text, index) => {
      const name = `face-${index + 1}`;
      return { name, file: name, options: [`+O${name}.png`], text };
    });
  }
  if (frames === 1) return [{ name: 'image', file: 'image', options: ['+Oimage.png'] }];
  return Array.from({ length: frames }, (_, index) => {
    const frame = index + 1;
    // POV-Ray adds the frame's number, with as many digits as the last one has.
    const file = `frame-${String(frame).padStart(String(frames).length, '0')}`;
    const options = ['+Oframe-.png', '+KFI1', `+KFF${frames}`, `+SF${frame}`, `+EF${frame}`];
    return { name: `frame-${String(frame).padStart(4, '0')}`, file, options };
  });
}

/** Renders what a lost attempt left to do of a picture, as {@link render} does. */
async function renderBegun(scene: SceneFiles, order: Order): Promise<FinishedPicture | undefined> {
  pixelsBefore = stateOf(order)?.pixels ?? 0;
  pixelsOfCurrent = pixelsBefore;
  try {
    return await render(scene, order);
  } catch (error) {
    if (pixelsBefore === 0) throw error;
    // It may have been what was left, and only from the scene alone can it be told whose fault it is.
    pixelsBefore = 0;
    return await render(scene, order);
  } finally {
    pixelsBefore = 0;
  }
}

/**
 * Renders one picture into `out/`; nothing after a stop.
 *
 * @throws InputFault with POV-Ray's own sentence when the scene is wrong.
 */
async function render(scene: SceneFiles, { name, file, options, text }: Order): Promise<FinishedPicture | undefined> {
  if (isStopped) return undefined;
  if (text !== undefined) rewriteScene(scene, text);
  const startedAt = performance.now();
  // Unlike the others, these names are not known to the scene, which can write files of its own. A name that starts
  // like "false" would be taken for a switch.
  const report = `report-${randomUUID()}`;
  const { main, libraries } = scene;
  const { samplesPerSide, threads } = parameters;
  const program = startProgram(
    'povray',
    [
      ...[`+I${main}`, '+FN8', `+W${width}`, `+H${height}`, `+WT${threads}`, '-D', '-P'],
      pixelsBefore > 0 ? '+C' : '-C',
      // Every pixel gets all its samples, so that their number is known before and the same on each machine.
      ...(samplesPerSide === 1 ? ['-A'] : ['+AM1', '+A0.0', `+R${samplesPerSide}`, '-J']),
      ...['-GA', `+GS${report}.statistics`, `+GF${report}.fault`, `+GW${report}.warnings`, 'File_Gamma=sRGB'],
      ...libraries.map((folder) => `+L${folder}`),
      ...options,
    ],
    { onLine: readProgress },
  );
  running = program;
  const end = await program.end;
  running = undefined;
  const messages = (kind: string): string =>
    takeWorkFile(`${report}.${kind}`, MESSAGES_BYTES_MAX)?.toString('utf8') ?? '';
  if (end.code !== 0 && isStopped) return undefined;
  const fault = readFault(messages('fault'), main);
  if (end.code === 1 && fault !== undefined) throw new InputFault(fault);
  if (CRASHES.has(end.code ?? 0)) {
    throw new InputFault(`POV-Ray itself crashed on this scene, by signal ${(end.code ?? 128) - 128}.`);
  }
  if (end.code !== 0)
    throw new Error(`povray ended with ${end.code ?? end.signal}: ${fault ?? end.output.slice(-2000)}`);
  // Success is not an exit code: the picture is decoded, and POV-Ray must have said what it did for it.
  const statistics = readStatistics(messages('statistics'));
  if (statistics?.width !== width || statistics.height !== height) {
    throw new Error('povray ended well and wrote no statistics of this picture');
  }
  const picture = takeWorkFile(`${file}.png`, PICTURE_BYTES_MAX);
  const judged = picture ? await judgePicture(picture, parameters) : { fault: 'was not written' };
  if (!picture || judged.fault !== undefined) throw new Error(`povray ended well, but its picture ${judged.fault}`);
  writeFileSync(join('out', `${name}.png`), picture);
  const warnings = readWarnings(messages('warnings'));
  return {
    name,
    statistics: { ...statistics, samples: statistics.samples + pixelsBefore * samplesPerPixel },
    seconds: Math.round(performance.now() - startedAt) / 1000,
    warnings: judged.warning ? [...warnings, `${name}: ${judged.warning}`] : warnings,
  };
}

/** Reads a file and removes it: an animation would fill the folder. */
function takeWorkFile(name: string, bytesMax: number): Buffer | undefined {
  const bytes = readWorkFile(name, bytesMax);
  rmSync(join('work', name), { force: true });
  return bytes;
}

/** POV-Ray names pixels of the picture at hand; borders that are done again are not counted twice. */
function readProgress(line: string): void {
  const [, pixels] = /^Rendered (\d+) of \d+ pixels/.exec(line) ?? [];
  if (pixels === undefined) return;
  pixelsOfCurrent = Math.max(pixelsOfCurrent, Math.min(pixelsBefore + Number(pixels), pixelsEach));
}

/** What there is of the picture that was stopped. */
function keepPartial(order: Order): void {
  const partial = stateOf(order);
  if (!partial) return;
  pixelsOfCurrent = Math.max(pixelsOfCurrent, partial.pixels);
  stated.pixels += partial.pixels;
  stated.samples += partial.pixels * samplesPerPixel;
  writeFileSync(join('out', 'partial.png'), encodePng(partial.rgb, width, height));
  declareResult('partial.png', 'image/png');
}

/** The finished blocks of a picture that is not done. */
function stateOf({ file }: Order): PartialPicture | undefined {
  return readStateFile(`${file}.pov-state`, { width, height, unfinished: UNFINISHED });
}
