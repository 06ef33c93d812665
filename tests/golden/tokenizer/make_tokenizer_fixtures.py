#!/usr/bin/env python3
"""Trains tiny tokenizers of the shapes real models use and stores what the Hugging Face tokenizers
library (0.23) makes of 250 strings (and of some chosen ones): text, ids, ids with special tokens neither
recognised nor added, and the text the first ids decode to. Writes <name>.json and <name>.expected.json
beside itself; with names, only those.

    .venv/bin/python tests/golden/tokenizer/make_tokenizer_fixtures.py [NAME ...]
"""

import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "scripts"))
from family_tokenizers import CASES, gemma4, glm4, qwen3  # noqa: E402
from tokenizer_strings import CODE, WORDS, strings  # noqa: E402

TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)" + LETTERS + r"\p{N}" + TAIL
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)" + LETTERS + r"\p{N}{1,3}" + TAIL
GLM4 = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])" + LETTERS + r"\p{N}{1,3}" + TAIL
N_STRINGS = 250


def corpus():
    rng = random.Random(7)
    lines = [" ".join(rng.choice(WORDS) for _ in range(12)) + rng.choice(".!?") for _ in range(800)]
    lines += CODE * 20 + ["  \n\n", "\t\t", "    return", "größer Straße naïve café", "Привет мир", "你好世界", "1234 567 89"] * 20
    return lines


def byte_level(pre_tokenizer, size, normalizer=None, texts=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                  special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.train_from_iterator(texts or corpus(), trainer)
    return tokenizer


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


# Of the published files; gguf_splits.cpp writes the same for GGUF files that name them.
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cased(end):
    before = r"[^\r\n\p{L}\p{N}]?"
    return f"{before}{UPPER}*{LOWER}+{end}|{before}{UPPER}+{LOWER}*{end}|"


HAN_HANGUL = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK_CASED = ("A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
                  "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
                  "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
                  "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
                  "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
                  "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
                  "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
                  "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
                  "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
                  "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
                  "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
                  "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
                  "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")


PUBLISHED = {
    "qwen35": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES],
    "tekken": [cased("") + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES],
    "gpt4o": [cased("(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES],
    "deepseek_llm": [r"[\r\n]", rf"\s?[{DEEPSEEK_CASED}]+", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$",
                     HAN_HANGUL, r"\p{N}+"],
    "deepseek_coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN_HANGUL, r"\p{N}"],
    "deepseek_v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*""" + SPACES],
}


MIXED = ["HelloWorld", "XMLHttpRequest", "iPhone13", "DON'T", "It's we'LL", "price/unit//", "a/b/\n", "x.y(z)", "!important", "#include", "$foo",
         "किताब पढ़ो", "กำลัง", "e\u0301te\u0301", "3.14159265", "20240131", "中文English混合", "カタカナひらがな漢字", "한국어", "  two", "\t\ttabs", "a  \n\n b"]


def published(name):
    """Trained on text that is not split, so that tokens span all the places where it is split afterwards."""
    def make():
        steps = [pre_tokenizers.Split(Regex(regex), "isolated") for regex in PUBLISHED[name]]
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), 900, normalizers.NFC() if name == "qwen35" else None,
                               (MIXED + [case[:40] for case in CASES]) * 9)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return tokenizer

    make.__name__ = name
    return make


def smollm():
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)]), 600)


def qwen():
    tokenizer = byte_level(split(QWEN), 500, normalizers.NFC())
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("é!", normalized=True),
                          AddedToken("word", single_word=True, normalized=False)])
    return tokenizer


def glm():
    tokenizer = byte_level(split(GLM4), 500)
    tokenizer.add_special_tokens([AddedToken("[gMASK]", normalized=False), AddedToken("<mask>", lstrip=True, normalized=False),
                                  AddedToken("<end>", rstrip=True, normalized=False)])
    return tokenizer


def llama3():
    tokenizer = byte_level(split(LLAMA3), 500)
    data = json.loads(tokenizer.to_str())
    vocab, merges = data["model"]["vocab"], data["model"]["merges"]
    merges.remove(merges[5])  # then this token is reached only because words that are tokens stay whole
    data["model"].update(ignore_merges=True, merges=[merge for merge in merges if all(part in vocab for part in merge)])
    tokenizer = Tokenizer.from_str(json.dumps(data))
    bos = "<|endoftext|>"
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))])])
    return tokenizer


def sentencepiece(size, normalizer, decoder, user_defined):
    """A BPE over characters with byte fallback, the user defined pieces first as SentencePiece has them."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    trained.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = special + user_defined + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += [piece for piece in sorted(model["vocab"], key=model["vocab"].get) if piece not in pieces]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [(piece[:i], piece[i:]) for piece in user_defined for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
    merges += [tuple(merge) for merge in model["merges"] if tuple(merge) not in merges]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False) for piece in special])
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in user_defined])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)])
    return tokenizer


def gemma():
    user_defined = ["\n" * n for n in range(1, 6)] + ["\u2581" * n for n in range(2, 8)] + ["\t", "\t\t", "<h1>", "</h1>"]
    tokenizer = sentencepiece(420, normalizers.Replace(" ", "\u2581"), decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]), user_defined)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return tokenizer


def llama2():
    return sentencepiece(300, normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]), decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]), [])


def metaspace():
    tokenizer = sentencepiece(300, None, decoders.Metaspace(prepend_scheme="first"), [])
    data = json.loads(tokenizer.to_str())
    data["model"].update(byte_fallback=False, fuse_unk=False)
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return tokenizer


def generic_split():
    """Patterns no scanner knows (PCRE2), and every way to split."""
    steps = [pre_tokenizers.Split(Regex(r"[A-Z]?[a-z]+(?=\s)|\d{2}"), "isolated"), pre_tokenizers.Split(Regex(r"\p{P}"), "merged_with_previous"),
             pre_tokenizers.Split("-", "merged_with_next"), pre_tokenizers.Split(Regex(r"[xyz]"), "contiguous"),
             pre_tokenizers.Split(Regex(r"[^\u00ad]+"), "removed", invert=True), pre_tokenizers.Digits(),
             pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    return byte_level(pre_tokenizers.Sequence(steps), 400)


def main():
    splits = [published(name) for name in PUBLISHED]
    families = (qwen3, glm4, gemma4, *splits)
    for make in (smollm, qwen, glm, llama3, gemma, llama2, metaspace, generic_split, *families):
        if sys.argv[1:] and make.__name__ not in sys.argv[1:]:
            continue
        tokenizer = make()
        specials = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        rows = []
        for text in (MIXED if make in splits else []) + (CASES if make in families else []) + strings(90 if make in splits else N_STRINGS, 3, specials):
            text = text[:100]
            if make in splits and "\U0001FAE9" in text:
                continue  # newer than the Unicode of Debian's PCRE2, which runs these regexes
            tokenizer.encode_special_tokens = False
            ids = tokenizer.encode(text).ids
            tokenizer.encode_special_tokens = True
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append([text, ids, plain, tokenizer.decode(ids)])
        compact = {"ensure_ascii": False, "separators": (",", ":")}
        (HERE / f"{make.__name__}.json").write_text(json.dumps(json.loads(tokenizer.to_str()), **compact) + "\n")
        (HERE / f"{make.__name__}.expected.json").write_text("[" + ",\n".join(json.dumps(row, **compact) for row in rows) + "]\n")


if __name__ == "__main__":
    main()
