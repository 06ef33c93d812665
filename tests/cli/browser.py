"""A headless Chromium through its DevTools protocol, over a pipe. Standard library only."""

import base64
import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
         "--remote-debugging-pipe")


class Browser:
    """The browser with pages in it. What its pages log and ask for is noted in each."""

    def __init__(self, program):
        self.folder = tempfile.mkdtemp(prefix="tq-browser-")
        to_read, self.to_browser = os.pipe()
        self.from_browser, to_write = os.pipe()

        def take_pipes():  # Chromium reads from 3 and writes to 4
            spare = [os.dup(fd) for fd in (to_read, to_write)]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self.folder}", "about:blank"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=take_pipes)
        os.close(to_read)
        os.close(to_write)
        self.n = 0
        self.answers = {}
        self.pages = {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        data = b""
        while more := os.read(self.from_browser, 1 << 16):
            data += more
            *messages, data = data.split(b"\0")
            for text in messages:
                message = json.loads(text)
                if "id" in message:
                    self.answers[message["id"]].put(message)
                elif page := self.pages.get(message.get("sessionId")):
                    page.event(message["method"], message["params"])

    def call(self, method, session=None, **params):
        self.n += 1
        message = {"id": self.n, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        answer = self.answers[self.n] = queue.Queue()
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        found = answer.get(timeout=60)
        if "error" in found:
            raise AssertionError(f"{method}: {found['error']}")
        return found["result"]

    def open(self, url="about:blank", width=1280, height=800):
        """A page with cookies and storage of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.go(url)
        return page

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.reader.join(10)
        os.close(self.to_browser)
        os.close(self.from_browser)
        shutil.rmtree(self.folder, ignore_errors=True)


class Page:
    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.complaints = []  # errors and warnings of the console, exceptions, dialogs
        self.requests = []  # URLs
        self.loaded = threading.Event()

    def event(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append("a dialog: " + params["message"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded.set()

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def go(self, url):
        self.loaded.clear()
        self.call("Page.navigate", url=url)
        assert self.loaded.wait(30), url

    def reload(self):
        self.loaded.clear()
        self.call("Page.reload")
        assert self.loaded.wait(30)

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=False)

    def emulate(self, **features):
        """prefers_color_scheme="dark" and the like."""
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def js(self, expression):
        """The value of an expression, which may be a promise."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True,
                         userGesture=True)
        if "exceptionDetails" in done:
            raise AssertionError(f"{expression}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait(self, expression, seconds=30):
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.js(expression)):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {expression}\n{self.complaints}\n" +
                                     self.js("document.body.innerText"))
            time.sleep(0.02)
        return value

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, code="", modifiers=0, text=""):
        """A key; modifiers: 1 Alt, 2 Control, 8 Shift."""
        text = text or {"Enter": "\r", "Tab": ""}.get(key, "")
        number = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38}.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, modifiers=modifiers,
                      windowsVirtualKeyCode=number, **({"text": text} if text and kind == "keyDown" else {}))

    def click(self, selector):
        """A real click in the middle of an element that is in sight."""
        x, y = self.wait(f"""(() => {{
          const found = document.querySelector({json.dumps(selector)});
          if (!found || !found.checkVisibility()) return null;
          found.scrollIntoView({{block: 'nearest'}});
          const box = found.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
