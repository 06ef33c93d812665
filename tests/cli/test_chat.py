#!/usr/bin/env python3
"""tq chat on tiny checkpoints: turns, commands, files, a full context; and at a pseudo terminal:
editing, paste, Ctrl-C, typing ahead, word wrap, progress."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import tempfile
import termios
import time
import unittest

from cli_support import TOKENS, TQ, make_model, tq, tq_json


class ChatBase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def saved(self, name):
        """The messages of a file that /save wrote."""
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)["messages"]

    def check_error(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done)
        for part in parts:
            self.assertIn(part, done.stderr)


class ChatPiped(ChatBase):
    def setUp(self):
        super().setUp()
        self.model = make_model(self.path("model"))

    def chat(self, *lines, n=6, options=()):
        done = tq("chat", self.model, "-n", n, "--ignore-eos", "--json", *options,
                  stdin="\n".join(lines) + "\n")
        self.assertEqual(done.returncode, 0, done)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_turns_build_on_each_other(self):
        first, second = self.chat("hello", "world")
        self.assertEqual(first["prompt_tokens"], 8)
        self.assertEqual(first["reused_tokens"], 0)
        self.assertEqual(second["prompt_tokens"], 8 + len(first["text"]) + 1 + 5 + 1)
        self.assertGreaterEqual(second["reused_tokens"], 8)
        # What the cache kept gives the same answer as computing all of it.
        prompt = f"<s><user>hello<model>{first['text']}<user>world<model>"
        plain = make_model(self.path("plain"), template="{{ messages[0].content }}")
        alone = tq_json("run", plain, prompt, "-n", 6, "--ignore-eos")
        self.assertEqual(alone["text"], second["text"])

    def test_commands(self):
        first, again, system = self.chat("hello", "/clear", "hello", "/system abc", "hello")
        self.assertEqual(first["text"], again["text"])
        self.assertEqual(system["prompt_tokens"], first["prompt_tokens"] + 1 + 3)
        self.assertEqual(self.chat("/exit", "hello"), [])
        self.assertEqual(len(self.chat("", "  ", "hello")), 1)
        with_system = self.chat("hello", options=("--system", "abc"))
        self.assertEqual(with_system[0]["text"], system["text"])

    def test_another_template(self):
        with open(self.path("short.jinja"), "w", encoding="utf-8") as file:
            file.write("{{ messages[-1].content }}")
        options = ("--chat-template", self.path("short.jinja"))
        self.assertEqual(self.chat("hello", options=options)[0]["prompt_tokens"], 5)
        plain = make_model(self.path("plain"), template=None)
        self.check_error(tq("chat", plain, stdin="hello\n"), 2, "no chat template")
        done = tq("chat", plain, "-n", 2, "--ignore-eos", *options, stdin="hello\n")
        self.assertEqual(done.returncode, 0, done)

    def test_nothing_to_answer(self):
        for stdin in ("", "\n  \n"):
            self.check_error(tq("chat", self.model, stdin=stdin), 2, "stdin is empty")

    def test_an_answer_that_was_cut_goes_on(self):
        for sampling in (("--temp", 0), ("--temp", 1, "--seed", 3, "--frequency-penalty", 1)):
            (whole,) = self.chat("hello", n=30, options=sampling)
            first, second, third, after = self.chat(
                "hello", "/set n 9", "/continue", "/set max-tokens 15", "/cont", "x",
                options=sampling)
            self.assertEqual([x["generated_tokens"] for x in (first, second, third)], [6, 9, 15])
            self.assertEqual(first["finish_reason"], "length")
            self.assertEqual(third["text"], whole["text"])
            self.assertTrue(whole["text"].startswith(second["text"]))
            # All but the last token that was sampled is in the cache.
            self.assertEqual(second["reused_tokens"], second["prompt_tokens"] - 1)
            self.assertEqual(after["prompt_tokens"], 8 + len(whole["text"]) + 1 + 1 + 1)

    def test_nothing_to_continue_retry_or_undo(self):
        for command in ("/continue", "/retry", "/undo"):
            done = tq("chat", self.model, stdin=command + "\n")
            self.check_error(done, 2, command)
        eos = ("--logit-bias", "1=100")
        done = tq("chat", self.model, *eos, stdin="hello\n/continue\n")
        self.check_error(done, 2, "complete")

    def test_retry_draws_anew(self):
        sampled = ("--temp", 3, "--seed", 5)
        first, again, next_turn = self.chat("hello", "/retry", "x", options=sampled)
        self.assertNotEqual(first["text"], again["text"])
        self.assertEqual(first["prompt_tokens"], again["prompt_tokens"])
        (other_seed,) = self.chat("hello", options=("--temp", 3, "--seed", 6))
        self.assertEqual(again["text"], other_seed["text"])
        self.assertEqual(next_turn["prompt_tokens"], 8 + len(again["text"]) + 1 + 1 + 1)
        greedy, same = self.chat("hello", "/regen", options=("--temp", 0))
        self.assertEqual(greedy["text"], same["text"])

    def test_undo(self):
        first, _, third = self.chat("hello", "world", "/undo", "world")
        self.assertEqual(third["prompt_tokens"], 8 + len(first["text"]) + 1 + 5 + 1)

    def test_save_and_load(self):
        file = self.path("c.json")
        first, second = self.chat("hello", f"/save {file}", "world", options=("--system", "abc"))
        messages = self.saved("c.json")
        self.assertEqual(messages, [{"role": "system", "content": "abc"},
                                    {"role": "user", "content": "hello"},
                                    {"role": "assistant", "content": first["text"]}])
        loaded, system = self.chat("other", f"/load {file}", "world", "/clear", "hello")[1:]
        self.assertEqual(loaded["text"], second["text"])
        self.assertEqual(loaded["prompt_tokens"], second["prompt_tokens"])
        self.assertEqual(system["text"], first["text"])  # the system message came with it
        # An answer of a file can be continued, and a question answered.
        going_on, = self.chat(f"/load {file}", "/continue")
        self.assertTrue(going_on["text"].startswith(first["text"]))
        with open(file, "w", encoding="utf-8") as out:
            json.dump(messages[:2], out)
        answered, = self.chat(f"/load {file}", "/retry")
        self.assertEqual(answered["text"], first["text"])

    def test_files_that_are_no_conversations(self):
        def run(*lines):
            return tq("chat", self.model, "-n", 1, stdin="\n".join(lines) + "\n")
        self.check_error(run("/load " + self.path("none.json")), 3, "none.json")
        for text, part in (("precious", "file.json"), ("{}", "messages"),
                           ('[{"role":"user"}]', "message 1"),
                           ('[{"role":"user","content":"a"},{"role":"x","content":"b"}]', "'x'")):
            with open(self.path("file.json"), "w", encoding="utf-8") as out:
                out.write(text)
            self.check_error(run("/load " + self.path("file.json")), 4, part, "file.json")
        self.check_error(run("a", "/save " + self.path("file.json")), 2, "another name")
        self.check_error(run("a", "/save " + self.path("no/folder")), 6, "no/folder")
        self.check_error(run("a", "/save"), 2, "FILE")
        with open(self.path("file.json"), encoding="utf-8") as kept:
            self.assertIn("'x'".replace("'", '"'), kept.read())

    def test_set(self):
        first, second = self.chat("hello", "/set temperature 1.5", "/set seed 7", "/clear", "hello")
        (other,) = self.chat("hello", options=("--temp", 1.5, "--seed", 7))
        self.assertNotEqual(first["text"], second["text"])
        self.assertEqual(second["text"], other["text"])
        listed = tq("chat", self.model, "--temp", 0.25, stdin="/set\n")
        self.assertRegex(listed.stdout, r"temperature +0\.25")
        for line in ("/set top-k x", "/set nonsense 1", "/set think on"):
            self.check_error(tq("chat", self.model, stdin=line + "\n"), 2, line.split()[1])

    def test_a_command_that_there_is_not(self):
        done = tq("chat", self.model, "-n", 2, "--ignore-eos", stdin="/nonsense\nhello\n")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("/nonsense", done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_every_line_is_a_turn(self):
        self.assertEqual(len(self.chat('"""a', "b\\", 'c"""')), 3)

    def test_stats_and_the_start_line(self):
        done = tq("chat", self.model, "-n", 4, "--ignore-eos", stdin="hello\n/stats\n")
        self.assertRegex(done.stderr, r"model: llama, .* parameters, .*; context 512 of 512 tokens; "
                                      r"cpu.*; greedy")
        self.assertIn("turns 1, 12 of 512 tokens", done.stdout)
        self.assertEqual(done.stderr.count("[cut after 4 tokens"), 1)

    def test_an_answer_fills_the_context(self):
        done = tq("chat", self.model, "--ctx", 64, "--ignore-eos", "--json", stdin="hello\n")
        self.assertEqual(json.loads(done.stdout)["generated_tokens"], 64 - 8)
        self.assertEqual(done.stderr, "")  # --json is quiet
        done = tq("chat", self.model, "--ctx", 64, "--ignore-eos", stdin="hello\n")
        self.assertIn("the context of 64 tokens is full", done.stderr)
        # -n is a limit, not a demand.
        done = tq("chat", self.model, "--ctx", 64, "-n", 1000, "--ignore-eos", "--json",
                  stdin="hello\n")
        self.assertEqual(json.loads(done.stdout)["generated_tokens"], 64 - 8)

    def test_jsonl(self):
        done = tq("chat", self.model, "-n", 6, "--ignore-eos", "--jsonl", "--seed", 3,
                  stdin="hello\nworld\n")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stderr, "")
        start, *lines = map(json.loads, done.stdout.splitlines())
        self.assertEqual((start["type"], start["command"], start["seed"]), ("start", "chat", 3))
        self.assertEqual([line["type"] for line in lines if line["type"] != "text"],
                         ["result", "result"])
        text = ""
        for line in lines:
            if line["type"] == "result":
                self.assertEqual(line["text"], text)
                self.assertEqual(line["schema"], 1)
            text = text + line["text"] if line["type"] == "text" else ""
        first, second = self.chat("hello", "world")
        self.assertEqual([line["text"] for line in lines if line["type"] == "result"],
                         [first["text"], second["text"]])

    def test_drop_oldest(self):
        lines = ["abcdefghij" * 2] * 4
        stops = tq("chat", self.model, "--ctx", 64, "-n", 6, "--ignore-eos", "--json",
                   stdin="\n".join(lines))
        self.check_error(stops, 2, "context of 64")
        self.assertEqual(len(stops.stdout.splitlines()), 2)
        drops = ["chat", self.model, "--ctx", 64, "-n", 6, "--ignore-eos", "--system", "xyz",
                 "--context-full", "drop-oldest"]
        said = tq(*drops, stdin="\n".join(lines))
        self.assertIn("oldest 1 turns no more", said.stderr)
        done = tq(*drops, "--json", stdin="\n".join([*lines, "/save " + self.path("c.json")]))
        self.assertEqual(done.returncode, 0, done)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), 4)
        self.assertEqual(len(self.saved("c.json")), 1 + 2 * 4)
        # The last prompt: the system message, one turn before, and the question.
        texts = [m["content"] for m in self.saved("c.json")]
        prompt = f"<s><user>xyz<user>{texts[5]}<model>{texts[6]}<user>{texts[7]}<model>"
        plain = make_model(self.path("plain"), template="{{ messages[0].content }}")
        alone = tq_json("run", plain, prompt, "-n", 6, "--ignore-eos")
        self.assertEqual(alone["text"], answers[3]["text"])
        self.assertEqual(alone["prompt_tokens"], answers[3]["prompt_tokens"])
        # A single message that is too long is an error all the same.
        done = tq("chat", self.model, "--ctx", 64, "--context-full", "drop-oldest",
                  stdin="a" * 100)
        self.check_error(done, 2, "context of 64")

    def test_help(self):
        done = tq("chat", self.model, stdin="/help\n")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("/clear", done.stdout)

    def test_conversation_longer_than_the_context(self):
        done = tq("chat", self.model, "--ctx", 16, stdin="a line of text that is too long\n")
        self.check_error(done, 2, "16")


class ChatTerminal(ChatBase):
    """Drives tq chat through a pseudo terminal."""

    def setUp(self):
        super().setUp()
        self.model = make_model(self.path("model"), max_position=10**7)
        self.process = None
        self.screen = ""

    def start(self, *options, columns=80, command="chat", prompt="> "):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.environ.update({"TERM": "xterm", "XDG_STATE_HOME": self.path("state"),
                               "LC_ALL": "C.UTF-8"})
            os.execv(TQ, [TQ, command, str(self.model), *map(str, options)])
        self.screen = ""
        if prompt:
            self.expect(prompt)

    def local_modes(self):
        return termios.tcgetattr(self.terminal)[3]

    def paste(self, text):
        self.type(f"\x1b[200~{text}\x1b[201~")

    def read_until(self, done, what):
        """Reads from the terminal until done(screen)."""
        end = time.monotonic() + 60
        while not done(self.screen):
            self.assertLess(time.monotonic(), end, f"no {what} in {self.screen[-2000:]!r}")
            if select.select([self.terminal], [], [], 1)[0]:
                self.screen += os.read(self.terminal, 4096).decode("utf-8", "replace")

    def expect(self, text):
        """Reads until text is on the screen; forgets the screen up to its end."""
        self.read_until(lambda screen: text in screen, repr(text))
        self.screen = self.screen[self.screen.index(text) + len(text):]

    def expect_more(self, n):
        """Reads until n characters are on the screen."""
        self.read_until(lambda screen: len(screen) >= n, f"{n} characters")

    def type(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.terminal, data):]

    def leave(self):
        """Presses Ctrl-D at the prompt."""
        self.expect("> ")
        self.type("\x04")
        self.assertEqual(self.finish(), 0)

    def finish(self):
        """Exit code of tq once it has ended."""
        end = time.monotonic() + 60
        while True:
            self.assertLess(time.monotonic(), end, self.screen)
            try:
                if select.select([self.terminal], [], [], 0.1)[0]:
                    self.screen += os.read(self.terminal, 4096).decode("utf-8", "replace")
            except OSError:
                pass
            pid, status = os.waitpid(self.process, os.WNOHANG)
            if pid:
                self.assertTrue(self.local_modes() & termios.ECHO)
                self.assertTrue(self.local_modes() & termios.ICANON)
                self.assertTrue(self.local_modes() & termios.ISIG)
                os.close(self.terminal)
                return os.waitstatus_to_exitcode(status)

    def test_editing_and_history(self):
        self.start("-n", 3, "--ignore-eos")
        self.type("/hxlp\x7f\x7f\x7felp\r")  # typed wrongly, corrected with backspace
        self.expect("forget the conversation")
        self.expect("> ")
        self.type("hello\r")
        self.expect("answer 3 tokens")
        self.expect("> ")
        self.type("\x1b[A\x1b[A\r")  # up, up: /help again
        self.expect("forget the conversation")
        self.leave()
        self.start("-n", 3, "--ignore-eos")  # the history outlives the process
        self.type("\x1b[A\r")
        self.expect("forget the conversation")
        self.expect("> ")
        self.type("/exit\r")
        self.assertEqual(self.finish(), 0)

    def test_characters_that_utf8_has_no_more(self):
        # The C library reads them; libedit ended the process.
        self.start("-n", 3)
        os.write(self.terminal, b"\xfc\x9e\x98\x9e\x96\x91 and \xf4\x90\x80\x80\r")
        self.expect("> ")
        self.type("/help\r")
        self.expect("forget")
        self.leave()

    def test_no_history(self):
        self.start("--no-history")
        self.type("/help\r")
        self.expect("forget")
        self.type("/exit\r")
        self.assertEqual(self.finish(), 0)
        self.assertFalse(os.path.exists(self.path("state")))

    def test_interrupt_stops_the_answer_and_not_the_chat(self):
        self.start("-n", 90000, "--ctx", 100000, "--ignore-eos", "--temp", 1)
        self.type("hello\r")
        self.expect("\n")
        self.expect_more(20)  # of the answer
        self.type("\x03")
        self.expect("[stopped]")
        self.expect("> ")
        self.type("/help\r")
        self.expect("forget")
        self.leave()

    def test_interrupt_at_the_prompt(self):
        self.start("-n", 3)
        self.type("half a line\x03")
        self.expect("Ctrl-D to leave")
        self.expect("> ")
        self.type("/help\r")  # the half line is gone
        self.expect("forget")
        self.expect("> ")
        self.type("\x03")
        self.expect("Ctrl-D to leave")
        self.type("\x03")
        self.assertEqual(self.finish(), 0)

    def test_pasted_text_is_one_message(self):
        self.start("-n", 2, "--ignore-eos")
        text = "first line\r\tthe second\r\r/quit is text\r\u6f22\u5b57 and \U0001f600\r\r"
        self.paste(text)
        self.expect("\U0001f600")
        self.type(" end\r")
        self.expect("answer 2 tokens")
        self.expect("> ")
        self.paste(f"/save {self.path('c.json')}\n")  # of one line: as if it had been typed
        self.type("\r")
        self.expect("written to")
        # From the history it comes back whole.
        self.expect("> ")
        self.type("\x1b[A\x1b[A\r")
        self.expect("answer 2 tokens")
        self.expect("> ")
        self.type(f"/save {self.path('c.json')}\r")
        self.expect("written to")
        self.leave()
        expected = ("first line\n\tthe second\n\n/quit is text\n\u6f22\u5b57 and \U0001f600 end")
        self.assertEqual([m["content"] for m in self.saved("c.json") if m["role"] == "user"],
                         [expected, expected])

    def test_a_long_paste(self):
        lines = [f"line {i} of many" for i in range(400)]
        self.start("-n", 1, "--ignore-eos", "--ctx", 20000)
        self.paste("\r".join(lines))
        self.type("\r")
        self.expect("answer 1 tokens")
        self.expect("> ")
        self.type(f"/save {self.path('c.json')}\r")
        self.expect("written to")
        self.leave()
        self.assertEqual(self.saved("c.json")[0]["content"], "\n".join(lines))

    def test_messages_of_several_lines(self):
        self.start("-n", 1, "--ignore-eos")
        for lines in (["one\\", "two\\", "three"], ['"""one', "two", 'three"""']):
            for line in lines:
                self.type(line + "\r")
                self.expect("answer 1 tokens" if line == lines[-1] else "... ")
            self.expect("> ")
        self.type("one\x1b\rtwo\x1b\rthree\r")  # Alt-Enter
        self.expect("answer 1 tokens")
        self.expect("> ")
        self.type('"""thrown\r')
        self.expect("... ")
        self.type("away\x03")
        self.expect("> ")
        self.type(f"/save {self.path('c.json')}\r")
        self.expect("written to")
        self.leave()
        self.assertEqual([m["content"] for m in self.saved("c.json") if m["role"] == "user"],
                         ["one\ntwo\nthree"] * 3)

    def test_typing_ahead_is_neither_shown_nor_lost(self):
        self.start("-n", 90000, "--ctx", 100000, "--ignore-eos", "--temp", 1)
        self.type("hello\r")
        self.expect("\n")
        self.expect_more(20)
        self.type("AHEAD of time")
        self.paste("PASTED\rTEXT")
        self.expect_more(len(self.screen) + 500)
        self.assertNotIn("AHEAD", self.screen)
        self.assertNotIn("PASTED", self.screen)
        self.type("\x03")
        self.expect("[stopped]")
        self.assertNotIn("AHEAD", self.screen[:self.screen.find("> ")])
        self.expect("> ")
        self.expect("AHEAD of time")
        self.expect("TEXT")
        self.type("\x15\x15/help\r")  # Ctrl-U: nothing of it is sent
        self.expect("forget")
        self.leave()

    def test_lines_typed_ahead_are_turns(self):
        self.start("-n", 300, "--ignore-eos", "--temp", 1)
        self.type("hello\rworld\r/quit\r")
        self.assertEqual(self.finish(), 0)
        self.assertEqual(self.screen.count("answer 300 tokens"), 2)

    def test_the_terminal_is_left_as_it_was(self):
        for number, exit_code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)):
            for answering in (False, True):
                self.start("-n", 90000, "--ctx", 100000, "--ignore-eos", "--temp", 1)
                self.assertFalse(self.local_modes() & termios.ECHO)
                if answering:
                    self.type("hello\r")
                    self.expect("\n")
                    self.expect_more(20)
                    self.assertFalse(self.local_modes() & termios.ECHO)
                os.kill(self.process, number)
                self.assertEqual(self.finish(), exit_code)
                self.assertIn("\x1b[?2004l", self.screen)

    def answer_lines(self, columns, *options):
        """The lines on the screen of an answer, and the answer that was saved."""
        # Nearly every token is as likely as any other.
        self.start("-n", 400, "--ignore-eos", "--temp", 100, "--seed", 1, "--no-history", *options,
                   columns=columns)
        self.type("hello\r")
        self.expect("hello")
        self.expect("\n")
        self.read_until(lambda screen: "\r\n[" in screen, "end of the answer")
        shown = self.screen[:self.screen.index("\r\n[")]
        self.expect("> ")
        self.type(f"/save {self.path('c.json')}\r")
        self.expect("messages written")
        self.leave()
        answer = self.saved("c.json")[1]["content"]
        os.remove(self.path("c.json"))
        return shown.split("\r\n"), answer

    def test_words_are_wrapped(self):
        space = ("--logit-bias", f"{len(TOKENS) - 1}=300")
        lines, answer = self.answer_lines(30, *space)
        self.assertGreater(len(lines), 10)
        self.assertLess(max(map(len, lines)), 30)
        self.assertEqual(" ".join(lines).split(), answer.split())
        (line,), answer = self.answer_lines(30, *space, "--no-wrap")
        self.assertEqual(line, answer)

    def test_wide_characters_are_wrapped(self):
        # An added token that is no special one: two characters of two columns each.
        path = os.path.join(self.model, "tokenizer.json")
        with open(path, encoding="utf-8") as file:
            tokenizer = json.load(file)
        tokenizer["added_tokens"].append(dict(
            tokenizer["added_tokens"][0], id=len(TOKENS), content="\u6f22\u5b57", special=False))
        with open(path, "w", encoding="utf-8") as file:
            json.dump(tokenizer, file)
        lines, answer = self.answer_lines(31, "--logit-bias", f"{len(TOKENS)}=400")
        self.assertGreater(answer.count("\u6f22"), 100)
        wide = [len(line) + line.count("\u6f22") + line.count("\u5b57") for line in lines]
        self.assertLess(max(wide), 31)
        self.assertGreater(max(wide), 26)
        self.assertEqual("".join(lines).replace(" ", ""), answer.replace(" ", ""))

    def test_a_long_prompt_shows_its_progress(self):
        self.start("-n", 2, "--ignore-eos", "--ctx", 6000, "--batch", 8)
        self.paste("a" * 700)
        self.type("\r")
        self.expect("prompt [")
        self.expect("703 tokens")
        self.expect("\r\x1b[K")
        self.expect("answer 2 tokens")
        self.leave()
        self.start("a" * 700, "-n", 2, "--ignore-eos", "--ctx", 6000, "--batch", 8, command="run",
                   prompt=None)
        self.assertEqual(self.finish(), 0)
        self.assertRegex(self.screen, r"prompt \[=* *\] +\d+% \d+ / 703 tokens")

    def test_an_answer_stopped_at_once_is_taken_back(self):
        self.start("-n", 2, "--ignore-eos", "--ctx", 20000, "--batch", 4)
        self.paste("a" * 15000)
        self.type("\r")
        self.expect("prompt [")
        self.type("\x03")
        self.expect("[stopped]")
        self.expect("> ")
        self.type(f"/save {self.path('c.json')}\r")
        self.expect("0 messages written")
        self.leave()

    def test_errors_of_commands_end_nothing(self):
        self.start("-n", 2, "--ignore-eos")
        for line, part in (("/load nowhere.json", "nowhere.json"), ("/nonsense", "no command"),
                           ("/set top-k x", "top-k"), ("/continue", "no answer")):
            self.type(line + "\r")
            self.expect("warning: ")
            self.expect(part)
            self.expect("> ")
        self.type("/bye\r")
        self.assertEqual(self.finish(), 0)

    def test_a_line_too_long_for_the_context_is_said_and_undone(self):
        self.start("--ctx", 16, "-n", 2, "--ignore-eos")
        self.type("this does not fit into sixteen tokens\r")
        self.expect("context of 16")
        self.expect("> ")
        self.type("hi\r")
        self.expect("answer 2 tokens")
        self.leave()


if __name__ == "__main__":
    unittest.main()
