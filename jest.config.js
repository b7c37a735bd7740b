/** Two projects: `quick` needs no server and runs on every Node version; `servers` runs on a real Postgres and Temporal. */
const common = {
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2023', parser: { syntax: 'typescript' } }, sourceMaps: 'inline' }],
    '/node_modules/temporal-.+\\.js$': ['@swc/jest', { jsc: { target: 'es2023' }, module: { type: 'commonjs' } }],
  },
  // Modules that exist as ESM alone: Node loads them with require, jest before Node 24.9 does not.
  transformIgnorePatterns: ['/node_modules/(?!temporal-(polyfill|utils)/)'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
};

module.exports = {
  // Much of the time is spent waiting for servers: on two cores one worker leaves half of them idle.
  maxWorkers: '100%',
  projects: [
    {
      ...common,
      displayName: 'quick',
      testMatch: ['<rootDir>/**/*.test.ts'],
      testPathIgnorePatterns: [...common.testPathIgnorePatterns, '\\.servers\\.test\\.ts$'],
    },
    {
      ...common,
      displayName: 'servers',
      testMatch: ['<rootDir>/**/*.servers.test.ts'],
      globalSetup: '<rootDir>/test/servers/start.ts',
      globalTeardown: '<rootDir>/test/servers/stop.ts',
    },
  ],
};
