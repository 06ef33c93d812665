// Dialogs, the switch of colours, and the clipboard.
import { setKey } from './client.js';
import { NUMBERS, saveSettings } from './store.js';

const $ = id => document.getElementById(id);

// Opens a dialog; resolves with what closed it.
function show(dialog) {
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue), { once: true }));
}

// Whether people agree; with another word, just tells them.
export async function ask(text, word = 'Delete') {
  $('confirm-text').textContent = text;
  const [cancel, agree] = $('confirm').querySelectorAll('button');
  cancel.hidden = word !== 'Delete';
  agree.textContent = word;
  return await show($('confirm')) === 'ok';
}

// Keeps the key that people type; false where they give none.
export async function askForKey(error) {
  const field = $('key').querySelector('input');
  $('key-error').textContent = error;
  field.value = '';
  if (await show($('key')) !== 'ok') return false;
  setKey(field.value.trim());
  return true;
}

const THEMES = {
  '': ['◐', 'Auto', 'auto, as the system has them'], light: ['○', 'Light', 'light'], dark: ['●', 'Dark', 'dark'] };

export function initTheme(settings) {
  const button = $('theme');
  const apply = () => {
    const [sign, word, label] = THEMES[settings.theme] ?? THEMES[''];
    document.documentElement.dataset.theme = settings.theme;
    const [first, second] = button.children;
    first.textContent = sign;
    second.textContent = word;
    button.setAttribute('aria-label', `Colours: ${label}`);
  };
  button.addEventListener('click', () => {
    const names = Object.keys(THEMES);
    settings.theme = names[(names.indexOf(settings.theme) + 1) % names.length];
    saveSettings(settings);
    apply();
  });
  apply();
}

function isJsonArray(text) {
  try {
    return text.trim() === '' || Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}

export function initSettings(settings) {
  const dialog = $('settings');
  const fields = dialog.querySelector('form').elements;
  for (const name of [...NUMBERS, 'system', 'thinking', 'tools']) fields[name].value = settings[name] ?? '';
  dialog.addEventListener('input', ({ target }) => {
    if (target.name === 'tools') target.setCustomValidity(isJsonArray(target.value) ? '' : 'This is not an array in JSON.');
    if (!target.validity.valid) return;
    settings[target.name] = !NUMBERS.includes(target.name) ? target.value : target.value === '' ? null : Number(target.value);
    saveSettings(settings);
  });
  $('settings-open').addEventListener('click', () => dialog.showModal());
}

// The clipboard's own interface is for secure pages only, and this one may come over a plain connection.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    field.className = 'unseen';
    document.body.append(field);
    field.select();
    const copied = document.execCommand('copy');
    field.remove();
    return copied;
  }
}
