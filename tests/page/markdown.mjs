// The chat page's Markdown: what becomes of it, also where it is hostile or long. In node:
//   node tests/page/markdown.mjs
// and in a browser by tests/cli/test_page_browser.py.

const CASES = [
  ['plain *em* **strong** ***both*** ~~gone~~ `code`',
    '<p>plain <em>em</em> <strong>strong</strong> <em><strong>both</strong></em> <del>gone</del> <code>code</code></p>'],
  ['snake_case_name and 2 * 3 * 4, _under_, a_ b_', '<p>snake_case_name and 2 * 3 * 4, <em>under</em>, a_ b_</p>'],
  ['**not closed', '<p>**not closed</p>'],
  ['**bold *and* em**', '<p><strong>bold <em>and</em> em</strong></p>'],
  ['*a **b* c**', '<p><em>a <em><em>b</em> c</em></em></p>'],
  ['\\*no\\* \\\\ and \\a', '<p>*no* \\ and \\a</p>'],
  ['``a ` b`` and `` ` ``', '<p><code>a ` b</code> and <code>`</code></p>'],
  ['`not closed', '<p>`not closed</p>'],
  ['one\ntwo<br>three', '<p>one<br>two<br>three</p>'],
  ['\\(x_1 * y_2\\) is', '<p><code>x_1 * y_2</code> is</p>'],
  ['# One\n## Two ##\n####### seven', '<h3>One</h3><h4>Two</h4><p>####### seven</p>'],
  ['#no heading', '<p>#no heading</p>'],
  ['---\n* * *', '<hr><hr>'],
  ['> a\n> b\n>\n> c\nlazy', '<blockquote><p>a<br>b</p><p>c<br>lazy</p></blockquote>'],
  ['- a\n- b\n  - c\n\ntext', '<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>text</p>'],
  ['3. a\n4. b', '<ol start="3"><li>a</li><li>b</li></ol>'],
  ['1. a\n\n   ```sh\n   ls\n   ```\n2. b', '<ol><li><p>a</p>[sh:ls]</li><li><p>b</p></li></ol>'],
  ['1. a\n  - b\n2. c', '<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>'],
  ['- [ ] a\n- [x] b', '<ul><li>☐ a</li><li>☑ b</li></ul>'],
  ['text\n- a', '<p>text</p><ul><li>a</li></ul>'],
  ['```js\nif (a < b) {}\n\n```\nafter', '[js:if (a < b) {}\n]<p>after</p>'],
  ['````\n```\n````', '[text:```]'],
  ['```\nnot closed <b>', '[text:not closed <b>]'],
  ['$$\nx^2\n$$', '[math:x^2]'],
  ['| a | b |\n|---|:-:|\n| 1 | `x|y` |\n| 2 \\| 3 |', '<table><thead><tr><th>a</th><th class="center">b</th></tr></thead>' +
    '<tbody><tr><td>1</td><td class="center"><code>x|y</code></td></tr><tr><td>2 | 3</td><td class="center"></td></tr></tbody></table>'],
  ['a | b', '<p>a | b</p>'],
  ['[text](https://a.example/x_(y) "title") and https://b.example/c_(d), (https://e.example/f).',
    '<p><a https://a.example/x_(y)>text</a> and <a https://b.example/c_(d)>https://b.example/c_(d)</a>, ' +
    '(<a https://e.example/f>https://e.example/f</a>).</p>'],
  ['[*a*](mailto:x@y.example) <https://z.example>', '<p><a mailto:x@y.example><em>a</em></a> <a https://z.example/>https://z.example</a></p>'],
  // What must not become what it wants to be.
  ['<script>alert(1)</script><img src=x onerror=alert(1)>', '<p><script>alert(1)</script><img src=x onerror=alert(1)></p>'],
  ['[a](javascript:alert(1)) [b](JaVaScRiPt:alert%281%29) [c](data:text/html,x) [d](vbscript:x)', '<p>a b c d</p>'],
  ['[a](java\nscript:alert(1)) [b](\u0001javascript:x) [c](//evil.example) [d](/v1/models) [e](file:///etc/passwd)',
    '<p>[a](java<br>script:alert(1)) b c d e</p>'],
  ['![pixel](https://evil.example/p.png)', '<p><a https://evil.example/p.png>pixel</a></p>'],
  ['[![x](https://a.example/)](https://b.example/)', '<p><a https://b.example/>x</a></p>'],
  ['<https://a.example/"onmouseover="x>', '<p><a https://a.example/%22onmouseover=%22x>https://a.example/"onmouseover="x</a></p>'],
  ['```"><script>\nx\n```', '["><script>:x]'],
  ['&lt;b&gt; &amp;', '<p>&lt;b&gt; &amp;</p>'],
];

const N = 40000;
const LONG = ['*'.repeat(N), '*a '.repeat(N), '**a **'.repeat(N), 'a*'.repeat(N), '`'.repeat(N), '` `` ``` '.repeat(N / 4), '['.repeat(N),
  '[a]('.repeat(N), '[a](<'.repeat(N), '![['.repeat(N), '<http://'.repeat(N), 'https://'.repeat(N), 'https://a' + '.'.repeat(N) + 'x',
  'https://a' + ')'.repeat(N), '\\('.repeat(N), '> '.repeat(N), '- '.repeat(N), '-'.repeat(N) + 'x', ' '.repeat(N) + 'x',
  '|'.repeat(N) + '\n' + '|'.repeat(N), '|a'.repeat(N) + '\n' + '|-'.repeat(N), '# ' + '#'.repeat(N) + 'x', '# ' + ' #'.repeat(N) + 'x',
  '```' + ' '.repeat(N) + '`', '- a\n'.repeat(N / 10), '> a\n'.repeat(N / 10), '~~a '.repeat(N), '_a'.repeat(N), 'a|b\n' + '-|' + ' '.repeat(N) + '-x',
  '1. a\n'.repeat(N / 10), 'a\n'.repeat(N / 10), '<br'.repeat(N), '[' + 'x'.repeat(N) + '](' + 'y'.repeat(N)];

// As HTML but for escapes; links as <a ADDRESS>, blocks of code as [LANGUAGE:TEXT].
function html(node) {
  if (typeof node === 'string') return node;
  if (node.tagName === undefined) return node.textContent;
  const tag = node.tagName.toLowerCase();
  const attribute = name => [...node.attributes].find(one => one.name === name)?.value;
  const inner = [...node.childNodes].map(html).join('');
  if (tag === 'a') return `<a ${attribute('href')}>${inner}</a>`;
  if (tag === 'div') return inner;
  if (tag === 'figure') {
    const [caption, pre] = node.childNodes;
    return `[${html(caption.childNodes[0].childNodes[0])}:${[...pre.childNodes[0].childNodes].map(html).join('')}]`;
  }
  if (tag === 'hr' || tag === 'br') return `<${tag}>`;
  const shown = attribute('start') ? ` start="${attribute('start')}"` :
    ['th', 'td'].includes(tag) && attribute('class') ? ` class="${attribute('class')}"` : '';
  return `<${tag}${shown}>${inner}</${tag}>`;
}

// What is wrong, as texts.
export function run({ parse, render, safeAddress }, doc) {
  const faults = [];
  for (const [text, expected] of CASES) {
    const found = render(parse(text), doc).map(html).join('');
    if (found !== expected) faults.push(`${text}\n  is  ${found}\n  not ${expected}`);
  }
  for (const text of LONG) render(parse(text), doc); // ends
  const grown = CASES.map(([text]) => text).join('\n\n');
  for (let n = 0; n < grown.length; n += 7) render(parse(grown.slice(0, n)), doc);
  for (const address of ['javascript:x', ' javascript:x', 'java\tscript:x', 'blob:https://a/b', 'x', '']) {
    if (safeAddress(address) !== null) faults.push(`${address} is safe`);
  }
  return faults;
}

class FakeElement {
  constructor(tag) {
    this.tagName = tag.toUpperCase();
    this.attributes = [];
    this.childNodes = [];
  }
  setAttribute(name, value) { this.attributes.push({ name, value }); }
  append(...nodes) { for (const node of nodes) this.childNodes.push(node); }
}

if (typeof process !== 'undefined') {
  const { copyFileSync, mkdtempSync, rmSync } = await import('node:fs');
  const folder = mkdtempSync((process.env.TMPDIR ?? '/tmp') + '/tq-markdown-');
  copyFileSync(new URL('../../src/server/page/markdown.js', import.meta.url), `${folder}/markdown.mjs`);
  const page = await import(`${folder}/markdown.mjs`);
  rmSync(folder, { recursive: true });
  const faults = run(page, { createElement: tag => new FakeElement(tag) });
  console.log(faults.join('\n') || `${CASES.length} cases, ${LONG.length} long texts: as expected`);
  process.exitCode = faults.length > 0 ? 1 : 0;
}
