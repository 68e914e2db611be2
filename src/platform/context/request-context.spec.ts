import { requestContext, requestOver, withRequestContext } from './request-context.js';

const context = (requestId: string) => ({ requestId, ip: '192.0.2.1' });

describe('The request context', () => {
  it('is there for the request that it was opened for, over every wait', async () => {
    const seen = await withRequestContext(context('a'), async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return requestContext()?.requestId;
    });
    requestOver();
    expect(seen).toBe('a');
  });

  it('stays with each of several requests when one of them ends', async () => {
    let goOn: () => void = () => undefined;
    const waiting = new Promise<void>((resolve) => (goOn = resolve));
    const first = withRequestContext(context('a'), async () => {
      await waiting;
      return requestContext()?.requestId;
    });
    withRequestContext(context('b'), () => undefined);
    requestOver();
    goOn();
    expect(await first).toBe('a');
    requestOver();
  });

  it('comes back after all requests had ended', async () => {
    withRequestContext(context('a'), () => undefined);
    requestOver();
    expect(requestContext()).toBeUndefined();
    const seen = await withRequestContext(context('b'), async () => {
      await Promise.resolve();
      return requestContext()?.requestId;
    });
    requestOver();
    expect(seen).toBe('b');
    expect(requestContext()).toBeUndefined();
  });
});
