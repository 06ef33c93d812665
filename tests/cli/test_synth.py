"""Synthetic models: tq synth, and synth:NAME wherever a checkpoint is expected."""

import json
import unittest

from checkpoints import NOT_FOUND, USAGE, TqTest, run_tq, tree_hash, write_model

MODEL = "smollm2-135m"  # the smallest
SOURCE = "synth:" + MODEL


class Synth(TqTest):
    def tq_json(self, *args):
        result = run_tq("--json", *args)
        self.assert_ok(result)
        return json.loads(result.stdout)

    def test_list(self):
        models = {model["name"]: model for model in self.tq_json("synth", "--list")["models"]}
        self.assertEqual(models["gemma-4-26B-A4B"]["parameters"], 25233141790)
        self.assertEqual(models[MODEL]["bytes"], 2 * models[MODEL]["parameters"])
        result = run_tq("synth", "--list")
        self.assert_ok(result)
        for name in models:
            self.assertIn(name + " ", result.stdout)

    def test_written_and_streamed_are_the_same_model(self):
        folder = self.dir / "model"
        report = self.tq_json("synth", MODEL, folder, "--shard-size", "100MB")
        self.assertEqual(report["tensors"], 272)
        shards = sorted(folder.glob("model-*.safetensors"))
        self.assertEqual(report["files"], len(shards))
        self.assertEqual(report["bytes"], sum(path.stat().st_size for path in shards))
        self.assertEqual({path.name for path in folder.iterdir()} - {path.name for path in shards},
                         {"config.json", "tokenizer.json", "tokenizer_config.json",
                          "model.safetensors.index.json"})
        written, streamed = self.dir / "written", self.dir / "streamed"
        for source, result in ((folder, written), (SOURCE, streamed)):
            self.assert_ok(run_tq("convert", source, result, "--format", "tq4", "--effort", "fast"))
        self.assertEqual(tree_hash(written)["model.safetensors"],
                         tree_hash(streamed)["model.safetensors"])

    def test_convert_reports_its_floor(self):
        result = run_tq("convert", SOURCE, self.dir / "result", "--effort", "fast")
        self.assert_ok(result)
        self.assertRegex(result.stdout, r"encoding alone takes .* weights/s on \d+ threads")
        report = self.tq_json("convert", SOURCE, self.dir / "json", "--preset", "12gb", "--effort",
                              "fast")
        self.assertEqual(report["format"], "12gb")
        self.assertGreater(report["encode_seconds"], 0)
        self.assertLess(report["encode_seconds"], report["seconds"])
        self.assertEqual(report["written_bytes"], report["bytes"])
        formats = {(row["class"], row["format"]) for row in report["classes"]}
        self.assertEqual(formats, {("embed", "tq6"), ("attention", "tq5"), ("attention", "tq6"),
                                   ("mlp", "w7_4"), ("norm", "bf16")})

    def test_runs(self):
        for option in (["--format", "tq4"], ["--preset", "12gb"]):
            answer = self.tq_json("run", SOURCE, "hello", "-n", "4", *option)
            self.assertEqual(answer["prompt_tokens"], 5)  # a token a byte
            self.assertLessEqual(max(answer["ids"]), 256)

    def test_bench(self):
        report = self.tq_json("bench", "--synthetic", MODEL, "-p", "8", "-n", "2", "-r", "1",
                              "--format", "tq8")
        self.assertEqual(report["model"], SOURCE)
        self.assertEqual(report["parameters"], 134515008)
        self.assertEqual([row["test"] for row in report["results"]], ["prefill", "decode"])
        self.assertLess(report["weight_bytes"], 2 * report["parameters"])
        self.assert_fails(run_tq("bench"), USAGE, "--synthetic")
        self.assert_fails(run_tq("bench", "x", "--synthetic", MODEL), USAGE, "--synthetic")

    def test_inspect_shows_what_running_takes(self):
        model = self.tq_json("inspect", "synth:gemma-4-26B-A4B")["model"]
        self.assertEqual(model["active_parameters"], 3822530590)
        self.assertEqual(model["bytes_per_token"], 2 * 3822530590)
        self.assertEqual(model["kv_bytes_per_token"], 225280)
        self.assertEqual([row["tokens"] for row in model["kv"]], [4096, 32768, 262144])
        self.assertEqual([(row["layers"], row["attention"]) for row in model["layers"]],
                         [(25, "sliding"), (5, "full")])
        result = run_tq("inspect", "synth:glm-4.7-flash")
        self.assert_ok(result)
        for text in ("latent", "4 of 64 experts of 1536", "3.58B active", "202752"):
            self.assertIn(text, result.stdout)

    def test_inspect_says_why_a_model_cannot_be_run(self):
        source = write_model(self.dir / "source")
        (source / "config.json").write_text(json.dumps({"model_type": "mamba"}))
        listing = self.tq_json("inspect", source)
        self.assertIsNone(listing["model"])
        self.assertIn("mamba", listing["not_runnable"])
        result = run_tq("inspect", source)
        self.assert_ok(result)
        self.assertIn("cannot be run: ", result.stdout)

    def test_errors(self):
        self.assert_fails(run_tq("synth"), USAGE, "NAME and OUT")
        self.assert_fails(run_tq("synth", MODEL), USAGE, "NAME and OUT")
        self.assert_fails(run_tq("synth", "gpt-5", self.dir / "x"), NOT_FOUND, "gpt-5", MODEL)
        self.assert_fails(run_tq("run", "synth:gpt-5", "hi"), NOT_FOUND, "gpt-5", MODEL)
        (self.dir / "file").write_text("mine")
        self.assert_fails(run_tq("synth", MODEL, self.dir), USAGE, "empty or a new folder")
        result = self.dir / "result"
        convert = ["convert", SOURCE, result, "--preset"]
        self.assert_fails(run_tq(*convert, "1tb"), USAGE, "1tb", "12gb")
        self.assert_fails(run_tq(*convert, "12gb", "--format", "tq3"), USAGE, "--format")
        self.assertFalse(result.exists())


if __name__ == "__main__":
    unittest.main()
