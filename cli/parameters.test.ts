import type { Service } from './client';
import { WrongUsage } from './failures';
import { mediaTypeOf, readParameters, readVariants } from './parameters';

const SERVICE = {
  name: 'rendering',
  accepts: [{ extension: '.glb', mediaType: 'model/gltf-binary', title: 'scene' }],
  parameters: {
    properties: {
      width: { type: 'integer' },
      quality: { type: 'string' },
      plots: { type: 'array' },
      draft: { type: 'boolean' },
    },
  },
} as unknown as Service;

test('parameters get the types that the service declares', () => {
  const texts = ['width=640', 'quality=1e3', 'plots=v(a,b),i(v1)', 'draft=true'];
  expect(readParameters(SERVICE, texts)).toEqual({
    width: 640,
    quality: '1e3',
    plots: ['v(a,b)', 'i(v1)'],
    draft: true,
  });
  expect(readParameters(SERVICE, ['plots=["out"]'])).toEqual({ plots: ['out'] });
});

test.each([
  ['width', /name=value/],
  ['=1', /name=value/],
  ['widht=1', /has no parameter "widht"; it has: width, quality, plots, draft/],
  ['toString=1', /has no parameter/],
  ['width=1e3', /is a number/],
  ['draft=yes', /true or false/],
])('--param %s is refused with a sentence', (text, sentence) => {
  expect(() => readParameters(SERVICE, [text])).toThrow(sentence);
  expect(() => readParameters(SERVICE, [text])).toThrow(WrongUsage);
});

test('a parameter that is given twice is refused, since one of the two would be lost', () => {
  expect(() => readParameters(SERVICE, ['width=1', 'width=2'])).toThrow('given twice');
});

test('a file goes under the media type that the service gives its extension', () => {
  expect(mediaTypeOf(SERVICE, 'Scene.GLB')).toBe('model/gltf-binary');
  expect(mediaTypeOf(SERVICE, 'scene.blend')).toBe('application/octet-stream');
});

test('variants are every combination of the values, named by them', () => {
  const variants = readVariants(SERVICE, ['quality=standard|final', 'width=640|1280']);
  expect(variants.map(({ name }) => name)).toEqual([
    'quality=standard width=640',
    'quality=standard width=1280',
    'quality=final width=640',
    'quality=final width=1280',
  ]);
  expect(variants[3]?.parameters).toEqual({ quality: 'final', width: 1280 });
});

test.each([
  [['quality'], /name=value\|value/],
  [['depth=1|2'], /no parameter "depth"/],
  [['width=1|2', 'width=3'], /given twice/],
  [[`width=${Array.from({ length: 51 }, (_, width) => width).join('|')}`], /at most 50/],
])('variants that cannot be meant are refused: %j', (texts, sentence) => {
  expect(() => readVariants(SERVICE, texts)).toThrow(sentence);
});
