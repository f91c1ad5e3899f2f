import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LinkRewriter, type ProxyPlace, rewriteUrl } from './rewrite-links.ts';

const place: ProxyPlace = { prefix: '/pods/p/proxy', host: '10.0.0.7:80', clientHost: 'api:6443' };

function rewritten(...pieces: readonly string[]): string {
  const rewriter = new LinkRewriter(place);
  return pieces.map((piece) => rewriter.push(piece)).join('') + rewriter.end();
}

for (const [url, expected] of [
  ['/x', '/pods/p/proxy/x'],
  ['/', '/pods/p/proxy/'],
  ['/a//b/../c/?q=/d#/e', '/pods/p/proxy/a/c/?q=/d#/e'],
  ['http://10.0.0.7:80/x', '/pods/p/proxy/x'],
  ['https://api:6443/x', 'https://api:6443/pods/p/proxy/x'],
  ['//10.0.0.7:80/x', '/pods/p/proxy/x'],
  ['/pods/p/proxy/x', '/pods/p/proxy/x'],
  ['x/y', 'x/y'],
  ['', ''],
  ['#top', '#top'],
  ['?q', '?q'],
  ['mailto:a@b', 'mailto:a@b'],
  ['http://elsewhere/x', 'http://elsewhere/x'],
  ['//elsewhere/x', '//elsewhere/x'],
] as const)
  test(`the URL ${url}`, () => assert.equal(rewriteUrl(url, place), expected));

for (const [what, html, expected] of [
  ['link', '<a href="/rewriteme">test</a>', '<a href="/pods/p/proxy/rewriteme">test</a>'],
  ['single quotes, capitals', "<A id=b HREF = '/x'>", "<A id=b HREF = '/pods/p/proxy/x'>"],
  ['no quotes', "<img alt=it's src=/x><a href=/y>", "<img alt=it's src=/pods/p/proxy/x><a href=/pods/p/proxy/y>"],
  ['several of a tag', '<video src="/a" poster="/b"/>', '<video src="/pods/p/proxy/a" poster="/pods/p/proxy/b"/>'],
  ['an attribute that is none', '<p href="/x"><a data-href="/y" title="/z>">', undefined],
  ['a comment', '<!-- <a href="/x"> -- > --><a href=/y>', '<!-- <a href="/x"> -- > --><a href=/pods/p/proxy/y>'],
  ['a script', '<script>"<a href=\'/x\'>"</scripts></SCRIPT >', undefined],
  [
    'a script from elsewhere',
    '<script src="/x"></script><a href=/y>',
    '<script src="/pods/p/proxy/x"></script><a href=/pods/p/proxy/y>',
  ],
  ['no tag', 'a < b <= c <3 </ href="/x"> <', undefined],
  ['a tag that does not end', 'x <a href="/x', undefined],
] as const)
  test(`HTML: ${what}`, () => {
    assert.equal(rewritten(html), expected ?? html);
    assert.equal(rewritten(...html), expected ?? html, 'a byte at a time');
  });

test('a tag without end is passed on, and what is behind it', () => {
  const html = `<a href="${'x'.repeat(70_000)}`;
  const rewriter = new LinkRewriter(place);
  assert.equal(rewriter.push(html), html);
  assert.equal(rewriter.push("><a href='/x'>"), "><a href='/pods/p/proxy/x'>");
  const inside = `<a href='${'x'.repeat(70_000)} <a href=/x >`;
  assert.equal(new LinkRewriter(place).push(inside), inside, 'up to its end it is one tag');
});

test('pieces make no difference, and links are all that changes', () => {
  const part = fc.constantFrom(
    '<',
    '>',
    '"',
    "'",
    '=',
    '/',
    ' ',
    'a',
    'href',
    '<a href=',
    '"/x"',
    '<!--',
    '-->',
    '<script',
    '</script',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), fc.array(fc.nat(60), { maxLength: 5 }), (parts, cuts) => {
      const html = parts.join('');
      const places = [0, ...cuts.map((cut) => cut % (html.length + 1)).sort((a, b) => a - b), html.length];
      const pieces = places.slice(1).map((to, i) => html.slice(places[i], to));
      const whole = rewritten(html);
      assert.equal(rewritten(...pieces), whole);
      assert.equal(whole.replaceAll('/pods/p/proxy/', '/'), html);
    }),
  );
});
