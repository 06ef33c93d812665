"""Small GGUF files for the command line tests: a Hugging Face folder of the Llama family as a
converter for llama.cpp would write it. Standard library only."""

import json
import pathlib
import struct

U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
TYPE_F32 = 0
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(value):
    """Type number and bytes of a metadata value."""
    if isinstance(value, bool):
        return BOOL, struct.pack("<B", value)
    if isinstance(value, int):
        return U32, struct.pack("<I", value)
    if isinstance(value, float):
        return F32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, text(value)
    parts = [value_bytes(item) for item in value]
    return ARRAY, struct.pack("<IQ", parts[0][0], len(parts)) + b"".join(p[1] for p in parts)


def gguf_bytes(metadata, tensors):
    """A file from metadata (name -> value) and tensors (name -> shape, ggml type, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, data = value_bytes(value)
        out += text(key) + struct.pack("<I", kind) + data
    data = b""
    for name, (shape, kind, content) in tensors.items():
        data += bytes(-len(data) % 32)
        out += text(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        out += struct.pack("<IQ", kind, len(data))
        data += content
    return out + bytes(-len(out) % 32) + data


def read_safetensors(path):
    """name -> (dtype, shape, bytes)"""
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"],
                   data[8 + size:][slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def interleave(data, n_rows, head_dim):
    """Rows of q and k in the order of rotated pairs."""
    row = len(data) // n_rows
    order = [head + half * head_dim // 2 + i for head in range(0, n_rows, head_dim)
             for i in range(head_dim // 2) for half in range(2)]
    return b"".join(data[i * row:(i + 1) * row] for i in order)


def llama_gguf(folder, tokenizer=None, more=None):
    """The fp32 model in the folder as GGUF; `tokenizer` and `more` are further metadata."""
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    metadata = {
        "general.architecture": "llama",
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.block_count": config["num_hidden_layers"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.key_length": head_dim, "llama.attention.value_length": head_dim,
        "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "llama.rope.freq_base": float(config.get("rope_theta") or
                                      config["rope_parameters"]["rope_theta"])}
    metadata.update(tokenizer or {})
    metadata.update(more or {})
    tensors = {}
    for name, (dtype, shape, data) in read_safetensors(folder / "model.safetensors").items():
        assert dtype == "F32", name
        if name.endswith(("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")):
            data = interleave(data, shape[0], head_dim)
        tensors[gguf_name(name)] = (shape, TYPE_F32, data)
    return gguf_bytes(metadata, tensors)


def gguf_name(name):
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight":
             "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in fixed:
        return fixed[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[stem]}.{kind}"
