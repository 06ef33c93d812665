#!/usr/bin/env python3
"""The chat page in a headless Chromium, with a real tq serve and with scripted answers. TQ_BROWSER is the program
(scripts/test.sh --extended sets it); without it there is nothing to test. With TQ_SCREENSHOTS=FOLDER it writes
pictures there."""

import json
import os
import pathlib
import unittest

from browser import Browser
from page_server import ScriptedServer, page_files, text
from test_page import FILES, SOURCE
from test_serve import LONG, Server, tearDownModule  # noqa: F401
import test_serve

MARKDOWN = """Python sorts with **Timsort**, which is stable and takes `O(n log n)` comparisons. There are two ways:

1. `sorted(values)` returns a new list.
2. `values.sort()` sorts in place.

### By a key

```python
people = [("Ada", 36), ("Alan", 41), ("Grace", 85)]
people.sort(key=lambda person: person[1])
```

| call | new list | stable |
|:-----|:--------:|-------:|
| `sorted` | yes | yes |
| `list.sort` | no | yes |

> Keys are computed once per element.

See the [sorting how-to](https://docs.python.org/3/howto/sorting.html).
"""
HOSTILE = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2"> <svg onload="window.hacked=3">

[a](javascript:window.hacked=4) [b](data:text/html,<script>window.hacked=5</script>) <javascript:window.hacked=6>
![pixel](http://127.0.0.1:9/pixel.png) <iframe src="http://127.0.0.1:9/"></iframe> <base href="http://127.0.0.1:9/">

| <b onclick=x>t</b> | [c](vbscript:x) |
|---|---|
| <style>*{display:none}</style> | `<form action=//127.0.0.1:9>` |

```"><script>window.hacked=7</script>
</code></pre><script>window.hacked = 8</script>
```

[ok](https://ok.example/?a="onmouseover=x) <meta http-equiv=refresh content="0;url=http://127.0.0.1:9/">
"""
# Of what has text in sight: the least contrast between it and what is below it, as WCAG 2 computes it.
CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((x, i) => i < 3 ? x : x / 255);
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = c => c.slice(0, 3).map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const below = node => {
    if (!node) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(node).backgroundColor);
    return own[3] === 1 ? own : over(own, below(node.parentElement));
  };
  let least = [99, ''];
  const look = (node, colour, words) => {
    const back = below(node);
    const [a, b] = [light(over(rgba(colour), back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, `${node.tagName}.${node.className} ${words}`];
  };
  for (const node of document.querySelectorAll('body *')) {
    const words = [...node.childNodes].filter(one => one.nodeType === 3).map(one => one.data.trim()).join(' ').trim();
    if (!node.checkVisibility({ visibilityProperty: true }) || node.disabled) continue;
    if (words) look(node, getComputedStyle(node).color, words);
    if (node.placeholder) look(node, getComputedStyle(node, '::placeholder').color, node.placeholder);
  }
  return least;
})()"""


def setUpModule():
    if not os.environ.get("TQ_BROWSER"):
        raise unittest.SkipTest("no browser (see scripts/test.sh --extended)")
    test_serve.setUpModule()


class BrowserTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(os.environ["TQ_BROWSER"])
        cls.addClassCleanup(cls.browser.close)
        cls.server = Server("--max-num-seqs", "2")
        cls.addClassCleanup(cls.server.stop)
        cls.files = page_files(cls.server.port, FILES)

    def open(self, url, **size):
        page = self.browser.open(url, **size)
        self.addCleanup(page.close)
        return page

    def ready(self, url, **size):
        page = self.open(url, **size)
        page.wait("document.querySelector('#context').textContent.includes('tokens')")
        return page

    def scripted(self, answer, **options):
        if isinstance(answer, list):
            deltas = answer
            answer = lambda _: deltas  # noqa: E731
        server = ScriptedServer(dict(self.files), answer, **options)
        self.addCleanup(server.close)
        return server

    def send(self, page, words):
        page.click("#input")
        page.type(words)
        page.press("Enter")

    def done(self, page, seconds=30):
        page.wait("document.querySelector('#send').textContent === 'Send'", seconds)

    def show(self, page, name):
        if folder := os.environ.get("TQ_SCREENSHOTS"):
            page.screenshot(pathlib.Path(folder) / f"{name}.png")

    def assert_quiet(self, page, url):
        """Nothing in the console, and nothing asked from anyone else."""
        self.assertEqual(page.complaints, [])
        self.assertEqual([asked for asked in page.requests if not asked.startswith(url)], [])

    def messages(self, page):
        return page.js("[...document.querySelectorAll('.message .body')].map(body => body.textContent)")


class RealServerTest(BrowserTest):
    def setUp(self):
        self.url = f"http://127.0.0.1:{self.server.port}/"
        self.page = self.ready(self.url)

    def set_up_settings(self, **values):
        self.page.click("#settings-open")
        for name, value in values.items():
            self.page.js(f"""(() => {{ const field = document.querySelector('#settings [name={name}]');
              field.value = {json.dumps(value)}; field.dispatchEvent(new Event('input', {{bubbles: true}})); }})()""")
        self.page.press("Escape")

    def test_ask_edit_regenerate_reload(self):
        page = self.page
        self.set_up_settings(max_tokens="24", temperature="0")
        self.send(page, "hello")
        self.done(page)
        _, whole = self.server.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "hello"}], "max_tokens": 24, "temperature": 0})
        said = whole["choices"][0]["message"]["content"]
        squeezed = lambda words: "".join(words.split())  # noqa: E731
        self.assertEqual([squeezed(words) for words in self.messages(page)], ["hello", squeezed(said)])
        tokens = whole["usage"]["completion_tokens"]
        self.assertIn(f"{tokens} tokens · ", page.js("document.querySelector('.stats').textContent"))
        self.assertIn(f"{whole['usage']['total_tokens']} of 65,536 tokens", page.js("document.body.innerText"))
        page.click(".assistant [data-action=again]")
        self.done(page)
        self.assertEqual(squeezed(self.messages(page)[1]), squeezed(said))
        page.press("ArrowUp")  # in the empty field
        page.wait("document.activeElement.closest('.message') !== null")
        page.js("document.activeElement.select()")
        page.type("other words")
        page.press("Enter")
        self.done(page)
        self.assertEqual(self.messages(page)[0], "other words")
        self.assertEqual(len(self.messages(page)), 2)
        before = self.messages(page)
        page.reload()
        page.wait("document.querySelectorAll('.message').length === 2")
        self.assertEqual(self.messages(page), before)
        self.assert_quiet(page, self.url)

    def test_stop(self):
        page = self.page
        for stop in (lambda: page.click("#send"), lambda: page.press("Escape")):
            page.js("document.querySelector('#new').click()")
            self.set_up_settings(max_tokens=str(LONG), temperature="0")
            self.send(page, "hello")
            page.wait("document.querySelector('.assistant .prose')?.textContent.length > 20")
            stop()
            self.done(page)
            self.assertEqual(page.js("document.querySelector('.notice').textContent"), "Stopped.")
            self.server.wait_until_idle()
        self.assert_quiet(page, self.url)

    def test_the_context_is_full(self):
        self.send(self.page, "a" * 70000)
        self.page.wait("document.querySelector('.notice.error') !== null")
        words = self.page.js("document.querySelector('.notice.error').textContent")
        self.assertRegex(words, r"the prompt is 7\d{4} tokens long, and the context of this server is 65536")
        self.assertIn("begin a new chat", words)
        self.assertEqual(self.page.js("document.querySelector('.assistant [data-action=again]').textContent"),
                         "Try again")

    def test_a_key_is_asked_for(self):
        server = Server("--api-key", "secret")
        self.addCleanup(server.stop)
        url = f"http://127.0.0.1:{server.port}/"
        page = self.open(url)
        page.wait("document.querySelector('#key').open")
        self.show(page, "key")
        page.type("wrong")
        page.press("Enter")
        page.wait("document.querySelector('#key-error').textContent.includes('needs an API key')")
        page.press("Escape")
        page.wait("document.querySelector('#status').textContent.includes('Without a key')")
        self.send(page, "x")
        page.wait("document.querySelector('#key').open")
        page.type("secret")
        page.press("Enter")
        page.wait("document.querySelector('#model').textContent === 'model'")
        page.reload()  # the key lasts as long as the tab
        page.wait("document.querySelector('#model').textContent === 'model'")
        self.assertEqual(page.js("JSON.stringify(localStorage).includes('secret')"), False)


@unittest.skipUnless(os.environ.get("TQ_TEST_QWEN25"), "no model (scripts/test.sh --extended)")
class RealModelTest(BrowserTest):
    def test_an_answer_is_one(self):
        server = Server("--format", "tq8", "--ctx", "2k", model=os.environ["TQ_TEST_QWEN25"])
        self.addCleanup(server.stop)
        page = self.ready(f"http://127.0.0.1:{server.port}/")
        self.send(page, "What is the capital of France?")
        self.done(page, seconds=180)
        self.assertIn("Paris", self.messages(page)[1])
        self.assertRegex(page.js("document.querySelector('.stats').textContent"), r"\d tokens/s")
        self.show(page, "real-model")


class ScriptedTest(BrowserTest):
    def test_hostile_markdown(self):
        server = self.scripted(text(HOSTILE, 9) + [{"reasoning_content": HOSTILE}])
        page = self.ready(server.url)
        self.send(page, HOSTILE)
        self.done(page)
        self.assertEqual(page.js("window.hacked ?? null"), None)
        self.assertEqual(page.js("document.querySelectorAll('#messages :is(script, img, svg, iframe, style, form, "
                                 "base, meta, object, embed, link, [onclick], [onerror], [style])').length"), 0)
        links = page.js("[...document.querySelectorAll('#messages a')].map(a => [a.href, a.rel, a.target])")
        self.assertEqual({link[0] for link in links},
                         {"http://127.0.0.1:9/", "http://127.0.0.1:9/pixel.png",
                          "https://ok.example/?a=%22onmouseover=x"})
        for _, rel, target in links:
            self.assertIn("noopener", rel)
            self.assertEqual(target, "_blank")
        self.assertIn("<script>window.hacked = 1</script>", self.messages(page)[1])
        page.reload()
        page.wait("document.querySelectorAll('.message').length === 2")
        self.assertEqual(page.js("window.hacked ?? null"), None)
        self.assert_quiet(page, server.url)

    def test_markdown_cases(self):
        server = self.scripted([])
        server.files["/tests.mjs"] = ([("Content-Type", "text/javascript")],
                                      (SOURCE / "tests/page/markdown.mjs").read_bytes())
        page = self.ready(server.url)
        faults = page.js("Promise.all([import('/tests.mjs'), import('/page/markdown.js')])"
                         ".then(([tests, page]) => tests.run(page, document))")
        self.assertEqual(faults, [])

    def test_reasoning_tools_and_settings(self):
        call = {"tool_calls": [{"index": 0, "id": "call-1", "type": "function",
                                "function": {"name": "weather", "arguments": '{"city":'}}]}
        more = {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}

        def answer(body):
            if body["messages"][-1]["role"] == "tool":
                return text("It rains.")
            return [{"reasoning_content": "They ask "}, {"reasoning_content": "for rain."}, call, more, "tool_calls"]

        server = self.scripted(answer)
        page = self.ready(server.url)
        page.press("o", "KeyO", modifiers=1)
        tools = [{"type": "function", "function": {"name": "weather"}}]
        values = {"system": "Be brief.", "temperature": "0.5", "top_p": "0.9", "top_k": "40", "min_p": "0.05",
                  "max_tokens": "200", "seed": "7", "thinking": "off", "tools": json.dumps(tools)}
        for name, value in values.items():
            page.js(f"""(() => {{ const field = document.querySelector('#settings [name={name}]');
              field.value = {json.dumps(value)}; field.dispatchEvent(new Event('input', {{bubbles: true}})); }})()""")
        self.show(page, "settings")
        page.press("Escape")
        self.send(page, "Does it rain in Oslo?")
        page.wait("document.querySelector('.result textarea') !== null")
        self.assertEqual(page.js("document.querySelector('.call').textContent"),
                         'Call of weatherCopy{\n  "city": "Oslo"\n}')
        self.assertEqual(page.js("document.querySelector('details.reasoning').open"), False)
        self.assertEqual(page.js("document.querySelector('.reasoning .prose').textContent"),
                         "They ask for rain.")
        self.assertTrue(page.js("document.querySelector('#send').disabled"))
        page.click(".result textarea")
        page.type("heavy rain")
        self.show(page, "tools")
        page.click(".result button")
        page.wait("document.querySelectorAll('.assistant').length === 2")
        self.done(page)
        self.assertEqual(self.messages(page)[-1], "It rains.")
        first, second = server.bodies
        self.assertEqual(first["messages"], [{"role": "system", "content": "Be brief."},
                                             {"role": "user", "content": "Does it rain in Oslo?"}])
        self.assertEqual({name: first[name] for name in
                          ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", "tools", "model")},
                         {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "max_tokens": 200,
                          "seed": 7, "tools": tools, "model": "scripted"})
        self.assertEqual(first["chat_template_kwargs"], {"enable_thinking": False})
        self.assertEqual(second["messages"][2:], [
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "call-1", "type": "function",
                 "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]},
            {"role": "tool", "content": "heavy rain", "tool_call_id": "call-1"}])
        self.assert_quiet(page, server.url)

    def test_errors_are_shown_as_the_server_says_them(self):
        answers = [(429, {"error": {"message": "9 requests are under way", "code": "queue_full"}}),
                   [*text("half an "), {"error": {"message": "the engine failed", "code": None}}],
                   text("whole")]
        server = self.scripted(lambda _: answers.pop(0))
        page = self.ready(server.url)
        self.send(page, "hi")
        for words in ("9 requests are under way", "the engine failed"):
            page.wait(f"document.querySelector('.error')?.textContent === {json.dumps(words)}")
            page.click("[data-action=again]")
        page.wait("document.querySelector('.assistant .prose')?.textContent === 'whole'")
        self.assertEqual([body["messages"] for body in server.bodies],
                         [[{"role": "user", "content": "hi"}]] * 3)
        self.assertEqual(page.js("document.querySelectorAll('.error').length"), 0)

    def test_a_model_that_is_being_loaded(self):
        server = self.scripted(text("x"))
        ready = server.models
        server.models = (503, {"error": {"message": "the model is being loaded", "code": "loading"}})
        page = self.open(server.url)
        page.wait("document.querySelector('#model').textContent.includes('being loaded')")
        self.send(page, "too early")
        self.assertEqual(page.js("[document.querySelector('#input').value, document.querySelector('#key').open]"),
                         ["too early", False])
        server.models = ready
        page.wait("document.querySelector('#model').textContent === 'scripted'")

    def test_conversations(self):
        server = self.scripted(lambda body: text("about " + body["messages"][-1]["content"]))
        page = self.ready(server.url)
        for words in ("first", "second"):
            page.press("n", "KeyN", modifiers=1)
            self.send(page, words)
            self.done(page)
        names = "[...document.querySelectorAll('#chats .open')].map(one => one.textContent)"
        self.assertEqual(page.js(names), ["second", "first"])
        page.click("#chats li:nth-child(2) .open")
        self.assertEqual(self.messages(page), ["first", "about first"])
        exported = page.js("import('/page/store.js').then(store => store.exportChats(store.loadChats()))")
        page.click("#chats li:nth-child(1) .delete")
        page.press("Escape")  # changed their mind
        self.assertEqual(page.js(names), ["second", "first"])
        page.click("#chats li:nth-child(1) .delete")
        page.click("#confirm .danger")
        page.wait(f"{names}.length === 1")
        other = self.ready(server.url)  # another browser takes them over
        other.js(f"""(() => {{
          const files = new DataTransfer();
          files.items.add(new File([{json.dumps(exported)}], 'chats.json'));
          const field = document.querySelector('#file');
          field.files = files.files;
          field.dispatchEvent(new Event('change'));
        }})()""")
        other.wait(f"{names}.length === 2")
        other.reload()
        other.wait(f"{names}.length === 2")
        for broken in ("{", "{}", json.dumps({"format": "turboquant-chats", "chats": [{"id": "<", "messages": []}]})):
            failed = other.js("import('/page/store.js').then(store => { try { store.importChats("
                              f"{json.dumps(broken)}); }} catch (error) {{ return error.message; }} }})")
            self.assertIn("file", failed)
        self.assert_quiet(page, server.url)

    def test_copy(self):
        server = self.scripted(text("```sh\nls -l\n```"))
        page = self.ready(server.url)
        self.browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.send(page, "x")
        self.done(page)
        page.click("[data-action=copy-code]")
        page.wait("document.querySelector('[data-action=copy-code]').textContent === 'Copied'")


class AccessTest(BrowserTest):
    def conversation(self, page):
        self.send(page, "How does sorting work in Python?")
        self.done(page)

    def setUp(self):
        self.server_ = self.scripted([{"reasoning_content": "A short answer with code and a table will do."},
                                      *text(MARKDOWN, 40)], usage=(1184, 212))
        self.page = self.ready(self.server_.url)

    def test_names_landmarks_and_live_regions(self):
        self.conversation(self.page)
        tree = self.page.call("Accessibility.getFullAXTree")["nodes"]
        value = lambda node, key: node.get(key, {}).get("value", "")  # noqa: E731
        found = [(value(node, "role"), value(node, "name")) for node in tree if not node["ignored"]]
        for role, name in found:
            if role in ("button", "textbox", "combobox", "link", "spinbutton", "article", "region"):
                self.assertTrue(name.strip(), (role, name))
        for wanted in (("navigation", "Conversations"), ("main", ""), ("region", "Messages"), ("textbox", "Message"),
                       ("article", "You"), ("article", "Model")):
            self.assertIn(wanted, found)
        self.assertEqual(self.page.js("document.documentElement.lang"), "en")
        # The answer is told block by block, and its end.
        told = self.page.js("[...document.querySelectorAll('#announcer p')].map(p => p.textContent)")
        self.assertEqual(told, self.page.js("[...document.querySelectorAll('.assistant > .body > .prose > *')]"
                                            ".map(block => block.textContent)"))
        self.assertEqual(self.page.js("document.querySelector('#announcer').getAttribute('aria-live')"), "polite")
        self.assertEqual(self.page.js("document.querySelector('#status').textContent"), "The answer is complete.")
        self.assertEqual(self.page.js("document.querySelector('.assistant').getAttribute('aria-busy')"), "false")

    def test_contrast(self):
        self.conversation(self.page)
        self.page.js("document.querySelector('details').open = true")
        for scheme in ("light", "dark"):
            self.page.emulate(prefers_color_scheme=scheme)
            self.assertGreaterEqual(self.page.js(CONTRAST)[0], 4.5, self.page.js(CONTRAST))
            for opener in ("#settings-open", "#shortcuts"):
                self.page.click(opener)
                self.assertGreaterEqual(self.page.js(CONTRAST)[0], 4.5, self.page.js(CONTRAST))
                self.page.press("Escape")
        # The switch has the last word.
        background = "getComputedStyle(document.body).backgroundColor"
        dark = self.page.js(background)
        self.page.click("#theme")
        light = self.page.js(background)
        self.page.click("#theme")
        self.assertEqual(self.page.js(background), dark)
        self.assertNotEqual(light, dark)
        self.page.reload()
        self.assertEqual(self.page.js("document.documentElement.dataset.theme"), "dark")

    def test_sizes(self):
        self.conversation(self.page)
        for name, (width, height) in {"wide": (1280, 860), "zoom": (640, 430), "phone": (390, 780),
                                      "narrow": (320, 568)}.items():
            self.page.resize(width, height)
            self.page.js("document.querySelector('#log').scrollTop = 0")
            self.show(self.page, name)
            self.assertLessEqual(self.page.js("document.documentElement.scrollWidth"), width)
            box = self.page.js("(() => { const b = document.querySelector('#send').getBoundingClientRect();"
                               " return [b.right, b.bottom]; })()")
            self.assertLessEqual(box[0], width)
            self.assertLessEqual(box[1], height)
            self.assertGreater(self.page.js("document.querySelector('#log').clientHeight"), 0.4 * height)
        visible = "document.querySelector('#new').checkVisibility({visibilityProperty: true})"
        self.assertFalse(self.page.js(visible))
        self.page.click("#menu")
        self.assertTrue(self.page.js(visible))
        self.assertEqual(self.page.js("document.activeElement.id"), "new")
        self.show(self.page, "menu")
        self.page.press("Escape")
        self.assertFalse(self.page.js(visible))
        if os.environ.get("TQ_SCREENSHOTS"):
            self.page.resize(1280, 860)
            self.page.emulate(prefers_color_scheme="dark")
            self.show(self.page, "dark")

    def test_by_keyboard(self):
        self.conversation(self.page)
        self.page.js("document.activeElement.blur(); document.querySelector('.skip').focus()")
        seen = []
        for _ in range(40):
            self.page.press("Tab")
            where = self.page.js("(() => { const a = document.activeElement;"
                                 " return a.id || a.dataset.action || a.className || a.tagName; })()")
            outline = self.page.js("getComputedStyle(document.activeElement).outlineStyle")
            if where not in ("input", "BODY", "file"):  # the field's frame changes its colour instead
                self.assertNotEqual(outline, "none", where)
            if where == "BODY" or where in seen[:1] and len(seen) > 20:
                break
            seen.append(where)
        order = [name for name in seen if name in ("new", "export", "import", "shortcuts", "theme", "settings-open",
                                                   "log", "edit", "again", "input", "send")]
        self.assertEqual(order, ["new", "export", "import", "shortcuts", "theme", "settings-open", "log", "edit",
                                 "again", "input", "send"])

    def test_less_motion(self):
        self.server_.answer = lambda _: [None, *text("x")]
        self.send(self.page, "x")
        moves = "getComputedStyle(document.querySelector('.waiting .body'), '::before').animationName"
        self.page.wait("document.querySelector('.waiting') !== null")
        self.assertEqual(self.page.js(moves), "breathe")
        self.page.emulate(prefers_reduced_motion="reduce")
        self.assertEqual(self.page.js(moves), "none")
        self.server_.go_on.set()
        self.done(self.page)


if __name__ == "__main__":
    unittest.main()
