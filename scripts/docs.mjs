/** `npm run docs`: writes the pages that are printed from the code; `npm run docs -- --check` only compares them. */
import { prepareOrExit, ROOT } from './prepare.mjs';

await prepareOrExit();
process.chdir(ROOT);
process.argv.splice(2, 0, 'docs');
await import('../dist/cli.js');
