#!/usr/bin/env python3
"""Makes tests/golden/models: tiny seeded checkpoints and the logits transformers computes from them.

    python3 tests/golden/make_model_goldens.py [OUT]

Needs torch, numpy and transformers >= 5.5 (made with 5.17.0, on the CPU, fp32, eager attention).
Only needed to change the goldens; the tests read what is stored. Each folder holds

    config.json, model.safetensors   as save_pretrained writes them
    tokens.npy                       int32 [tokens], the prompt
    logits.npy                       float32 [tokens, vocab], one full pass
    logits_cached.npy                float32 [tokens, vocab], prefill of PREFILL, then token by token

Weights that the usual initialisation would hide (norms at 1, biases at 0, projections too small to
matter) are randomised, and prompts are longer than three sliding windows.
"""

import pathlib
import shutil
import sys

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = 40
PREFILL = 27

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
    "max_position_embeddings": 512, "tie_word_embeddings": True,
}
GEMMA3 = {
    "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention",
                    "sliding_attention"],
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32, "query_pre_attn_scalar": 48,
    "sliding_window": 8, "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
    "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
    "final_logit_softcapping": 12.0,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    },
}
# name -> (config, dtype of the stored weights)
MODELS = {
    "llama": (LLAMA, torch.float32),
    # Same shapes, weights stored in bf16; the logits are still computed in fp32.
    "llama_bf16": (LLAMA, torch.bfloat16),
    # Untied head, biases everywhere, llama3 rope scaling whose three bands all occur.
    "llama_bias_rope3": (LLAMA | {
        "hidden_size": 128, "intermediate_size": 64, "num_attention_heads": 4,
        "num_key_value_heads": 2, "tie_word_embeddings": False, "attention_bias": True,
        "mlp_bias": True, "rope_theta": 10000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    }, torch.float32),
    # heads * head_dim = 128 but hidden = 96; no dimension divides by 128 but that one.
    "llama_wide_heads": (LLAMA | {
        "hidden_size": 96, "intermediate_size": 96, "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }, torch.float32),
    "gemma3": (GEMMA3, torch.float32),
}


def randomise(model, gemma):
    """Gives every parameter a spread at which it matters to the logits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:  # Gemma stores w of (1 + w)
                parameter.uniform_(-0.3, 0.3)
                if not gemma:
                    parameter.add_(1.0)
            elif name.endswith(".bias"):
                parameter.normal_(0.0, 0.2)
            elif "embed_tokens" in name:
                parameter.normal_(0.0, 0.3 if gemma else 1.0)
            else:
                parameter.normal_(0.0, 0.15)


def full_pass(model, tokens):
    return model(tokens[None]).logits[0]


def cached_pass(model, tokens):
    out = model(tokens[None, :PREFILL], use_cache=True)
    rows = [out.logits[0]]
    for t in range(PREFILL, len(tokens)):
        out = model(tokens[None, t:t + 1], use_cache=True, past_key_values=out.past_key_values)
        rows.append(out.logits[0])
    return torch.cat(rows)


def make(name, out):
    config, dtype = MODELS[name]
    torch.manual_seed(20240 + len(name))
    config = AutoConfig.for_model(**config)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomise(model, config.model_type.startswith("gemma"))
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()

    tokens = torch.randint(0, config.vocab_size, (TOKENS,))
    with torch.no_grad():
        full, cached = full_pass(model, tokens), cached_pass(model, tokens)
    scale = full.abs().max()
    assert (full - cached).abs().max() / scale < 2e-4, name
    np.save(folder / "tokens.npy", tokens.numpy().astype(np.int32))
    np.save(folder / "logits.npy", full.numpy())
    np.save(folder / "logits_cached.npy", cached.numpy())
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size} bytes, largest logit {scale:.1f}")


def main():
    default = pathlib.Path(__file__).parent / "models"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    for name in MODELS:
        make(name, out)


if __name__ == "__main__":
    main()
