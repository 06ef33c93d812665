// load_model: everything that running a checkpoint takes: files, backend, weights, tokenizer, end
// ids and default sampling. Owned by the caller; the members refer to each other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "engine/sampler.h"
#include "io/checkpoint.h"
#include "model/model.h"
#include "session/memory_plan.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tq {

struct LoadedModel {
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the checkpoint has none
  // Ids that end a text: those of generation_config.json, config.json and the tokenizer together,
  // and the one after which a tool's result must come.
  std::vector<int32_t> eos_ids;
  // Ids that stand for no text: never to be sampled for a reader.
  std::vector<int32_t> not_text;
  // Sampling of generation_config.json if it asks for sampling (do_sample), else greedy.
  SamplingParams sampling;
  MemoryPlan memory;
  double load_seconds = 0;
};

struct LoadModelOptions {
  // "cpu", "cuda", "cuda:1" for another GPU than the first, or "auto": a GPU if there is one.
  std::string device = "cpu";
  CpuOptions cpu;
  CudaOptions cuda;  // but for the device
  LoadOptions model;
  // Load with the longest context that fits the device's memory instead of model.max_context. That
  // is used on the host where memory is short of weights that are mapped, or unknown
  // (plan_host_memory).
  bool longest_context = false;
  // Sequences share the KV cache, which takes what memory there is (MemoryPlanner).
  bool shared_pages = false;
  // Text is to be read: without, a tokenizer that cannot be used leaves the model without one, with
  // a warning.
  bool text = false;
};

// What "auto" is here: "cuda" or "cpu"; other names stay as they are.
std::string resolve_device(const std::string& name);

// The backend for a device name. Throws kInvalidArgument for a name that is none, kDevice for a GPU
// that cannot be used.
std::unique_ptr<Backend> open_device(const LoadModelOptions& options);

// The context to load a model with: `asked` tokens, or where that is 0 `fallback`, at most what the
// model was trained for. Throws kInvalidArgument when more is asked for.
int64_t choose_context(const ModelSpec& spec, int64_t asked, int64_t fallback);

// The checkpoint's tokenizer; null when it has none. It puts BOS before texts if the files say so,
// and for Gemma, which is lost without, whatever they say (those of its chat checkpoints leave BOS
// to the chat template). Throws what Tokenizer::from_json throws, and the checkpoint's
// tokenizer_problem().
std::shared_ptr<const Tokenizer> read_tokenizer(const Checkpoint& checkpoint);

// The checkpoint's chat templates. Throws what ChatTemplates' constructor throws.
ChatTemplates read_chat_templates(const Checkpoint& checkpoint);

// Loads an opened checkpoint. Throws what Model::load and Tokenizer::from_json throw, and
// kOutOfMemory before it reads weights when they, the buffers and the KV cache do not fit.
LoadedModel load_model(std::unique_ptr<Checkpoint> checkpoint, const LoadModelOptions& options);

}  // namespace tq
