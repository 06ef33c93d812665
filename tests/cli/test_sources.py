"""Files that are not what their names say, folders that are not the model, sources that cannot be run: every
command says what the thing is and what to do, and tq convert writes nothing."""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import unittest
import zipfile

from checkpoints import (CORRUPT, NOT_FOUND, UNSUPPORTED, USAGE, TqTest, bf16_noise, model_bytes,
                         run_tq, safetensors_bytes, tiny_tensors, write_model)

POINTER = (b"version https://git-lfs.github.com/spec/v1\n"
           b"oid sha256:" + b"0" * 64 + b"\nsize 27868174\n")


def torch_file():
    """What torch.save writes, as far as its first bytes go."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
    return out.getvalue()


def zip_file():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/config.json", "{}")
    return out.getvalue()


# Content, exit code, words of the message.
FOREIGN = {
    "lfs": (POINTER, CORRUPT, ("Git LFS pointer", "27868174 bytes", "git lfs pull")),
    "page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", CORRUPT, ("web page", "/resolve/")),
    "error": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', CORRUPT, ("web page",)),
    "answer": (b"Entry not found", CORRUPT, ("a server's answer", '"Entry not found"')),
    "json error": (b'{"error":"Repository not found"}', CORRUPT, ("a server's answer",)),
    "empty": (b"", CORRUPT, ("empty", "fetch the file again")),
    "torch": (torch_file(), UNSUPPORTED, ("PyTorch", "save_pretrained")),
    "pickle": (pickle.dumps({"a": 1}, protocol=2), UNSUPPORTED, ("pickle", "can run code")),
    "zip": (zip_file(), UNSUPPORTED, ("zip archive",)),
    "gzip": (gzip.compress(bytes(100)), UNSUPPORTED, ("decompress it first",)),
    "ggml": (struct.pack("<I", 0x67676d6c) + bytes(64), UNSUPPORTED, ("ggml", "GGUF")),
    "ggla": (struct.pack("<I", 0x67676c61) + bytes(64), UNSUPPORTED, ("ggla",)),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), UNSUPPORTED, ("HDF5",)),
    "numpy": (b"\x93NUMPY\x01\x00" + bytes(64), UNSUPPORTED, ("NumPy",)),
}


class SourceTest(TqTest):
    def everywhere(self, model, code, *parts):
        """Every command that opens a model fails alike, and convert leaves nothing."""
        self.assert_fails(run_tq("inspect", model), code, *parts)
        self.everywhere_but_inspect(model, code, *parts)

    def only_shown(self, model, code, *parts):
        """inspect shows the file and why it cannot be run, which all others fail with."""
        shown = run_tq("inspect", model)
        self.assert_ok(shown)
        for part in ("cannot be run: ", *parts):
            self.assertIn(str(part), shown.stdout)
        self.everywhere_but_inspect(model, code, *parts)

    def everywhere_but_inspect(self, model, code, *parts):
        result = self.dir / "result"
        ids = self.dir / "ids.json"
        ids.write_text("[1, 2]")
        for command in (["convert", model, result], ["verify", model],
                        ["run", model, "--tokens", ids], ["chat", model], ["bench", model],
                        ["tokenize", model, "a"]):
            self.assert_fails(run_tq(*command, stdin=None), code, *parts)
        self.assertFalse(result.exists())

    def not_runnable(self, model, code, *parts):
        """inspect says that it cannot be run, convert refuses it, and --anyway warns."""
        shown = run_tq("inspect", model)
        self.assert_ok(shown)
        result = self.dir / "result"
        self.assert_fails(run_tq("convert", model, result), code, *parts, "--anyway")
        self.assertFalse(result.exists())
        for part in parts:
            self.assertIn(part, shown.stdout)
        done = run_tq("convert", model, result, "--effort", "fast", "--anyway")
        self.assert_ok(done)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertIn("warning", done.stderr)
        self.assert_ok(run_tq("verify", result))
        shutil.rmtree(result)


class Files(SourceTest):
    def test_weights_that_are_something_else(self):
        for name in ("model.safetensors", "model.gguf", "pytorch_model.bin"):
            for kind, (content, code, parts) in FOREIGN.items():
                with self.subTest(name=name, kind=kind):
                    folder = self.dir / "folder"
                    folder.mkdir()
                    (folder / name).write_bytes(content)
                    for model in (folder / name, folder):
                        self.everywhere(model, code, folder / name, *parts)
                    shutil.rmtree(folder)

    def test_small_files_that_are_something_else(self):
        for name in ("config.json", "model.safetensors.index.json", "tq_config.json"):
            for kind in ("lfs", "page", "json error", "empty", "gzip"):
                content, code, parts = FOREIGN[kind]
                with self.subTest(name=name, kind=kind):
                    folder = write_model(self.dir / "folder")
                    if name == "model.safetensors.index.json":
                        (folder / "model.safetensors").unlink()
                    (folder / name).write_bytes(content)
                    self.everywhere(folder, code, folder / name, *parts)
                    shutil.rmtree(folder)

    def test_tokenizers_that_are_something_else(self):
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            for kind in ("lfs", "page", "json error", "empty", "gzip"):
                content, _, parts = FOREIGN[kind]
                with self.subTest(name=name, kind=kind):
                    folder = write_model(self.dir / "folder")
                    (folder / name).write_bytes(content)
                    shown = run_tq("inspect", folder)
                    self.assert_ok(shown)
                    self.assertIn("no text: ", shown.stdout)
                    refused = run_tq("convert", folder, self.dir / "result")
                    self.assertNotEqual(refused.returncode, 0)
                    for text in (shown.stdout, refused.stderr,
                                 run_tq("run", folder, "a").stderr):
                        self.assertIn(str(folder / name), text)
                        for part in parts:
                            self.assertIn(part, text)
                    self.assertFalse((self.dir / "result").exists())
                    done = run_tq("convert", folder, self.dir / "result", "--effort", "fast", "--anyway")
                    self.assert_ok(done)
                    self.assertIn(f"{name} is left out", done.stderr)
                    self.assertFalse((self.dir / "result" / name).exists())
                    shutil.rmtree(self.dir / "result")
                    shutil.rmtree(folder)

    def test_dangling_links(self):
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            with self.subTest(name=name):
                folder = write_model(self.dir / "folder")
                (folder / name).unlink()
                (folder / name).symlink_to("../../blobs/0123")
                refused = run_tq("convert", folder, self.dir / "result")
                self.assert_fails(refused, NOT_FOUND, folder / name, "is a link to ../../blobs/0123",
                                  "does not exist")
                self.assertFalse((self.dir / "result").exists())
                shutil.rmtree(folder)
        (self.dir / "link").symlink_to("nowhere")
        self.everywhere(self.dir / "link", NOT_FOUND, "is a link to nowhere")

    def test_json_instead_of_its_folder(self):
        folder = write_model(self.dir / "folder")
        self.everywhere(folder / "config.json", USAGE, "named by its folder", folder)

    def test_weights_instead_of_their_folder(self):
        folder = write_model(self.dir / "folder")
        self.not_runnable(folder / "model.safetensors", UNSUPPORTED, "its weights alone",
                          str(folder))

    def test_ollama_manifest(self):
        digest = "ab" * 32
        manifest = self.dir / "models" / "manifests" / "registry.ollama.ai" / "latest"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [
            {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}]}))
        self.everywhere(manifest, UNSUPPORTED, "Ollama",
                        self.dir / "models" / "blobs" / f"sha256-{digest}")


class Folders(SourceTest):
    def test_hub_cache(self):
        repository = self.dir / "hub" / "models--org--name"
        snapshot = repository / "snapshots" / "0f00"
        write_model(snapshot)
        (repository / "snapshots" / "aa00").mkdir()
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0f00")
        for folder in (repository, repository / "snapshots", self.dir / "hub"):
            with self.subTest(folder=folder.name):
                self.everywhere(folder, USAGE, snapshot)
        shutil.rmtree(snapshot)
        self.everywhere(repository, NOT_FOUND, "without a model's files")

    def test_parent_folder(self):
        first = write_model(self.dir / "parent" / "first")
        self.everywhere(self.dir / "parent", USAGE, "below; name it", first)
        second = write_model(self.dir / "parent" / "second")
        self.everywhere(self.dir / "parent", USAGE, "one of them", first, second)

    def test_unfinished_download(self):
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "model.safetensors.incomplete").write_bytes(b"x")
        self.everywhere(folder, NOT_FOUND, "unfinished download", "model.safetensors.incomplete")

    def test_adapter(self):
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(
            '{"base_model_name_or_path": "org/ba\\u001bse", "peft_type": "LORA", "r": 4}')
        weight = "base_model.model.model.layers.0.self_attn.q_proj"
        header = {f"{weight}.lora_A.weight": {"dtype": "BF16", "shape": [4, 64],
                                              "data_offsets": [0, 512]},
                  f"{weight}.lora_B.weight": {"dtype": "BF16", "shape": [64, 4],
                                              "data_offsets": [512, 1024]}}
        (folder / "adapter_model.safetensors").write_bytes(
            safetensors_bytes(header, bf16_noise(512, 1)))
        for model in (folder, folder / "adapter_model.safetensors"):
            self.not_runnable(model, UNSUPPORTED, "LoRA adapter", "org/ba\\u001bse",
                              "merge_and_unload")
            ids = self.dir / "ids.json"
            ids.write_text("[1]")
            self.assert_fails(run_tq("run", model, "--tokens", ids), UNSUPPORTED, "LoRA adapter")
        (folder / "adapter_model.safetensors").unlink()
        (folder / "adapter_model.bin").write_bytes(torch_file())
        self.everywhere(folder, UNSUPPORTED, "LoRA adapter", "merge_and_unload")

    def test_stale_index(self):
        folder = write_model(self.dir / "folder")
        names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
        tensors = list(tiny_tensors().items())
        for name, part in zip(names, (tensors[:5], tensors[5:])):
            (folder / name).write_bytes(model_bytes(dict(part)))
        (folder / "model.safetensors").unlink()
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {
            name: "model-00001-of-00004.safetensors" for name, _ in tensors}}))
        self.everywhere(folder, NOT_FOUND, "is stale", "model-00001-of-00004.safetensors", names[0],
                        "remove it")
        index.unlink()
        self.assert_ok(run_tq("convert", folder, self.dir / "result", "--effort", "fast"))
        shutil.rmtree(self.dir / "result")
        (folder / names[1]).unlink()
        self.everywhere(folder, NOT_FOUND, "shards are missing", names[1])


def gguf(metadata, tensors=()):
    """A GGUF file of string and u32 metadata and f32 tensors of zeros."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        string = isinstance(value, str)
        out += text(key) + struct.pack("<I", 8 if string else 4)
        out += text(value) if string else struct.pack("<I", value)
    offset = 0
    for name, shape in tensors:
        n = 1
        for dim in shape:
            n *= dim
        out += text(name) + struct.pack("<I", len(shape))
        out += b"".join(struct.pack("<Q", dim) for dim in reversed(shape))
        out += struct.pack("<IQ", 0, offset)
        offset += (4 * n + 31) // 32 * 32
    out += bytes(-len(out) % 32)
    return out + bytes(offset)


class Gguf(SourceTest):
    def test_split(self):
        folder = self.dir / "folder"
        folder.mkdir()
        paths = [folder / f"big-Q4_K_M-0000{i}-of-00002.gguf" for i in (1, 2)]
        for i, path in enumerate(paths):
            path.write_bytes(gguf({"general.architecture": "llama", "split.no": i, "split.count": 2},
                                  [(f"blk.{i}.attn_norm.weight", [32])]))
        # All parts are one model, whichever is named; this one has no sizes.
        for model in (folder, *paths):
            self.only_shown(model, NOT_FOUND, paths[0], "llama.embedding_length is missing")
        renamed = self.dir / "renamed.gguf"
        renamed.write_bytes(paths[1].read_bytes())
        self.only_shown(renamed, UNSUPPORTED, "one of 2 parts of a split model",
                        "llama-gguf-split --merge")
        paths[1].unlink()
        for model in (folder, paths[0]):
            self.only_shown(model, NOT_FOUND, f"{paths[1]}: part 2 of a model of 2 files is missing")

    def test_adapter_projector_and_others(self):
        path = self.dir / "file.gguf"
        for metadata, words in (
                ({"general.architecture": "llama", "general.type": "adapter",
                  "adapter.type": "lora"}, ("LoRA adapter", "llama-export-lora")),
                ({"general.architecture": "clip", "general.type": "mmproj"}, ("projector",)),
                ({"general.type": "imatrix"}, ("importance matrix",)),
                ({"general.architecture": "llama", "general.type": "vocab"}, ("vocabulary",))):
            path.write_bytes(gguf(metadata, [("a", [4, 32])]))
            self.only_shown(path, UNSUPPORTED, path, *words)

    def test_projector_beside_a_model(self):
        folder = self.dir / "folder"
        folder.mkdir()
        for name in ("model.gguf", "mmproj-model.gguf"):
            (folder / name).write_bytes(gguf({"general.architecture": "nonesuch"}))
        self.assertIn("model.gguf: GGUF architecture nonesuch", run_tq("run", folder, "a").stderr)
        (folder / "other.gguf").write_bytes(gguf({"general.architecture": "nonesuch"}))
        self.everywhere(folder, USAGE, "3 GGUF files, name one of them")


class Unsound(SourceTest):
    """Hugging Face folders that are whole but cannot be run."""

    def test_unknown_architecture(self):
        folder = write_model(self.dir / "folder")
        (folder / "config.json").write_text('{"model_type": "nonesuch"}')
        self.not_runnable(folder, UNSUPPORTED, "nonesuch")

    def test_missing_tensors(self):
        folder = write_model(self.dir / "folder")
        tensors = tiny_tensors()
        del tensors["model.layers.1.mlp.up_proj.weight"]
        (folder / "model.safetensors").write_bytes(model_bytes(tensors))
        self.not_runnable(folder, NOT_FOUND, "model.layers.1.mlp.up_proj.weight")

    def test_foreign_names(self):
        folder = write_model(self.dir / "folder")
        tensors = {f"transformer.{name}": shape for name, shape in tiny_tensors().items()}
        (folder / "model.safetensors").write_bytes(model_bytes(tensors))
        self.not_runnable(folder, NOT_FOUND, "no embedding table")

    def test_no_tokenizer_is_told(self):
        folder = write_model(self.dir / "folder")
        (folder / "tokenizer.json").unlink()
        done = run_tq("convert", folder, self.dir / "result", "--effort", "fast")
        self.assert_ok(done)
        self.assertIn("has no tokenizer.json", done.stderr)
        self.assertIn("has no tokenizer.json", run_tq("inspect", folder).stdout)


class Quantised(TqTest):
    """Converting what is quantised already says what it gains and loses."""

    def test_native_source(self):
        source = write_model(self.dir / "source")
        first = self.dir / "first"
        self.assert_ok(run_tq("convert", source, first, "--format", "tq4", "--effort", "fast"))
        smaller = run_tq("convert", first, self.dir / "smaller", "--format", "tq2", "--effort", "fast")
        self.assert_ok(smaller)
        for part in ("quantised already (tq4", "gains space", "the original, source,"):
            self.assertIn(part, smaller.stderr)
        larger = run_tq("convert", first, self.dir / "larger", "--format", "tq8", "--effort", "fast")
        self.assert_ok(larger)
        for part in ("gains no space", "use the source as it is"):
            self.assertIn(part, larger.stderr)
        same = run_tq("convert", first, self.dir / "same", "--format", "tq4", "--effort", "fast")
        self.assert_ok(same)
        self.assertNotIn("quantised already", same.stderr)
        plain = run_tq("convert", source, self.dir / "plain", "--format", "tq4", "--effort", "fast")
        self.assertNotIn("quantised already", plain.stderr)


if __name__ == "__main__":
    unittest.main()
