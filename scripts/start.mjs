/** `npm start`: prepares the checkout, then runs the program in this very process, so signals and exit codes are its own. */
import { prepareOrExit } from './prepare.mjs';

await prepareOrExit();
await import('../dist/main.js');
