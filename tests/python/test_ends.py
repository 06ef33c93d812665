#!/usr/bin/env python3
"""Models that are forgotten, threads and processes that share them: nothing waits for ever, nothing is wrong.

Each in a process of its own, which a deadlock would keep from ending."""

import subprocess
import sys
import textwrap
import unittest

from support import ModelTest

LONG = "max_tokens=60000, ignore_eos=True"


class Ends(ModelTest):
    def run_program(self, text):
        """What it prints; it has ended soon and well."""
        program = "import sys, threading, turboquant\n" + textwrap.dedent(text)
        done = subprocess.run([sys.executable, "-c", program, str(self.model)], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.split()

    def test_a_model_that_is_forgotten_while_it_answers(self):
        said = self.run_program(f"""
            open_model = lambda: turboquant.LLM(sys.argv[1], device="cpu", threads=1, max_num_seqs=4)
            print(len("".join(open_model().stream("abc", max_tokens=5, ignore_eos=True).text())) > 0)
            print(open_model().submit("abc", max_tokens=5, ignore_eos=True).result().usage.completion_tokens)
            for keep in (True, False):
                model = open_model()
                streams = [model.stream("abc", {LONG}) for _ in range(4)]
                for stream in streams:
                    next(stream)
                pending = model.submit("abc", {LONG})
                model = None
                if not keep:
                    streams = stream = pending = None
            print("end")
        """)
        self.assertEqual(said, ["True", "5", "end"])

    def test_a_program_that_ends_while_a_model_answers(self):
        self.run_program(f"""
            stream = turboquant.LLM(sys.argv[1], device="cpu", threads=1).stream("abc", {LONG})
            next(stream)
        """)

    def test_a_server_that_is_forgotten(self):
        said = self.run_program("""
            server = turboquant.Server(sys.argv[1], device="cpu", threads=1, port=0)
            server = None
            print("end")
        """)
        self.assertEqual(said, ["end"])

    def test_a_process_that_was_forked(self):
        said = self.run_program("""
            import os
            model = turboquant.LLM(sys.argv[1], device="cpu", threads=1)
            model.generate("abc", max_tokens=2)
            child = os.fork()
            if child == 0:
                del model
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            print(model.generate("abc", max_tokens=2, ignore_eos=True).usage.completion_tokens)
        """)
        self.assertEqual(said, ["7", "2"])

    def test_threads_that_share(self):
        said = self.run_program("""
            model = turboquant.LogitModel(sys.argv[1], device="cpu", threads=1)
            texts = [[1, 2, 3, 4 + i] for i in range(8)]
            expected = [model.logits(text) for text in texts]
            wrong = []
            def ask(i):
                for _ in range(20):
                    if (model.logits(texts[i]) != expected[i]).any():
                        wrong.append(i)
            asking = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
            stream = turboquant.LLM(sys.argv[1], device="cpu", threads=1).stream("abc", max_tokens=20, ignore_eos=True)
            asking += [threading.Thread(target=lambda: list(stream)) for _ in range(2)]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            print(len(wrong))
        """)
        self.assertEqual(said, ["0"])


if __name__ == "__main__":
    unittest.main()
