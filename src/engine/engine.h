// Engine: many requests on one model by continuous batching. The caller drives it: add() requests,
// then step() until it says there is nothing left. One thread at a time; owns scheduler, pages and
// KV cache, borrows the model. README.md is its contract.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "kv/kv_cache.h"
#include "kv/pages.h"
#include "model/model.h"
#include "tensor/buffer.h"
#include "text/tokenizer.h"

namespace tq {

struct EngineOptions {
  KvFormatId kv_format = default_kv_format();
  // Pages of 16 tokens for layers without a window; 0: enough for as many sequences of full context
  // as the model was loaded for.
  int64_t n_pages = 0;
  // Ids that are never sampled: LoadedModel::not_text for text, none to measure.
  std::vector<int32_t> suppressed_ids;
  // Host memory for pages that were given up for others: they are copied back when they are asked
  // for. 0: none.
  int64_t host_cache_bytes = 0;
};

// What an engine is at, and what it has done since it began.
struct EngineStatus {
  int64_t n_running = 0;  // requests that have pages
  int64_t n_waiting = 0;  // for pages or a place
  int64_t n_pages = 0;    // of layers without a window
  int64_t n_used_pages = 0;
  int64_t host_cache_bytes = 0;  // that hold pages now
  int64_t prompt_tokens = 0;     // of prompts, as they are computed or found
  int64_t reused_tokens = 0;     // of these the ones that were found
  int64_t generated_tokens = 0;
  int64_t preemptions = 0;  // of requests that have ended
  int64_t steps = 0;
};

class Engine {
 public:
  // max_batch_tokens, max_sequences and max_context are those the model was loaded with. Without a
  // tokenizer outputs have no text, stop texts are refused, and every id of the model may be
  // sampled; with one, only ids below its vocab_size(). Throws kOutOfMemory.
  Engine(Model& model, std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> eos_ids,
         const EngineOptions& options = {});

  // Queues a request; returns its number. Throws kInvalidArgument for parameters out of range, ids
  // outside the vocabulary, and prompt + max_tokens beyond the context.
  int64_t add(Request request);
  // Ends a request at the next step(); unknown or finished numbers are ignored.
  void cancel(int64_t request);
  // Runs one batch and calls on_output of its requests. False when no request is left. When the
  // model throws (a device error) or a mapped file could not be read (base/file_faults.h), the
  // requests of the batch end with that error; others go on.
  bool step();
  // How many tokens at the beginning of a prompt would not be computed again now: their keys and
  // values are kept, or another request's.
  int64_t n_reusable(std::span<const int32_t> prompt) const { return pages_.n_adoptable(prompt); }

  int64_t max_context() const { return max_context_; }
  // Pages that requests can get; those that are only kept in case they are needed again count.
  int64_t n_available_pages() const { return pages_.n_available(); }
  EngineStatus status() const;

 private:
  // Tells the text of the answer's beginning, if the request has one.
  void give(Sequence& sequence);
  // The next token, or why there is none.
  struct Choice {
    int32_t token;
    std::string error;
    std::vector<TokenLogprob> logprobs = {};
    ErrorCode error_code = ErrorCode::kInternal;
  };
  // Whether the device chooses the step's tokens; otherwise its logits come here.
  bool chooses(const ScheduledStep& step) const;
  // False when the model threw: then the step's requests have ended.
  bool run_model(const ScheduledStep& step, bool chooses);
  void take_choices(const ScheduledStep& step, bool chosen);
  // Counts the tokens that a step has run as cached, and lets others share their full pages.
  void keep(Sequence& sequence, int64_t n_tokens);
  // Adds what is cached of the prompt, and was not before, to the totals.
  void count_prompt(Sequence& sequence);
  // Of a row of the step: what the device chose, or logits.
  static Choice take(Sequence& sequence, int32_t chosen);
  Choice sample(Sequence& sequence, std::span<float> logits);
  // Appends the token and decides whether it was the last.
  void advance(Sequence& sequence, const Choice& choice);
  void finish(Sequence& sequence, FinishReason reason, Output output);
  bool is_end(const Sequence& sequence, int32_t token) const;
  static void tell_prefill(const Sequence& sequence);
  // The tokens that the sequence's constraint and its ends allow next, of mask_words() words. An
  // error becomes the sequence's fault.
  void fill_mask(Sequence& sequence, std::span<uint32_t> bits) const;
  // The masks of the sequences, one after the other, until the next call.
  std::span<const uint32_t> make_masks(const std::vector<Sequence*>& sequences);
  // Tells the constraint of a token. False, and the sequence has a fault, when it throws.
  static bool constrain(Sequence& sequence, int32_t token);
  void deliver();

  Model& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<int32_t> eos_ids_;
  std::vector<int32_t> suppressed_ids_;  // below n_sample_tokens_
  int64_t max_context_;
  int64_t n_sample_tokens_;
  KvLayout layout_;
  std::vector<int64_t> n_pages_;  // of each group
  Pages pages_;
  KvCache kv_;
  std::optional<HostPages> host_;
  Scheduler scheduler_;
  Buffer logits_;                // fp32 [max_sequences, vocab]
  std::vector<int32_t> tokens_;  // [max_sequences]
  // How the step's tokens are chosen by the device.
  std::vector<SampleRow> sample_rows_;
  std::vector<TokenValue> token_values_;
  std::vector<uint32_t> masks_;  // of its constrained rows
  int64_t next_id_ = 1;
  EngineStatus totals_;                               // of what is counted
  std::vector<std::shared_ptr<Sequence>> sequences_;  // unfinished, in order of arrival
  // What the step under way has to tell, and to whom.
  std::vector<std::shared_ptr<Sequence>> prefilled_;
  std::vector<std::pair<std::shared_ptr<Sequence>, Output>> outputs_;
};

}  // namespace tq
