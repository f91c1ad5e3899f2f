import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, constants, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Http2Exchange } from './exchange-http2.ts';

test('over HTTP/2 an answer that breaks off is no complete answer', async (t) => {
  const server = createServer();
  t.after(() => server.close());
  server.on('stream', (stream) => {
    const exchange = new Http2Exchange(stream as ServerHttp2Stream, { ':method': 'POST', ':path': '/' }, []);
    const sink = exchange.stream(200, {});
    sink.write(Buffer.from('half of it'));
    stream.once('data', () => sink.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => session.destroy());
  const request = session.request({ ':path': '/', ':method': 'POST' });
  const [text] = await once(request, 'data');
  assert.equal(String(text), 'half of it');
  request.write('enough');
  const [error] = await once(request, 'error');
  assert.match((error as Error).message, /NGHTTP2_INTERNAL_ERROR/);
  assert.equal(request.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
});
