/**
 * Habits that no compiler and no linter sees: names that are not ours, paths of somebody's machine, loose ends without an
 * issue, two tests of one name.
 */
const { readFileSync } = require('node:fs');
const { basename, join } = require('node:path');
const { parseSync } = require('@swc/core');
const { ROOT, repositoryFiles } = require('./files');

/** Words that the glossary replaces by others; see `docs/glossary.md`. */
const NOT_OUR_WORDS = ['wallet', 'tenant', 'escrow', 'quota', 'tariff', 'invoice', 'unitofwork'];
/** File names that say nothing about what lies in a file. */
const EMPTY_NAMES = /^(utils?|helpers?|common|misc|manager|data|info|types|constants|index2|new|old)\.[tj]s$/;

/** Lines that belong to one machine, one network, or to nobody. */
const STRAYS = [
  { what: 'a path of somebody’s machine', pattern: /(?<![\w.$}])\/(work|Users|home\/(?!node\b)[a-z]+|root)\/[\w.-]+/ },
  {
    what: 'the address of a package registry',
    pattern: /\b(registry\.(npmjs|yarnpkg)\.|proxy\.golang\.org|pypi\.org|artifactory|nexus\.)/i,
  },
  { what: 'a private network address', pattern: /\b(10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+)\b/ },
  { what: 'a loose end without an issue', pattern: /\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))/ },
  { what: 'a merge that was not finished', pattern: /^(<<<<<<<|>>>>>>>) / },
];
const TEXT = /\.(ts|js|json|md|sql|yml|yaml|sh|css|html|cir)$|(^|\/)(Dockerfile|run|LICENSE|NOTICE|\.[a-z]+)$/;
/** Locks name registries by nature; this file names what it looks for; a licence is quoted as it is. */
const EXEMPT =
  /^(package-lock\.json|tools\/check-sources\.js|tools\/temporal\/go\.(mod|sum)|LICENSE|docs\/openapi\.json|test\/histories\/)/;

const findings = repositoryFiles().flatMap((path) => {
  if (!TEXT.test(path) || EXEMPT.test(path)) return [];
  const source = readFileSync(join(ROOT, path), 'utf8');
  return [
    ...(EMPTY_NAMES.test(basename(path)) ? [`${path}: a file is named for the idea in it`] : []),
    ...straysOf(path, source),
    ...(path.endsWith('.ts') ? namesOf(path, source) : []),
  ];
});
for (const finding of findings) console.log(finding);
process.exitCode = findings.length === 0 ? 0 : 1;

function straysOf(path, source) {
  return source
    .split('\n')
    .flatMap((line, index) =>
      STRAYS.filter(({ pattern }) => pattern.test(line)).map(
        ({ what }) => `${path}:${index + 1}: ${what}: ${line.trim().slice(0, 100)}`,
      ),
    );
}

function namesOf(path, source) {
  const found = [];
  const tests = new Set();
  visit(parseSync(source, { syntax: 'typescript', target: 'es2023' }), [], (node, parents) => {
    if (node.type === 'Identifier' && typeof node.value === 'string') {
      const words = node.value
        .replace(/([a-z])([A-Z])/g, '$1 $2')
        .toLowerCase()
        .split(/[\s_]+/);
      const word = words.find((one) => NOT_OUR_WORDS.includes(one.replace(/s$/, '')));
      if (word) found.push(`${path}: ${node.value}: the glossary has another word for "${word}"`);
    }
    const title = node.type === 'CallExpression' ? titleOf(node) : undefined;
    if (title === undefined || title.isGroup) return;
    const name = [...parents, title.text].join(' › ');
    if (tests.has(name)) found.push(`${path}: two tests are called "${name}"`);
    tests.add(name);
  });
  return [...new Set(found)];
}

/** The title of a test or of a group of tests; undefined for any other call. */
function titleOf({ callee, arguments: given }) {
  let named = callee;
  // test.each(…)('title'), test.only('title')
  while (named && named.type !== 'Identifier') named = named.type === 'CallExpression' ? named.callee : named.object;
  const first = given[0]?.expression;
  if (!named || !['test', 'it', 'describe'].includes(named.value)) return undefined;
  if (first?.type === 'StringLiteral') return { text: first.value, isGroup: named.value === 'describe' };
  const [quasi] = first?.type === 'TemplateLiteral' && first.expressions.length === 0 ? first.quasis : [];
  return quasi ? { text: quasi.raw, isGroup: named.value === 'describe' } : undefined;
}

function visit(value, parents, look) {
  if (Array.isArray(value)) {
    for (const one of value) visit(one, parents, look);
  } else if (value !== null && typeof value === 'object') {
    look(value, parents);
    const title = value.type === 'CallExpression' ? titleOf(value) : undefined;
    const inside = title?.isGroup ? [...parents, title.text] : parents;
    for (const one of Object.values(value)) visit(one, inside, look);
  }
}
