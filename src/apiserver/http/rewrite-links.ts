// What a proxied thing links to within itself is found below its proxy path: absolute paths in redirects and in HTML get that
// path before them, as upstream's proxy transport does. HTML goes through as it comes, byte for byte but for such links.
import { posix } from 'node:path';

/** A proxied thing as its client sees it. */
export interface ProxyPlace {
  /** The path of the thing's root at the API server, without a slash at its end. */
  readonly prefix: string;
  /** host:port that the request went to. */
  readonly host: string;
  /** host:port that the client asked. */
  readonly clientHost: string;
}

/** The URL as it is to be asked of the API server; one that is relative or leads elsewhere is left alone. */
export function rewriteUrl(url: string, { prefix, host, clientHost }: ProxyPlace): string {
  const [, scheme = '', authority = '', path = '', rest = ''] =
    /^([a-z][a-z0-9+.-]*:)?(?:\/\/([^/?#]*))?([^?#]*)(.*)$/is.exec(url) ?? [];
  if ((authority !== '' && authority !== host && authority !== clientHost) || !path.startsWith('/')) return url;
  const origin = authority !== '' && authority === clientHost ? `${scheme}//${authority}` : '';
  return `${origin}${path.startsWith(prefix) ? path : posix.join(prefix, path)}${rest}`;
}

/** Attributes that are URLs, by element. */
const LINKS: ReadonlyMap<string, readonly string[]> = new Map([
  ['a', ['href']],
  ['applet', ['codebase']],
  ['area', ['href']],
  ['audio', ['src']],
  ['base', ['href']],
  ['blockquote', ['cite']],
  ['body', ['background']],
  ['button', ['formaction']],
  ['command', ['icon']],
  ['del', ['cite']],
  ['embed', ['src']],
  ['form', ['action']],
  ['frame', ['longdesc', 'src']],
  ['head', ['profile']],
  ['html', ['manifest']],
  ['iframe', ['longdesc', 'src']],
  ['img', ['longdesc', 'src', 'usemap']],
  ['input', ['src', 'usemap', 'formaction']],
  ['ins', ['cite']],
  ['link', ['href']],
  ['object', ['classid', 'codebase', 'data', 'usemap']],
  ['q', ['cite']],
  ['script', ['src']],
  ['source', ['src']],
  ['video', ['poster', 'src']],
]);

/** Elements whose content is text whatever it looks like. */
const TEXT_ELEMENTS = new Set([
  'iframe',
  'noembed',
  'noframes',
  'plaintext',
  'script',
  'style',
  'textarea',
  'title',
  'xmp',
]);
/** A tag that is longer goes through as it is. */
const MAX_TAG_BYTES = 64 << 10;
const COMMENT = '<!--';

/** Rewrites the links of a document that comes in pieces; a piece is text of one character a byte. */
export class LinkRewriter {
  readonly #place: ProxyPlace;
  #rest = '';
  /** Up to and with this, or up to the end tag of this element, there are no tags. */
  #until: { readonly mark: string } | { readonly element: string } | undefined;

  constructor(place: ProxyPlace) {
    this.#place = place;
  }

  /** What can be said of the document after this piece. */
  push(piece: string): string {
    this.#rest += piece;
    return this.#take(false);
  }

  end(): string {
    return this.#take(true);
  }

  #take(ended: boolean): string {
    const text = this.#rest;
    let out = '';
    let at = 0;
    while (at < text.length) {
      const token = this.#until ? this.#skip(text, at) : this.#token(text, at);
      // Incomplete: more may come, unless there is none, or too much of it.
      if (!token && !ended && text.length - at < MAX_TAG_BYTES) break;
      if (!token && !this.#until) this.#until = { mark: '>' };
      out += token?.text ?? text[at];
      at = token?.end ?? at + 1;
    }
    this.#rest = text.slice(at);
    return out;
  }

  /** The part without tags that goes on at `at`, as far as it is there. */
  #skip(text: string, at: number): Token | undefined {
    const until = this.#until!;
    if ('mark' in until) {
      const found = text.indexOf(until.mark, at);
      if (found < 0) return upTo(text, at, text.length - until.mark.length + 1);
      this.#until = undefined;
      return upTo(text, at, found + until.mark.length);
    }
    const close = new RegExp(`</${until.element}(?=[\\s/>])`, 'gi');
    close.lastIndex = at;
    const found = close.exec(text);
    // The mark, and the character behind it, may be cut in two.
    if (!found) return upTo(text, at, text.length - until.element.length - 2);
    this.#until = { mark: '>' };
    return { text: text.slice(at, found.index), end: found.index };
  }

  #token(text: string, at: number): Token | undefined {
    if (text[at] !== '<') {
      const next = text.indexOf('<', at);
      return upTo(text, at, next < 0 ? text.length : next);
    }
    if (text.length - at < COMMENT.length) return undefined;
    if (/[a-z]/i.test(text[at + 1]!)) return this.#tag(text, at);
    if (text.startsWith(COMMENT, at)) this.#until = { mark: '-->' };
    else if (/[!?/]/.test(text[at + 1]!)) this.#until = { mark: '>' };
    return upTo(text, at, at + 1);
  }

  /** A start tag, when all of it is there. */
  #tag(text: string, at: number): Token | undefined {
    const nameEnd = endOf(/[^\s/>]*/y, text, at + 1);
    const element = text.slice(at + 1, nameEnd).toLowerCase();
    const links = LINKS.get(element) ?? [];
    let out = '';
    let copied = at;
    for (let i = nameEnd; ; ) {
      i = endOf(/[\s/]*/y, text, i);
      if (text[i] === '>') {
        if (TEXT_ELEMENTS.has(element)) this.#until = { element };
        return { text: out + text.slice(copied, i + 1), end: i + 1 };
      }
      const attribute = attributeAt(text, i);
      if (!attribute) return undefined;
      const { name, value, end } = attribute;
      if (value && links.includes(name)) {
        out += text.slice(copied, value.from) + rewriteUrl(text.slice(value.from, value.to), this.#place);
        copied = value.to;
      }
      i = end;
    }
  }
}

interface Token {
  /** What becomes of it. */
  readonly text: string;
  /** Where the next begins. */
  readonly end: number;
}

function upTo(text: string, at: number, end: number): Token | undefined {
  return end > at ? { text: text.slice(at, end), end } : undefined;
}

/** Where a sticky expression's match ends. */
function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return at + (pattern.exec(text)?.[0].length ?? 0);
}

interface Attribute {
  readonly name: string;
  readonly value?: { readonly from: number; readonly to: number };
  readonly end: number;
}

/** The attribute that begins at `at`; undefined: it is not all there. */
function attributeAt(text: string, at: number): Attribute | undefined {
  if (at >= text.length) return undefined;
  const nameEnd = endOf(/[^\s/>][^\s/>=]*/y, text, at);
  const name = text.slice(at, nameEnd).toLowerCase();
  const equals = endOf(/\s*/y, text, nameEnd);
  if (equals >= text.length) return undefined;
  if (text[equals] !== '=') return { name, end: equals };
  const from = endOf(/\s*/y, text, equals + 1);
  const quote = text[from];
  if (quote === '"' || quote === "'") {
    const to = text.indexOf(quote, from + 1);
    return to < 0 ? undefined : { name, value: { from: from + 1, to }, end: to + 1 };
  }
  const to = endOf(/[^\s>]*/y, text, from);
  return to >= text.length ? undefined : { name, value: { from, to }, end: to };
}
