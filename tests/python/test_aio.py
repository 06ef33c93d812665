#!/usr/bin/env python3
"""turboquant.AsyncLLM: the same answers, awaited; tasks that are cancelled cancel their answers."""

import asyncio
import unittest

import turboquant
from support import CPU, ModelTest

HI = [{"role": "user", "content": "abc"}]
LONG = {"max_tokens": 60000, "ignore_eos": True}


class Async(ModelTest):
    def run_with(self, use):
        async def main():
            async with await turboquant.AsyncLLM.open(str(self.model), max_num_seqs=2, **CPU) as llm:
                await asyncio.wait_for(use(llm), 60)
        asyncio.run(main())

    def test_answers(self):
        async def use(llm):
            whole = await llm.generate("abc", temp=0, max_tokens=8)
            self.assertEqual(whole.text, llm.llm.generate("abc", temp=0, max_tokens=8).text)
            several = await asyncio.gather(*(llm.chat(HI, temp=0, max_tokens=8) for _ in range(5)))
            self.assertEqual(len({one.text for one in several}), 1)
            batch = await llm.generate(["abc", "b"], temp=0, max_tokens=8)
            self.assertEqual(batch[0].text, whole.text)
            text = ""
            async for piece in llm.stream("abc", temp=0, max_tokens=8):
                text += piece.text
            self.assertEqual(text, whole.text)
        self.run_with(use)

    def test_cancelling(self):
        async def use(llm):
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(llm.generate(["abc", "b", "c"], **LONG), 0.1)
            async for piece in llm.stream_chat(HI, **LONG):
                if piece.kind == "text":
                    break
            await llm.generate("abc", max_tokens=2)  # for which there is a place
            with self.assertRaises(turboquant.InvalidArgumentError):
                await llm.generate("abc", tempp=2)
            with self.assertRaises(turboquant.InvalidArgumentError):
                async for _ in llm.stream("abc", regex="("):
                    pass
        self.run_with(use)


if __name__ == "__main__":
    unittest.main()
