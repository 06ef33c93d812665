// Markdown as models write it, made into DOM nodes: parse() gives plain objects, render() makes nodes of them with
// createElement and text only, so that nothing a model writes becomes HTML. Every scan is linear or bounded.

const MAX_DEPTH = 12; // of quotes and lists in each other
const MAX_OPEN = 32; // of emphasis that was begun

const FENCE = /^( {0,3})(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( {1,4}(?=\S)|[ \t]*$|[ \t])/;
const NESTED_ITEM = /^( {2,})([-*+]|\d{1,9}[.)])(?:[ \t]|$)/;
const TABLE_RULE = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$/;
const MATH_ENDS = { __proto__: null, '$$': '$$', '\\[': '\\]' };

const isBlank = line => line.trim() === '';
const indentOf = line => line.length - line.trimStart().length;

// The blocks of a text: {type, ...}, and at the top also `source`, the lines that a block was made of.
export function parse(text) {
  const lines = text.replace(/\r\n?/g, '\n').replace(/\t/g, '    ').split('\n');
  return parseBlocks(lines, 0, (block, from, to) => {
    block.source = lines.slice(from, to).join('\n');
  });
}

function parseBlocks(lines, depth, note = () => {}) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      ++at;
      continue;
    }
    const from = at;
    const [block, next] = parseBlock(lines, at, depth);
    at = next;
    note(block, from, at);
    blocks.push(block);
  }
  return blocks;
}

// One block that begins at a line, and the line after it.
function parseBlock(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return parseFence(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) {
    const text = line.slice(heading[0].length).trim().replace(/(?:^| )#+$/, '');
    return [{ type: 'heading', level: heading[1].length, inline: parseInline(text) }, at + 1];
  }
  if (RULE.test(line)) return [{ type: 'rule' }, at + 1];
  if (MATH_ENDS[line.trim()]) return parseMath(lines, at);
  if (depth < MAX_DEPTH && QUOTE.test(line)) return parseQuote(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return parseList(lines, at, depth);
  if (isTable(lines, at)) return parseTable(lines, at);
  return parseParagraph(lines, at);
}

function parseFence(lines, at, [, indent, marks, info]) {
  const text = [];
  for (++at; at < lines.length; ++at) {
    const trimmed = lines[at].trim();
    if (trimmed.length >= marks.length && trimmed === marks[0].repeat(trimmed.length)) {
      ++at;
      break;
    }
    text.push(lines[at].slice(Math.min(indent.length, indentOf(lines[at]))));
  }
  return [{ type: 'code', language: info.trim().split(/\s/)[0], text: text.join('\n') }, at];
}

function parseMath(lines, at) {
  const end = MATH_ENDS[lines[at].trim()];
  const text = [];
  for (++at; at < lines.length && lines[at].trim() !== end; ++at) text.push(lines[at]);
  return [{ type: 'code', language: 'math', text: text.join('\n') }, at + 1];
}

function parseQuote(lines, at, depth) {
  const inner = [];
  for (; at < lines.length && !isBlank(lines[at]); ++at) {
    const lazy = !QUOTE.test(lines[at]);
    if (lazy && (beginsBlock(lines, at) || isBlank(inner[inner.length - 1]))) break;
    inner.push(lines[at].replace(QUOTE, ''));
  }
  return [{ type: 'quote', blocks: parseBlocks(inner, depth + 1) }, at];
}

const isNumber = marker => marker.length > 1;

function parseList(lines, at, depth) {
  const [, , marker] = ITEM.exec(lines[at]);
  const list = { type: 'list', ordered: isNumber(marker), start: parseInt(marker, 10) || 0, loose: false, items: [] };
  let blank = false;
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (!found || RULE.test(lines[at]) || isNumber(found[2]) !== list.ordered) break;
    if (blank) list.loose = true;
    const base = found[1].length;
    const width = base + found[2].length + Math.max(1, found[3].length);
    const inner = [lines[at].slice(found[0].length)];
    for (++at, blank = false; at < lines.length; ++at) {
      if (isBlank(lines[at])) {
        inner.push('');
        blank = true;
        continue;
      }
      const indent = indentOf(lines[at]);
      const belongs = indent >= width || (indent >= base + 2 && NESTED_ITEM.test(lines[at]));
      const lazy = !blank && !beginsBlock(lines, at);
      if (!belongs && !lazy) break;
      if (blank) list.loose = true;
      inner.push(lines[at].slice(Math.min(indent, width)));
      blank = false;
    }
    list.items.push(parseItem(inner, depth));
  }
  return [list, at];
}

function parseItem(lines, depth) {
  const task = /^\[([ xX])\] /.exec(lines[0]);
  if (task) lines[0] = lines[0].slice(4);
  return { checked: task ? task[1] !== ' ' : null, blocks: parseBlocks(lines, depth + 1) };
}

function isTable(lines, at) {
  return lines[at].includes('|') && at + 1 < lines.length && lines[at + 1].includes('-') &&
    TABLE_RULE.test(lines[at + 1].trim()) && cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length;
}

// Of a row: a bar in a code span or behind a backslash separates nothing.
function cellsOf(line) {
  const text = line.trim().replace(/^\|/, '');
  const cells = [];
  let cell = '';
  let inCode = false;
  for (let i = 0; i < text.length; ++i) {
    if (text[i] === '\\' && text[i + 1] === '|') {
      cell += '|';
      ++i;
    } else if (text[i] === '|' && !inCode) {
      cells.push(cell.trim());
      cell = '';
    } else {
      if (text[i] === '`') inCode = !inCode && text.indexOf('`', i + 1) >= 0;
      cell += text[i];
    }
  }
  if (cell.trim() !== '' || cells.length === 0) cells.push(cell.trim());
  return cells;
}

function parseTable(lines, at) {
  const align = cellsOf(lines[at + 1]).map(cell => {
    const right = cell.endsWith(':');
    return cell.startsWith(':') ? (right ? 'center' : null) : right ? 'right' : null;
  });
  const row = line => {
    const cells = cellsOf(line);
    return align.map((_, i) => parseInline(cells[i] ?? ''));
  };
  const table = { type: 'table', align, head: row(lines[at]), rows: [] };
  for (at += 2; at < lines.length && !isBlank(lines[at]) && lines[at].includes('|'); ++at) {
    table.rows.push(row(lines[at]));
  }
  return [table, at];
}

function beginsBlock(lines, at) {
  const line = lines[at];
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line) ||
    MATH_ENDS[line.trim()] !== undefined;
}

function parseParagraph(lines, at) {
  const text = [lines[at].trim()];
  for (++at; at < lines.length && !isBlank(lines[at]); ++at) {
    if (beginsBlock(lines, at) || isTable(lines, at)) break;
    text.push(lines[at].trim());
  }
  return [{ type: 'paragraph', inline: parseInline(text.join('\n')) }, at];
}

// ---- Within a block: texts, and {type: strong | em | del | code | link | break}.

const LINK = /!?\[((?:[^[\]\\]|\\.|\[[^[\]]*\])*)\]\([ \n]*(<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()]*)*)(?:[ \n]+(?:"[^"]*"|'[^']*'))?[ \n]*\)/y;
const ADDRESS = /<((?:https?:\/\/|mailto:)[^\s<>]+)>/y;
const BARE = /https?:\/\/[^\s<>"'`*|]+/y;
const BREAK = /<br *\/?>/iy;
const WORD = /[\p{L}\p{N}]/u;

class InlineParser {
  constructor(text, inLink) {
    this.text = text;
    this.inLink = inLink;
    this.at = 0;
    this.nodes = [];
    this.open = []; // {mark, count, index}: emphasis that was begun; nodes[index] is its text
    this.missing = new Map(); // what is not found again behind this.at
  }

  parse() {
    const handlers = { '\\': 'escape', '`': 'codeSpan', '<': 'angle', '[': 'link', '!': 'image', h: 'bareLink',
      '*': 'emphasis', _: 'emphasis', '~': 'emphasis', '\n': 'newline' };
    while (this.at < this.text.length) {
      const handler = handlers[this.text[this.at]];
      if (!handler || !this[handler]()) this.addText(this.text[this.at++]);
    }
    return this.nodes.filter(node => node !== '');
  }

  addText(text) {
    const last = this.nodes.length - 1;
    const isMark = this.open.length > 0 && this.open[this.open.length - 1].index === last;
    if (last >= 0 && typeof this.nodes[last] === 'string' && !isMark) {
      this.nodes[last] += text;
    } else {
      this.nodes.push(text);
    }
  }

  add(node, length) {
    this.nodes.push(node);
    this.at += length;
    return true;
  }

  // Where the mark is found next; -1 is remembered.
  find(mark, from) {
    if (this.missing.has(mark)) return -1;
    const found = this.text.indexOf(mark, from);
    if (found < 0) this.missing.set(mark, true);
    return found;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    return pattern.exec(this.text);
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === '\n') return this.add({ type: 'break' }, 2);
    if (next === '(' || next === '[') { // mathematics stays as it was written
      const end = this.find(next === '(' ? '\\)' : '\\]', this.at + 2);
      if (end >= 0) return this.add({ type: 'code', text: this.text.slice(this.at + 2, end).trim() }, end + 2 - this.at);
    }
    if (next === undefined || !/[!-/:-@[-`{-~]/.test(next)) return false;
    this.addText(next);
    this.at += 2;
    return true;
  }

  codeSpan() {
    let n = 1;
    while (this.text[this.at + n] === '`') ++n;
    const mark = '`'.repeat(n);
    let end = this.find(mark, this.at + n);
    while (end >= 0 && this.text[end + n] === '`') { // a longer run is none
      let behind = end + n;
      while (this.text[behind] === '`') ++behind;
      end = this.find(mark, behind);
    }
    if (end < 0) {
      this.addText(mark);
      this.at += n;
      return true;
    }
    let text = this.text.slice(this.at + n, end).replace(/\n/g, ' ');
    if (text.startsWith(' ') && text.endsWith(' ') && text.trim() !== '') text = text.slice(1, -1);
    return this.add({ type: 'code', text }, end + n - this.at);
  }

  angle() {
    if (this.match(BREAK)) return this.add({ type: 'break' }, this.match(BREAK)[0].length);
    const found = this.match(ADDRESS);
    return !!found && this.addLink(found[1], [found[1]], found[0].length);
  }

  image() {
    return this.text[this.at + 1] === '[' && this.link();
  }

  link() {
    const found = this.match(LINK);
    if (!found) return false;
    const target = found[2].replace(/^<|>$/g, '');
    return this.addLink(target, parseInline(found[1], true), found[0].length);
  }

  bareLink() {
    if (this.inLink || (this.at > 0 && WORD.test(this.text[this.at - 1]))) return false;
    const found = this.match(BARE);
    if (!found) return false;
    const target = withoutEnd(found[0]);
    return this.addLink(target, [target], target.length);
  }

  // What is no address that may be opened stays text.
  addLink(target, inline, length) {
    const href = this.inLink ? null : safeAddress(target);
    if (href === null) {
      for (const node of inline) typeof node === 'string' ? this.addText(node) : this.nodes.push(node);
      this.at += length;
      return true;
    }
    return this.add({ type: 'link', href, inline }, length);
  }

  newline() {
    return this.add({ type: 'break' }, 1);
  }

  emphasis() {
    const mark = this.text[this.at];
    let count = 1;
    while (this.text[this.at + count] === mark) ++count;
    const before = this.text[this.at - 1] ?? ' ';
    const after = this.text[this.at + count] ?? ' ';
    this.at += count;
    const whole = mark.repeat(count);
    if ((mark === '~' && count !== 2) || count > 8) {
      this.addText(whole);
      return true;
    }
    const inWord = mark === '_' && WORD.test(before) && WORD.test(after);
    const opens = !/\s/.test(after) && !inWord && !(mark === '_' && WORD.test(before));
    const closes = !/\s/.test(before) && !inWord && !(mark === '_' && WORD.test(after));
    if (closes) count = this.close(mark, count);
    if (count === 0) return true;
    this.nodes.push(mark.repeat(count));
    if (opens) this.open.push({ mark, count, index: this.nodes.length - 1 });
    if (this.open.length > MAX_OPEN) this.open.shift();
    return true;
  }

  // Ends what was begun with that mark; returns how many of the marks are left.
  close(mark, count) {
    while (count > 0) {
      let i = this.open.length - 1;
      while (i >= 0 && this.open[i].mark !== mark) --i;
      if (i < 0) return count;
      const opener = this.open[i];
      const used = mark === '~' || (opener.count >= 2 && count >= 2) ? 2 : 1;
      const inline = this.nodes.splice(opener.index + 1).filter(node => node !== '');
      opener.count -= used;
      this.nodes[opener.index] = mark.repeat(opener.count);
      this.open.length = opener.count > 0 ? i + 1 : i;
      if (inline.length > 0) this.nodes.push({ type: mark === '~' ? 'del' : used === 2 ? 'strong' : 'em', inline });
      count -= used;
    }
    return 0;
  }
}

function parseInline(text, inLink = false) {
  return new InlineParser(text, inLink).parse();
}

// An address in a sentence: without the sentence's own marks, and a bracket that it did not open.
function withoutEnd(address) {
  let surplus = address.split(')').length - address.split('(').length;
  let end = address.length;
  while (end > 0 && ('.,;:!?]}'.includes(address[end - 1]) || (address[end - 1] === ')' && surplus > 0))) {
    if (address[--end] === ')') --surplus;
  }
  return address.slice(0, end);
}

// An absolute address that a click may open; null for others (javascript:, data:, relative ones).
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

// ---- Nodes.

// render(blocks, document): an array of elements.
export function render(blocks, doc) {
  return blocks.map(block => RENDER[block.type](block, doc));
}

// children: elements and texts. One by one, as there may be more than a call takes arguments.
function element(doc, tag, attributes, children = []) {
  const made = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  for (const child of children) made.append(child);
  return made;
}

const DIR = { dir: 'auto' };

function renderItem(list, item, doc) {
  const box = item.checked === null ? [] : [item.checked ? '☑ ' : '☐ '];
  const inner = item.blocks.flatMap(block =>
    block.type === 'paragraph' && !list.loose ? inlineNodes(block.inline, doc) : render([block], doc));
  return element(doc, 'li', DIR, box.concat(inner));
}

function renderTable({ align, head, rows }, doc) {
  const cell = (tag, inline, i) =>
    element(doc, tag, align[i] ? { class: align[i], dir: 'auto' } : DIR, inlineNodes(inline, doc));
  const row = (tag, cells) => element(doc, 'tr', {}, cells.map((inline, i) => cell(tag, inline, i)));
  return element(doc, 'div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Table' }, [
    element(doc, 'table', {}, [
      element(doc, 'thead', {}, [row('th', head)]),
      element(doc, 'tbody', {}, rows.map(cells => row('td', cells)))])]);
}

function renderCode({ language, text }, doc) {
  return element(doc, 'figure', { class: 'code' }, [
    element(doc, 'figcaption', {}, [
      element(doc, 'span', {}, [language || 'text']),
      element(doc, 'button', { type: 'button', 'data-action': 'copy-code' }, ['Copy'])]),
    element(doc, 'pre', { tabindex: '0' }, [element(doc, 'code', {}, [text])])]);
}

const RENDER = {
  paragraph: (block, doc) => element(doc, 'p', DIR, inlineNodes(block.inline, doc)),
  // The page's own headings are above these.
  heading: (block, doc) => element(doc, `h${Math.min(6, block.level + 2)}`,
    { class: `level${block.level}`, dir: 'auto' }, inlineNodes(block.inline, doc)),
  rule: (_, doc) => element(doc, 'hr', {}),
  quote: (block, doc) => element(doc, 'blockquote', DIR, render(block.blocks, doc)),
  list: (block, doc) => element(doc, block.ordered ? 'ol' : 'ul',
    block.ordered && block.start !== 1 ? { start: String(block.start) } : {},
    block.items.map(item => renderItem(block, item, doc))),
  table: renderTable,
  code: renderCode,
};

const LINK_ATTRIBUTES = { target: '_blank', rel: 'noopener noreferrer nofollow' };

function inlineNodes(inline, doc) {
  return inline.map(node => {
    if (typeof node === 'string') return node;
    if (node.type === 'break') return element(doc, 'br', {});
    if (node.type === 'code') return element(doc, 'code', {}, [node.text]);
    const inner = inlineNodes(node.inline, doc);
    if (node.type !== 'link') return element(doc, node.type, {}, inner);
    return element(doc, 'a', { href: node.href, title: node.href, ...LINK_ATTRIBUTES }, inner);
  });
}

// Makes the container show the text; blocks that it shows already are left alone, so that a text that grows is not
// made anew.
export function update(container, text) {
  if (container.source === text) return;
  container.source = text;
  const blocks = parse(text);
  const shown = container.shown ?? [];
  let same = 0;
  while (same < blocks.length && same < shown.length && shown[same] === blocks[same].source) ++same;
  while (container.children.length > same) container.lastElementChild.remove();
  for (const made of render(blocks.slice(same), container.ownerDocument)) container.append(made);
  container.shown = blocks.map(block => block.source);
}
