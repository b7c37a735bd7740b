/**
 * A panorama: six square pictures around the place of the scene's camera, each 90° wide, along the axes of the scene.
 * POV-Ray takes the last camera of a scene, so each face is the scene with one more camera.
 */
import { InputFault } from '../protocol';

/** The faces, in their order: right (+x), left, up (+y), down, front (+z), back. Left-handed, as POV-Ray is. */
const FACES = [
  { direction: 'x', right: '-z', up: 'y' },
  { direction: '-x', right: 'z', up: 'y' },
  { direction: 'y', right: 'x', up: '-z' },
  { direction: '-y', right: 'x', up: 'z' },
  { direction: 'z', right: 'x', up: 'y' },
  { direction: '-z', right: '-x', up: 'y' },
] as const;

/** The text of a scene for each of the six faces. @throws InputFault when its camera has no place of its own. */
export function panoramaScenes(scene: string): string[] {
  const location = cameraLocation(withoutComments(scene));
  return FACES.map(
    ({ direction, right, up }) =>
      `${scene}\ncamera { perspective location ${location} direction 0.5*(${direction}) right ${right} up ${up} }\n`,
  );
}

/** What stands after `location` in the last camera of a text. */
function cameraLocation(text: string): string {
  const body = lastCamera(text);
  if (body === undefined) {
    throw new InputFault('A panorama needs a camera in the main scene file: there is no "camera { … }" in it.');
  }
  if (/\b(rotate|translate|scale|matrix|transform)\b/.test(body)) {
    throw new InputFault(
      'A panorama needs a camera that is placed by its location alone, without rotate or translate.',
    );
  }
  const location = /\blocation\s*(<[^<>{}#;]{1,200}>|[A-Za-z_]\w{0,60})/.exec(body)?.[1];
  if (location === undefined) {
    throw new InputFault(
      'A panorama needs a camera with a location such as "location <0, 1.6, -4>" in the main scene file.',
    );
  }
  return location;
}

function lastCamera(text: string): string | undefined {
  const starts = [...text.matchAll(/\bcamera\s*\{/g)];
  const last = starts.at(-1);
  if (!last) return undefined;
  const from = last.index + last[0].length;
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '{') depth += 1;
    if (text[at] === '}') depth -= 1;
    if (depth === 0) return text.slice(from, at);
  }
  return undefined;
}

/** Texts in quotes are blanked as well: a brace in one is no brace. */
function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
}
