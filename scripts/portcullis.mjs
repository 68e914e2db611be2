#!/usr/bin/env node
/** `npx portcullis <command>`: prepares the checkout, then runs the command-line interface with the same arguments. */
import { prepareOrExit } from './prepare.mjs';

await prepareOrExit();
await import('../dist/cli.js');
