"""A server with the chat page of a real tq serve and answers that a test has written. Standard library only."""

import http.client
import http.server
import json
import threading

MODEL = {"id": "scripted", "object": "model", "created": 0, "owned_by": "tests", "root": "/models/scripted",
         "parent": None, "max_model_len": 8192, "thinking_switch": True}


def page_files(port, paths):
    """{path: (headers, bytes)} as the server on that port sends them."""
    files = {}
    for path in paths:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        files[path] = ([(name, value) for name, value in response.getheaders()
                        if name not in ("Content-Length", "Connection")], response.read())
        connection.close()
    return files


def text(content, size=7, **delta):
    """The deltas of an answer that is that text."""
    return [{"content": content[i:i + size], **delta} for i in range(0, len(content), size)]


class ScriptedServer:
    """`answer` gets the body of a request for a chat; it gives a list of deltas, of which a string is the reason
    why it ended and a dict with "error" an error, or (status, error). The bodies are kept in `bodies`."""

    def __init__(self, files, answer, usage=(20, 100)):
        self.files, self.answer, self.usage = files, answer, usage
        self.bodies = []
        self.models = (200, {"object": "list", "data": [MODEL]})
        self.go_on = threading.Event()  # an answer waits for it where a delta is None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def send(self, status, body, headers):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def send_json(self, status, value):
                self.send(status, json.dumps(value).encode(), [("Content-Type", "application/json")])

            def do_GET(self):
                if self.path in outer.files:
                    headers, body = outer.files[self.path]
                    self.send(200, body, headers)
                elif self.path == "/v1/models":
                    self.send_json(*outer.models)
                else:
                    self.send_json(404, {"error": {"message": "there is no such path", "code": "unknown_url"}})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                found = outer.answer(body)
                if isinstance(found, tuple):
                    return self.send_json(*found)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                try:
                    self.stream(found)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.close_connection = True

            def event(self, value):
                data = value if isinstance(value, str) else json.dumps(value)
                self.wfile.write(f"data: {data}\n\n".encode())
                self.wfile.flush()

            def stream(self, deltas):
                finish = "stop"
                for delta in deltas:
                    if delta is None:
                        outer.go_on.wait(60)
                    elif isinstance(delta, str):
                        finish = delta
                    elif "error" in delta:
                        return self.event(delta)
                    else:
                        self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
                prompt, generated = outer.usage
                self.event({"choices": [], "usage": {
                    "prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated,
                    "prompt_tokens_details": {"cached_tokens": prompt // 2}}})
                return self.event("[DONE]")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
