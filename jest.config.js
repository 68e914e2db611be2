import fs from 'node:fs';

const { exclude, ...swc } = JSON.parse(fs.readFileSync(new URL('.swcrc', import.meta.url), 'utf8'));
const commonjs = { type: 'commonjs', ignoreDynamic: false };

// Jest on Node 20 cannot require() an ES module, so everything, node_modules included, is compiled to CommonJS.
const shared = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': ['$1', '$1.js'] },
  transform: {
    '^.+\\.ts$': ['@swc/jest', { ...swc, module: commonjs, swcrc: false }],
    '^.+\\.m?js$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'ecmascript' }, target: 'es2022' }, module: commonjs, swcrc: false },
    ],
  },
  transformIgnorePatterns: [],
  setupFiles: ['reflect-metadata'],
};

const services = { globalSetup: '<rootDir>/test/global-setup.cjs', globalTeardown: '<rootDir>/test/global-teardown.cjs' };

/** @type {import('jest').Config} */
export default {
  testTimeout: 120_000,
  maxWorkers: 2,
  // Every file compiles and loads its own world; a worker that has seen many is replaced.
  workerIdleMemoryLimit: '1500MB',
  cacheDirectory: '<rootDir>/.cache/jest',
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/src/**/*.spec.ts', '<rootDir>/test/architecture.spec.ts'] },
    { ...shared, ...services, displayName: 'contract', testMatch: ['<rootDir>/test/contract/**/*.spec.ts'] },
    { ...shared, ...services, displayName: 'integration', testMatch: ['<rootDir>/test/integration/**/*.spec.ts'] },
    { ...shared, ...services, displayName: 'e2e', testMatch: ['<rootDir>/test/e2e/**/*.spec.ts'] },
    { ...shared, ...services, displayName: 'broker', testMatch: ['<rootDir>/test/broker/**/*.spec.ts'] },
  ],
};
