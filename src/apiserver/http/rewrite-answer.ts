// The answer of a proxied thing with its links as the client is to ask for them.
import type { IncomingMessage } from 'node:http';
import { compose, type Duplex } from 'node:stream';
import { createDeflateRaw, createGunzip, createGzip, createInflateRaw } from 'node:zlib';
import type { ResponseHeaders } from './exchange.ts';
import { LinkRewriter, type ProxyPlace, rewriteUrl } from './rewrite-links.ts';

interface Answer {
  readonly headers: ResponseHeaders;
  readonly body: AsyncIterable<unknown>;
}

/** How HTML may be packed, by content encoding: what unpacks it and what packs it again. */
const PACKERS: ReadonlyMap<string, readonly [unpack: () => Duplex, pack: () => Duplex]> = new Map([
  ['gzip', [createGunzip, createGzip]],
  ['deflate', [createInflateRaw, createDeflateRaw]],
]);

/** Rewrites a redirect, else the links of HTML; everything else is as it was. `hasBody`: it was not asked for by HEAD. */
export function withLinks(
  answer: IncomingMessage,
  headers: ResponseHeaders,
  place: ProxyPlace,
  hasBody: boolean,
): Answer {
  const { location } = answer.headers;
  if (location !== undefined) return { headers: { ...headers, location: rewriteUrl(location, place) }, body: answer };
  const type = (answer.headers['content-type'] ?? '').split(';', 1)[0]!.trim();
  const encoding = answer.headers['content-encoding'] ?? '';
  const packers = PACKERS.get(encoding);
  if (type !== 'text/html' || (encoding !== '' && !packers)) return { headers, body: answer };
  const { 'content-length': _, ...rest } = headers;
  if (!hasBody) return { headers: rest, body: answer };
  if (!packers) return { headers: rest, body: rewritten(answer, place) };
  const [unpack, pack] = packers;
  return {
    headers: rest,
    body: compose(answer, unpack(), (text: AsyncIterable<unknown>) => rewritten(text, place), pack()),
  };
}

async function* rewritten(body: AsyncIterable<unknown>, place: ProxyPlace): AsyncGenerator<Buffer> {
  const rewriter = new LinkRewriter(place);
  // One character a byte: whatever the document's encoding is, it comes out as it went in.
  for await (const chunk of body) {
    const text = rewriter.push((chunk as Buffer).toString('latin1'));
    if (text !== '') yield Buffer.from(text, 'latin1');
  }
  const text = rewriter.end();
  if (text !== '') yield Buffer.from(text, 'latin1');
}
