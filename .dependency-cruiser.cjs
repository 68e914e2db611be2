/**
 * The floors of docs/architecture.md: an import may only go down, rooms of one floor are strangers, and a room is
 * entered by its module, service, gate, errors, stream, decisions and plain files only.
 */
const path = require('node:path');

/** From the ground up; the files that lie in src itself (main, app, cli) and the migrations are the top floor. */
const FLOORS = [
  ['platform'],
  ['access'],
  ['audit', 'rate-limit', 'idempotency'],
  ['users', 'devices'],
  ['auth', 'credentials', 'device-secrets', 'pki'],
  ['lifecycle'],
  ['broker', 'messages', 'embedded', 'broker-lint'],
];
const ROOMS = FLOORS.flat();
const TOP = '^src/([^/]+\\.ts$|migrations/)';
const rooms = (names) => `^src/(${names.join('|')})/`;

const upward = FLOORS.map((names, floor) => ({
  name: `floor-${floor}-imports-upward`,
  comment: 'An import may only go to a lower floor.',
  severity: 'error',
  from: { path: rooms(names) },
  to: { path: [TOP, ...(floor + 1 < FLOORS.length ? [rooms(FLOORS.slice(floor + 1).flat())] : [])] },
}));

const sideways = FLOORS.filter((names) => names.length > 1).map((names) => ({
  name: `strangers-${names.join('-')}`,
  comment: 'Rooms of one floor do not know each other.',
  severity: 'error',
  from: { path: rooms(names) },
  to: { path: rooms(names), pathNot: '^src/$1/' },
}));

/** What the two doors on the message path may take from the rooms below besides gates, modules and plain files. */
const doors = [
  { door: 'broker', services: ['lifecycle/lifecycle.service'] },
  { door: 'messages', services: ['lifecycle/lifecycle.service', 'audit/audit.service', 'devices/devices.service'] },
].map(({ door, services }) => ({
  name: `${door}-takes-gates-only`,
  comment: 'The message path goes through gates; a service may be called only where the architecture says so.',
  severity: 'error',
  from: { path: `^src/${door}/` },
  to: {
    path: `^src/(${ROOMS.filter((room) => room !== 'platform').join('|')})/.*\\.service\\.ts$`,
    pathNot: [`^src/${door}/`, ...services.map((service) => `^src/${service}\\.ts$`)],
  },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...upward,
    ...sideways,
    ...doors,
    {
      name: 'rooms-have-insides',
      comment: 'Repositories, controllers, entities, request shapes and guards belong to their room alone.',
      severity: 'error',
      from: { path: `^src/(${ROOMS.join('|')})/` },
      to: {
        path: `${rooms(ROOMS.slice(1))}.*\\.(repository|controller|entity|dto|guard|handler)\\.ts$`,
        pathNot: '^src/$1/',
      },
    },
    {
      name: 'unknown-room',
      comment: 'A new folder in src needs a floor here and in docs/architecture.md.',
      severity: 'error',
      from: {},
      to: { path: '^src/[^/]+/', pathNot: [rooms([...ROOMS, 'migrations'])] },
    },
    {
      name: 'unknown-room-imports',
      comment: 'A new folder in src needs a floor here and in docs/architecture.md.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: [rooms([...ROOMS, 'migrations'])] },
      to: {},
    },
    {
      name: 'no-circular',
      comment: 'A circle means two files are one, or a third is missing.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'src-stands-alone',
      comment: 'The program knows neither its tests nor the scripts around it.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts|dist|docs|docker)/' },
    },
    {
      name: 'no-development-packages',
      comment: 'What runs in production is a dependency, not a devDependency.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    exclude: { path: '\\.spec\\.ts$' },
    doNotFollow: { path: 'node_modules' },
    // Imports of types count: a floor is a matter of knowledge, not of what is left after compiling.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: path.join(__dirname, 'tsconfig.json') },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
