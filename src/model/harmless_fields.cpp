#include "model/harmless_fields.h"

#include <algorithm>
#include <array>

namespace tq {
namespace {

// Kept narrow: "output_" would match output_gate_type, "_scale" and "use_" would match mathematics.
constexpr auto kBegins = std::to_array<std::string_view>({
    // of tools that train and merge models
    "unsloth",
    "_unsloth",
    "axolotl",
    "llamafactory",
    "mergekit",
    "peft_",
    "trl_",
    "wandb",
    "liger_",
    "use_liger",
    // where a model comes from
    "_name_or_path",
    "_model_name",
    "_commit_hash",
    "model_name",
    "transformers",
    // the implementation
    "_flash_attn",
    "flash_attn",
    "use_flash_attn",
    "use_flash_attention",
    "_attn_implementation",
    // tokens and generation
    "tokenizer",
    "_tokenizer",
    "forced_",
    "suppress_tokens",
    "begin_suppress_tokens",
    "num_beam",
    "return_dict",
    "generation_",
});

constexpr auto kEnds = std::to_array<std::string_view>({
    "_implementation",
    "_implementation_autoset",
    "_implementation_internal",  // attn, experts
    "_token_id",
    "_token_ids",
    "_token_index",
    "_penalty",
    "_ngram_size",
    "_pdrop",
    "layerdrop",
    "_loss_coef",
    "_loss_alpha",
    "_loss_weight",
});

constexpr auto kInside = std::to_array<std::string_view>({
    "dropout",
    "initializer",
    "gradient_checkpointing",
    "aux_loss",
});

constexpr auto kNames = std::to_array<std::string_view>({
    // identity and storage
    "architectures",
    "auto_map",
    "custom_pipelines",
    "dtype",
    "finetuning_task",
    "is_decoder",
    "language",
    "license",
    "model_type",
    "prefix",
    "quantization_config",
    "task_specific_params",
    "torch_dtype",
    "torchscript",
    "use_bfloat16",
    "version",
    // training
    "ep_size",
    "init_std",
    "loss_type",
    "neftune_noise_alpha",
    "pretraining_tp",
    "seq_aux",
    "tf_legacy_loss",
    // labels of classifiers
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "keys_to_ignore_at_inference",
    // tokens
    "bos_token",
    "chat_template",
    "eos_token",
    "model_max_length",
    "pad_token",
    "padding_side",
    "truncation_side",
    "unk_token",
    // how long inputs were in training; the context's own field is max_position_embeddings
    "max_seq_len",
    "max_seq_length",
    "max_sequence_length",
    "seq_length",
    // generation and the API of transformers
    "bad_words_ids",
    "cache_config",
    "chunk_size_feed_forward",
    "do_sample",
    "early_stopping",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "guidance_scale",
    "max_length",
    "max_new_tokens",
    "max_time",
    "min_length",
    "min_new_tokens",
    "min_p",
    "num_assistant_tokens",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_past",
    "output_router_logits",
    "output_scores",
    "penalty_alpha",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "renormalize_logits",
    "return_legacy_cache",
    "stop_strings",
    "temperature",
    "token_healing",
    "top_k",
    "top_p",
    "typical_p",
    "use_cache",
    "watermarking_config",
});

}  // namespace

bool is_harmless_field(std::string_view name) {
  return std::any_of(kBegins.begin(), kBegins.end(),
                     [&](std::string_view part) { return name.starts_with(part); }) ||
         std::any_of(kEnds.begin(), kEnds.end(),
                     [&](std::string_view part) { return name.ends_with(part); }) ||
         std::any_of(kInside.begin(), kInside.end(),
                     [&](std::string_view part) { return name.find(part) != name.npos; }) ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace tq
