// What the page asks the server.

export class ServerError extends Error {
  constructor(message, { status = 0, code = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter; // seconds
  }
}

const KEY = 'tq.key';
export const getKey = () => sessionStorage.getItem(KEY) ?? '';
export const setKey = key => key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY);

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (getKey()) headers.Authorization = `Bearer ${getKey()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError('The server does not answer. Is it running, and can this device reach it?');
  }
  if (response.ok) return response;
  let told = {};
  try {
    told = (await response.json()).error ?? {};
  } catch { /* an answer of something in between */ }
  throw new ServerError(told.message ?? `The server answered with status ${response.status}.`, {
    status: response.status, code: told.code ?? null,
    retryAfter: Number(response.headers.get('Retry-After')) || null });
}

// The first model: {id, max_model_len, thinking_switch}.
export async function getModel() {
  return (await (await ask('v1/models')).json()).data[0];
}

// The chunks of a chat's answer as they come. Throws ServerError, and AbortError when the signal says so.
export async function* streamChat(body, signal) {
  const response = await ask('v1/chat/completions', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, signal,
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }) });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let buffer = '';
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      buffer += decoder.decode(value, { stream: true });
      const events = buffer.split('\n\n');
      buffer = events.pop();
      for (const event of events) {
        const data = event.split('\n').filter(line => line.startsWith('data: ')).map(line => line.slice(6)).join('\n');
        if (data === '[DONE]') return;
        if (data === '') continue; // a comment
        const chunk = JSON.parse(data);
        if (chunk.error) throw new ServerError(chunk.error.message, { code: chunk.error.code ?? null });
        yield chunk;
      }
    }
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof ServerError) throw error;
    throw new ServerError('The connection broke before the answer was complete.');
  } finally {
    reader.cancel().catch(() => {});
  }
  throw new ServerError('The connection ended before the answer was complete.');
}
