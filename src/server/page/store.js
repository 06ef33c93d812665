// Conversations and settings, in this browser only (localStorage).
//   conversation: {id, title, updated, messages}
//   message: {role: user | assistant | tool, content, reasoning?, calls?, callId?, finish?, error?, stats?}

const CHAT = 'tq.chat.';
const SETTINGS = 'tq.settings';
export const NUMBERS = ['temperature', 'top_p', 'top_k', 'min_p', 'max_tokens', 'seed'];
const WORDS = ['system', 'thinking', 'tools', 'theme'];

const isText = value => typeof value === 'string';

export function newChat() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const id = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
  return { id, title: 'New chat', updated: Date.now(), messages: [] };
}

// Keeps what a conversation may hold, and nothing else; null where it is none.
function cleanChat(chat) {
  if (!chat || !isText(chat.id) || !/^[\w-]{1,64}$/.test(chat.id) || !Array.isArray(chat.messages)) return null;
  const messages = [];
  for (const message of chat.messages) {
    if (!['user', 'assistant', 'tool'].includes(message?.role) || !isText(message.content)) return null;
    const kept = { role: message.role, content: message.content };
    for (const name of ['reasoning', 'callId', 'finish', 'error', 'stats']) {
      if (isText(message[name])) kept[name] = message[name];
    }
    if (Array.isArray(message.calls)) {
      kept.calls = message.calls.map(call => ({
        id: String(call?.id ?? ''), name: String(call?.name ?? ''), arguments: String(call?.arguments ?? '') }));
    }
    if (Number.isFinite(message.total)) kept.total = message.total;
    messages.push(kept);
  }
  return { id: chat.id, title: isText(chat.title) ? chat.title.slice(0, 200) : 'Chat',
    updated: Number.isFinite(chat.updated) ? chat.updated : 0, messages };
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

// The newest first.
export function loadChats() {
  const chats = [];
  for (let i = 0; i < localStorage.length; ++i) {
    const key = localStorage.key(i);
    const chat = key.startsWith(CHAT) ? cleanChat(read(key)) : null;
    if (chat) chats.push(chat);
  }
  return chats.sort((a, b) => b.updated - a.updated);
}

// False where the browser has no room left, or keeps nothing.
export function saveChat(chat) {
  try {
    localStorage.setItem(CHAT + chat.id, JSON.stringify(cleanChat(chat)));
    return true;
  } catch {
    return false;
  }
}

export const deleteChat = chat => localStorage.removeItem(CHAT + chat.id);

export function exportChats(chats) {
  return JSON.stringify({ format: 'turboquant-chats', version: 1, chats: chats.map(cleanChat) }, null, 1);
}

// The conversations of an exported text. Throws an Error with a sentence for people.
export function importChats(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error('This file is not JSON.');
  }
  if (file?.format !== 'turboquant-chats' || !Array.isArray(file.chats)) {
    throw new Error('This file was not exported from this page.');
  }
  const chats = file.chats.map(cleanChat);
  if (chats.includes(null)) throw new Error('A conversation in this file is damaged.');
  return chats;
}

export function loadSettings() {
  const kept = read(SETTINGS) ?? {};
  const settings = {};
  for (const name of NUMBERS) settings[name] = Number.isFinite(kept[name]) ? kept[name] : null;
  for (const name of WORDS) settings[name] = isText(kept[name]) ? kept[name] : '';
  return settings;
}

export function saveSettings(settings) {
  try {
    localStorage.setItem(SETTINGS, JSON.stringify(settings));
  } catch { /* they last as long as the page */ }
}

// The body of a request: only what is set; the server knows the model's own values.
export function requestBody(model, messages, settings) {
  const body = { model: model.id, messages: history(messages, settings.system) };
  for (const name of NUMBERS) {
    if (settings[name] !== null) body[name] = settings[name];
  }
  if (model.thinking_switch && settings.thinking) {
    body.chat_template_kwargs = { enable_thinking: settings.thinking === 'on' };
  }
  if (settings.tools.trim()) body.tools = JSON.parse(settings.tools);
  return body;
}

// Templates want turns to alternate, so an answer that never came leaves one question of two.
function history(messages, system) {
  const list = system.trim() ? [{ role: 'system', content: system }] : [];
  for (const { role, content, calls, callId } of messages) {
    const last = list[list.length - 1];
    if (role === 'assistant' && !content && !calls?.length) continue;
    if (role === 'user' && last?.role === 'user') {
      last.content += '\n\n' + content;
    } else if (role === 'tool') {
      list.push({ role, content, tool_call_id: callId });
    } else if (calls?.length) {
      list.push({ role, content, tool_calls: calls.map(call => ({
        id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } })) });
    } else {
      list.push({ role, content });
    }
  }
  return list;
}
