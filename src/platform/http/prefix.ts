import { RequestMethod, type INestApplication } from '@nestjs/common';

/** Everything stands below `/api/v1`, but for what other standards place at the root (RFC 8615), and what certificates point to. */
export function globalPrefix(app: INestApplication): void {
  app.setGlobalPrefix('api/v1', {
    exclude: [
      { path: '.well-known/*path', method: RequestMethod.GET },
      { path: 'pki/*path', method: RequestMethod.GET },
      { path: 'pki/*path', method: RequestMethod.POST },
    ],
  });
}
