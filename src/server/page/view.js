// How messages look: DOM nodes from a conversation's data. Model text goes through markdown.js or is text.
import { update } from './markdown.js';

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const NAMES = { user: 'You', assistant: 'Model', tool: 'Result of a tool' };

const action = (name, text, label) => el('button', { type: 'button', 'data-action': name, 'aria-label': label ?? text }, text);

// A message's element; show() brings it up to date with the message, which grows while it is streamed.
export class MessageView {
  constructor(message, index) {
    this.message = message;
    this.body = el('div', { class: 'body' });
    this.notices = el('div', { class: 'notices' });
    this.actions = el('div', { class: 'actions' });
    this.node = el('article', { class: `message ${message.role}`, 'data-index': index, 'aria-label': NAMES[message.role] },
      el('h2', {}, NAMES[message.role]), this.body, this.notices, this.actions);
    this.announced = 0;
  }

  show(writing) {
    this.node.setAttribute('aria-busy', String(writing));
    if (this.message.role === 'assistant') this.showAnswer(writing);
    else this.body.textContent = this.message.content;
    this.notices.replaceChildren(...this.noticeNodes());
    this.actions.replaceChildren(...(writing ? [] : this.actionNodes()));
  }

  showAnswer(writing) {
    const { reasoning, content, calls } = this.message;
    if (reasoning && !this.reasoning) {
      this.summary = el('summary', {}, 'Reasoning');
      this.reasoning = el('div', { class: 'prose', tabindex: '0' });
      this.body.append(el('details', { class: 'reasoning' }, this.summary, this.reasoning));
    }
    if (reasoning) {
      update(this.reasoning, reasoning);
      this.summary.textContent = writing && !content ? 'Reasoning …' : 'Reasoning';
    }
    if (content && !this.text) {
      this.text = el('div', { class: 'prose' });
      this.body.append(this.text);
    }
    if (content) update(this.text, content);
    if (calls?.length && this.nCalls !== calls.length) {
      this.calls?.remove();
      this.calls = el('div', { class: 'calls' }, ...calls.map(callNode));
      this.nCalls = calls.length;
      this.body.append(this.calls);
    }
    this.node.classList.toggle('waiting', writing && !content && !reasoning);
  }

  // The text of blocks that became complete since the last time.
  newlyComplete(done) {
    if (!this.text) return [];
    const blocks = [...this.text.children].slice(this.announced, done ? undefined : -1);
    this.announced += blocks.length;
    return blocks.map(block => block.textContent);
  }

  noticeNodes() {
    const { error, finish, stats } = this.message;
    const nodes = [];
    if (error) nodes.push(el('p', { class: 'notice error', role: 'alert' }, error));
    if (finish) nodes.push(el('p', { class: 'notice' }, finish));
    if (stats) nodes.push(el('p', { class: 'stats' }, stats));
    return nodes;
  }

  actionNodes() {
    const { role, content, error } = this.message;
    if (role === 'user') return [action('edit', 'Edit', 'Edit this message'), action('copy', 'Copy', 'Copy this message')];
    if (role === 'tool') return [];
    const again = error ? action('again', 'Try again') : action('again', 'Regenerate', 'Regenerate this answer');
    return content ? [action('copy', 'Copy', 'Copy this answer'), again] : [again];
  }

  edit() {
    const field = el('textarea', { 'aria-label': 'Edited message', rows: '3' });
    field.value = this.message.content;
    this.body.replaceChildren(field, el('p', { class: 'hint' }, 'What follows this message is dropped.'));
    this.actions.replaceChildren(el('button', { type: 'button', 'data-action': 'save', class: 'primary' }, 'Send'),
      action('cancel', 'Cancel'));
    field.focus();
    return field;
  }
}

function callNode(call) {
  let text = call.arguments;
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* as the model wrote it */ }
  return el('figure', { class: 'code call' },
    el('figcaption', {}, el('span', {}, 'Call of ', el('strong', {}, call.name)),
      el('button', { type: 'button', 'data-action': 'copy-code' }, 'Copy')),
    el('pre', { tabindex: '0' }, el('code', {}, text)));
}

// Where people say what a tool has answered.
export function resultForm(call) {
  return el('form', { class: 'result', 'data-call': call.id },
    el('label', {}, `Result of ${call.name}`, el('textarea', { rows: '2', name: 'result', required: true })),
    el('button', { class: 'primary' }, 'Send result'));
}

export function chatItem(chat, isCurrent) {
  return el('li', {},
    el('button', { type: 'button', class: 'open', 'data-id': chat.id, 'aria-current': isCurrent ? 'true' : null, title: chat.title },
      chat.title),
    el('button', { type: 'button', class: 'delete', 'data-id': chat.id, 'aria-label': `Delete “${chat.title}”` }, '×'));
}

const number = n => n.toLocaleString('en');

// "412 tokens · 38.2 tokens/s · first after 0.31 s · prompt 1,024 (960 cached)".
export function statsText(usage, times) {
  const parts = [`${number(usage.completion_tokens)} tokens`];
  if (usage.completion_tokens > 1 && times.last - times.first > 20) { // else they came at once
    parts.push(`${((usage.completion_tokens - 1) * 1000 / (times.last - times.first)).toFixed(1)} tokens/s`);
  }
  if (times.first) parts.push(`first after ${((times.first - times.begin) / 1000).toFixed(2)} s`);
  const cached = usage.prompt_tokens_details?.cached_tokens;
  parts.push(`prompt ${number(usage.prompt_tokens)}${cached ? ` (${number(cached)} cached)` : ''}`);
  return parts.join(' · ');
}

export const contextText = (used, most) => used ? `${number(used)} of ${number(most)} tokens` : `${number(most)} tokens of context`;
