#!/usr/bin/env python3
"""Greedy answers to 20 short questions: how many stop, how many loop, and for how many tokens they follow a
reference.

    bench/answers.py [--tq build/release/tq] [-n 96] [--threads N] [--raw] [--show] REFERENCE [MODEL...]

Prints a row for each model. `loops`: answers in which a run of tokens comes again and again: a piece of the
answer, LOOP tokens or longer, repeats with a period of at most a third of its length. `stops`: answers that
end by themselves within -n tokens. `same`: the mean number of first tokens that are the reference's. --raw is
for base models: the question as plain text to continue. --show prints the answers. Standard library only.
"""

import argparse
import json
import statistics
import subprocess

LOOP = 18

QUESTIONS = [
    "What is the capital of France, and what is it famous for?",
    "What is the capital of France?",
    "Why is the sky blue?",
    "Name three planets of our solar system.",
    "How do I boil an egg?",
    "What is the difference between a list and a tuple in Python?",
    "Write a Python function that adds two numbers.",
    "Who wrote Romeo and Juliet?",
    "What does a heart do?",
    "Translate 'good morning' into Spanish.",
    "Give me a recipe for pancakes.",
    "What is 12 plus 30?",
    "Explain what a computer program is to a child.",
    "What are the seasons of the year?",
    "Write a short poem about the sea.",
    "How does a bicycle stay upright?",
    "List five kinds of fruit.",
    "What is photosynthesis?",
    "How can I learn to sleep better?",
    "Tell me a fact about elephants.",
]


def loops(ids):
    """Whether LOOP tokens or more in a row repeat with a period of at most a third of their number."""
    for period in range(1, len(ids) // 3 + 1):
        run = period
        for i in range(period, len(ids)):
            run = run + 1 if ids[i] == ids[i - period] else period
            if run >= max(3 * period, LOOP):
                return True
    return False


def same_start(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def answer(options, model, question):
    prompt = ["--raw", f"Question: {question}\nAnswer:"] if options.raw else [question]
    command = [options.tq, "--json", "run", model, *prompt, "--temp", "0", "--max-tokens", str(options.n)]
    command += ["--threads", str(options.threads)] if options.threads else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SystemExit(f"{command}\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="the first is the reference")
    parser.add_argument("--tq", default="build/release/tq")
    parser.add_argument("-n", type=int, default=96, help="tokens of an answer at most")
    parser.add_argument("--threads", type=int, help="of tq run")
    parser.add_argument("--raw", action="store_true", help="for base models: no chat template")
    parser.add_argument("--show", action="store_true", help="print the answers")
    options = parser.parse_args()
    print(f"{'model':40} {'answers':>7} {'stops':>5} {'loops':>5} {'same':>5}", flush=True)
    reference = None
    for model in options.models:
        answers = [answer(options, model, question) for question in QUESTIONS]
        reference = reference or answers
        same = statistics.mean(same_start(a["ids"], b["ids"]) for a, b in zip(answers, reference))
        n_stops = sum(a["finish_reason"] == "stop" for a in answers)
        n_loops = sum(loops(a["ids"]) for a in answers)
        print(f"{model[-40:]:40} {len(answers):7} {n_stops:5} {n_loops:5} {same:5.1f}", flush=True)
        for question, one in zip(QUESTIONS, answers) if options.show else ():
            mark = " (loops)" if loops(one["ids"]) else ""
            print(f"  {question}\n    {one['text']!r}{mark}")


if __name__ == "__main__":
    main()
