/** The measure of all figures: `node:http` that parses the same JSON and answers a fixed one. Nothing is judged. */
import http from 'node:http';
import { serve } from './child.mjs';

const ALLOW = '{"result":"allow"}';
let connectAnswer = ALLOW;

const server = http.createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const question = JSON.parse((chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)).toString('utf8'));
    const json = question.topic === undefined ? connectAnswer : ALLOW;
    response.sendDate = false;
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
    response.end(json);
  });
});

serve({
  /** Opens a port; a connect is answered with `answer`. */
  async open({ answer }) {
    connectAnswer = answer;
    await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return { port: server.address().port };
  },
});
