// The chat page: what is shown, and what happens when something is pressed.
import { getKey, getModel, streamChat } from './client.js';
import { ask, askForKey, copy, initSettings, initTheme } from './dialogs.js';
import * as store from './store.js';
import { MessageView, chatItem, contextText, el, resultForm, statsText } from './view.js';

const $ = id => document.getElementById(id);
const settings = store.loadSettings();
let chats = store.loadChats();
let current = store.newChat(); // not in the list until something was said
let views = [];
let model = null;
let connecting = false;
let running = null; // {chat, controller} of the answer that is being written

// ---- What is shown.

function showChats() {
  $('chats').replaceChildren(...chats.map(chat => chatItem(chat, chat === current)));
}

function showChat() {
  views = current.messages.map((message, i) => new MessageView(message, i));
  const writing = running?.chat === current ? views.length - 1 : -1;
  views.forEach((view, i) => view.show(i === writing));
  $('messages').replaceChildren(...views.map(view => view.node));
  document.title = current.messages.length > 0 ? `${current.title} – Chat` : 'Chat';
  $('log').classList.toggle('empty', views.length === 0);
  showResultForms();
  showChats();
  showState();
  scrollDown(true);
}

function showState() {
  const isRunning = running !== null;
  $('send').textContent = isRunning ? 'Stop' : 'Send';
  $('send').disabled = !isRunning && openCalls().length > 0;
  if (!model) return;
  $('model').textContent = model.id;
  const used = current.messages.findLast(message => message.total)?.total ?? 0;
  $('context').textContent = contextText(used, model.max_model_len);
  $('context').classList.toggle('full', used >= 0.9 * model.max_model_len);
}

const tell = text => { $('status').textContent = text; };

let follows = true; // the end of the conversation is in sight
$('log').addEventListener('scroll', () => {
  const log = $('log');
  follows = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
});
function scrollDown(always) {
  if (always || follows) $('log').scrollTop = $('log').scrollHeight;
}

// Calls of tools in the last answer that nobody has answered.
function openCalls() {
  const at = current.messages.findLastIndex(message => message.role === 'assistant');
  const answered = new Set(current.messages.slice(at + 1).map(message => message.callId));
  return (current.messages[at]?.calls ?? []).filter(call => !answered.has(call.id));
}

function showResultForms() {
  if (running) return;
  $('messages').append(...openCalls().map(resultForm));
}

// ---- Conversations.

function keep(chat) {
  chat.updated = Date.now();
  if (!chats.includes(chat)) chats.unshift(chat);
  if (!store.saveChat(chat)) tell('This browser has no room left: the conversation lasts as long as the page.');
}

function open(chat) {
  current = chat;
  closeMenu();
  showChat();
  focusInput();
}

const startNew = () => open(store.newChat());

async function remove(chat) {
  if (!await ask(`Delete “${chat.title}”?`)) return;
  if (running?.chat === chat) running.controller.abort();
  chats = chats.filter(other => other !== chat);
  store.deleteChat(chat);
  if (chat === current) startNew();
  else showChats();
}

function exportAll() {
  const url = URL.createObjectURL(new Blob([store.exportChats(chats)], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `chats-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

async function importFile() {
  try {
    const added = store.importChats(await $('file').files[0].text());
    for (const chat of added) {
      chats = chats.filter(other => other.id !== chat.id);
      chats.push(chat);
      store.saveChat(chat);
    }
    chats.sort((a, b) => b.updated - a.updated);
    tell(`${added.length} conversations were imported.`);
    open(chats.find(chat => chat.id === added[0]?.id) ?? current);
  } catch (error) {
    await ask(error.message, 'OK');
  }
  $('file').value = '';
}

// ---- Answers.

function say(text) {
  if (current.messages.length === 0) current.title = text.trim().replace(/\s+/g, ' ').slice(0, 60);
  current.messages.push({ role: 'user', content: text });
  answer();
}

function addCalls(message, deltas) {
  message.calls ??= [];
  for (const { index, id, function: called } of deltas) {
    const call = message.calls[index] ??= { id: '', name: '', arguments: '' };
    call.id ||= id ?? '';
    call.name ||= called?.name ?? '';
    call.arguments += called?.arguments ?? '';
  }
}

const FINISHES = { length: 'The answer was cut: it reached its most tokens.', content_filter: 'The answer was filtered.' };

function finish(message, reason, usage, times) {
  if (usage) {
    message.total = usage.total_tokens;
    message.stats = statsText(usage, times);
  }
  if (reason === 'length' && message.total >= model.max_model_len) {
    message.finish = 'The context is full. Edit an earlier message, or begin a new chat.';
  } else if (FINISHES[reason]) {
    message.finish = FINISHES[reason];
  }
}

async function receive(chat, message, signal, changed) {
  const times = { begin: performance.now(), first: 0, last: 0 };
  let reason = null;
  let usage = null;
  let body;
  try {
    body = store.requestBody(model, chat.messages.slice(0, -1), settings);
  } catch {
    throw new Error('The tools in the settings are not JSON.');
  }
  for await (const chunk of streamChat(body, signal)) {
    usage = chunk.usage ?? usage;
    const choice = chunk.choices[0];
    if (!choice) continue;
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta;
    if (content || reasoning || calls) {
      times.last = performance.now();
      times.first ||= times.last;
    }
    if (reasoning) message.reasoning = (message.reasoning ?? '') + reasoning;
    if (content) message.content += content;
    if (calls) addCalls(message, calls);
    reason = choice.finish_reason ?? reason;
    changed();
  }
  finish(message, reason, usage, times);
}

// Shows what has come once a frame; screen readers are told block by block.
function shower(chat, message) {
  let due = false;
  let saved = performance.now();
  return (writing = true) => {
    const show = () => {
      due = false;
      const view = views[views.length - 1];
      if (chat !== current || view?.message !== message) return;
      view.show(running !== null);
      for (const text of view.newlyComplete(running === null)) $('announcer').append(el('p', {}, text));
      scrollDown();
    };
    if (!writing) return show();
    if (!due) requestAnimationFrame(show);
    due = true;
    if (performance.now() - saved > 2000) {
      saved = performance.now();
      keep(chat);
    }
  };
}

function errorText(error) {
  if (error.code === 'context_length_exceeded') {
    return `${error.message}. Edit an earlier message, or begin a new chat.`;
  }
  return error.message;
}

// Asks for the next message of the current conversation.
async function answer() {
  const chat = current;
  const message = { role: 'assistant', content: '' };
  chat.messages.push(message);
  running = { chat, controller: new AbortController() };
  keep(chat);
  chats = [chat, ...chats.filter(other => other !== chat)];
  $('announcer').replaceChildren();
  tell('The model answers.');
  showChat();
  const changed = shower(chat, message);
  try {
    await receive(chat, message, running.controller.signal, changed);
    tell(message.finish ?? 'The answer is complete.');
  } catch (error) {
    if (error.name === 'AbortError') {
      message.finish = 'Stopped.';
      tell('Stopped.');
    } else {
      message.error = errorText(error);
      if (error.status === 401) connect(error);
    }
  }
  running = null;
  if (chats.includes(chat)) keep(chat);
  changed(false);
  showResultForms();
  showState();
  scrollDown();
}

// Drops the messages from that one on.
function cut(index) {
  current.messages.length = index;
}

// What was pressed goes away, and the focus with it. Not where that would open a keyboard on the screen.
function focusInput() {
  $(matchMedia('(pointer: coarse)').matches ? 'log' : 'input').focus();
}

function submit(event) {
  event.preventDefault();
  if (running) return running.controller.abort();
  const text = $('input').value;
  if (!text.trim() || openCalls().length > 0) return;
  if (!model) return connect();
  $('input').value = '';
  fit($('input'));
  say(text);
}

// ---- What is pressed.

const ACTIONS = {
  copy: index => copy(current.messages[index].content),
  edit: index => !running && fit(views[index].edit()),
  cancel: () => showChat(),
  save: index => {
    const text = views[index].node.querySelector('textarea').value;
    if (!text.trim() || running) return;
    cut(index);
    focusInput();
    say(text);
  },
  again: index => {
    if (running || !model) return;
    cut(index);
    focusInput();
    answer();
  },
};

async function pressed(event) {
  const button = event.target.closest('button[data-action]');
  if (!button) return;
  const name = button.dataset.action;
  const copied = name === 'copy-code' ? await copy(button.closest('figure').querySelector('code').textContent) :
    await ACTIONS[name](Number(button.closest('.message').dataset.index));
  if (!name.startsWith('copy')) return;
  button.textContent = copied ? 'Copied' : 'Not copied';
  tell(button.textContent);
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

function giveResult(event) {
  event.preventDefault();
  if (running) return;
  current.messages.push({ role: 'tool', content: event.target.elements.result.value, callId: event.target.dataset.call });
  if (openCalls().length === 0) return answer();
  keep(current);
  showChat();
}

function editLast() {
  const index = current.messages.findLastIndex(message => message.role === 'user');
  if (index >= 0) ACTIONS.edit(index);
}

function typed(event) {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event);
  else if (event.key === 'ArrowUp' && $('input').value === '') editLast();
}

function shortcut(event) {
  const editing = event.target.closest?.('.message textarea');
  if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
    if (running) running.controller.abort();
    else if (editing) showChat();
    closeMenu();
  } else if (editing && event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ACTIONS.save(Number(editing.closest('.message').dataset.index));
  }
  const pressedWithAlt = { KeyN: startNew, KeyO: () => $('settings').showModal(), KeyK: () => $('help').showModal() }[event.code];
  if (!event.altKey || event.ctrlKey || event.metaKey || !pressedWithAlt || document.querySelector('dialog[open]')) return;
  event.preventDefault();
  pressedWithAlt();
}

// A field as high as its text.
function fit(field) {
  if (!field) return;
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + 2}px`;
}

function openMenu() {
  document.body.classList.add('menu');
  $('shade').hidden = false;
  $('menu').setAttribute('aria-expanded', 'true');
  $('new').focus();
}
function closeMenu() {
  document.body.classList.remove('menu');
  $('shade').hidden = true;
  $('menu').setAttribute('aria-expanded', 'false');
}

// ---- The beginning.

// Asks for the model until it is there, and for the key where one is needed.
async function connect(refused = null) {
  if (connecting) return;
  connecting = true;
  model = null;
  for (let error = refused; ; ) {
    if (error?.status === 401 && !await askForKey(getKey() ? error.message : '')) break;
    try {
      model = await getModel();
      break;
    } catch (failed) {
      error = failed;
      $('model').textContent = failed.code === 'loading' ? 'The model is being loaded …' : 'No connection';
      $('context').textContent = failed.status === 401 ? '' : failed.message;
      if (failed.status !== 401) await new Promise(done => setTimeout(done, 1000 * (failed.retryAfter ?? 3)));
    }
  }
  connecting = false;
  if (model) $('thinking').hidden = !model.thinking_switch;
  tell(model ? `${model.id} is ready.` : 'Without a key there is no answer.');
  showState();
}

$('composer').addEventListener('submit', submit);
$('input').addEventListener('keydown', typed);
$('input').addEventListener('input', () => fit($('input')));
$('messages').addEventListener('click', pressed);
$('messages').addEventListener('input', event => event.target.matches('textarea') && fit(event.target));
$('messages').addEventListener('submit', giveResult);
$('chats').addEventListener('click', event => {
  const button = event.target.closest('button');
  const chat = chats.find(one => one.id === button?.dataset.id);
  if (chat) button.className === 'delete' ? remove(chat) : open(chat);
});
$('new').addEventListener('click', startNew);
$('export').addEventListener('click', exportAll);
$('import').addEventListener('click', () => $('file').click());
$('file').addEventListener('change', importFile);
$('menu').addEventListener('click', openMenu);
$('shade').addEventListener('click', closeMenu);
$('shortcuts').addEventListener('click', () => $('help').showModal());
document.addEventListener('keydown', shortcut);
window.addEventListener('storage', event => { // another tab
  if (running || !event.key?.startsWith('tq.chat.')) return;
  chats = store.loadChats();
  current = chats.find(chat => chat.id === current.id) ?? current;
  showChat();
});

initTheme(settings);
initSettings(settings);
if (chats.length > 0) current = chats[0];
showChat();
connect();
