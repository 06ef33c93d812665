#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/bits.h"
#include "base/error.h"
#include "base/file_faults.h"
#include "base/human.h"
#include "base/math.h"
#include "engine/constraint.h"
#include "engine/model_limits.h"

namespace tq {
namespace {

// Whether not every token may come next.
bool is_masked(const Sequence& sequence) {
  const Constraint* constraint = sequence.request.constraint.get();
  return constraint != nullptr && !constraint->is_open();
}

double seconds_between(Sequence::Clock::time_point a, Sequence::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

SchedulerLimits scheduler_limits(const Model& model) {
  const LoadOptions& options = model.options();
  return {.max_batch_tokens = options.max_batch_tokens, .max_sequences = sequence_limit(options)};
}

int64_t page_count(const Model& model, int64_t n_pages) {
  if (n_pages > 0) return n_pages;
  const int64_t per_sequence = ceil_div(context_limit(model), kKvBlockTokens);
  return per_sequence * scheduler_limits(model).max_sequences;
}

}  // namespace

Engine::Engine(Model& model, std::shared_ptr<const Tokenizer> tokenizer,
               std::vector<int32_t> eos_ids, const EngineOptions& options)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      eos_ids_(std::move(eos_ids)),
      suppressed_ids_(options.suppressed_ids),
      max_context_(context_limit(model)),
      // Rows of the head beyond the tokenizer's vocabulary are padding.
      n_sample_tokens_(tokenizer_ ? std::min<int64_t>(model.spec().vocab, tokenizer_->vocab_size())
                                  : model.spec().vocab),
      layout_(model.kv_layout()),
      n_pages_(layout_.pages_of(scheduler_limits(model).max_sequences,
                                page_count(model, options.n_pages))),
      pages_(layout_.windows, n_pages_, layout_.near_pages(), layout_.states()),
      kv_(model.backend(), layout_, options.kv_format, n_pages_),
      scheduler_(scheduler_limits(model), pages_),
      logits_(model.backend().allocate_host(
          static_cast<size_t>(scheduler_limits(model).max_sequences * model.spec().vocab) *
          sizeof(float))),
      tokens_(static_cast<size_t>(scheduler_limits(model).max_sequences)) {
  std::erase_if(suppressed_ids_, [&](int32_t id) { return id < 0 || id >= n_sample_tokens_; });
  model_.exclude_tokens(suppressed_ids_);
  if (layout_.state_group > 0) {
    pages_.keep_states([this](size_t group, PageId from, PageId to) {
      kv_.copy_page(static_cast<int64_t>(group), from, to);
    });
  }
  if (options.host_cache_bytes <= 0) return;
  if (layout_.state_group > 0) {
    fail(ErrorCode::kUnsupported,
         "a host cache (--host-cache) does not hold the states that layers of {} keep beside "
         "keys and values: leave it out",
         model.spec().arch);
  }
  std::vector<int64_t> page_bytes;
  for (size_t g = 0; g < n_pages_.size(); ++g) page_bytes.push_back(kv_.page_bytes(g));
  Buffer memory;
  try {
    memory = model.backend().allocate_host(static_cast<size_t>(options.host_cache_bytes));
  } catch (const Error& e) {
    fail(e.code(), "a host cache of {}: {}",
         human_bytes(static_cast<double>(options.host_cache_bytes)), e.what());
  }
  host_.emplace(std::move(memory), std::move(page_bytes));
  pages_.keep_on_host(*host_, kv_);
}

int64_t Engine::add(Request request) {
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  if (n_prompt == 0) fail(ErrorCode::kInvalidArgument, "the prompt is empty: it needs a token");
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= model_.spec().vocab) {
      fail(ErrorCode::kInvalidArgument, "the prompt holds token id {}: ids are 0 to {}", id,
           model_.spec().vocab - 1);
    }
  }
  if (request.n_given < 0 || request.n_given >= n_prompt) {
    fail(ErrorCode::kInvalidArgument, "{} ids of a prompt of {} cannot be part of the answer",
         request.n_given, n_prompt);
  }
  const int64_t n_total = n_prompt + request.sampling.max_tokens;
  if (n_total > max_context_) {
    fail(ErrorCode::kInvalidArgument,
         "a prompt of {} tokens and {} to generate are {}, more than the context of {}", n_prompt,
         request.sampling.max_tokens, n_total, max_context_);
  }
  if (!request.sampling.stop.empty() && !tokenizer_) {
    fail(ErrorCode::kInvalidArgument, "stop texts need a tokenizer: this checkpoint has none");
  }
  auto sequence = std::make_shared<Sequence>(next_id_, std::move(request), n_sample_tokens_);
  const int64_t n_pages = ceil_div(sequence->max_cached(), kKvBlockTokens);
  if (n_pages > pages_.n_pages()) {
    fail(ErrorCode::kInvalidArgument, "{} tokens need {} KV pages: there are {} in all", n_total,
         n_pages, pages_.n_pages());
  }
  if (tokenizer_) {
    const Constraint* constraint = sequence->request.constraint.get();
    const bool at_start = constraint == nullptr || !constraint->counts_bytes();
    sequence->detokenizer.emplace(tokenizer_, /*skip_special=*/true, sequence->request.shown_ids,
                                  at_start);
  }
  if (Constraint* constraint = sequence->request.constraint.get()) {
    const std::span<const int32_t> prompt = sequence->request.prompt;
    for (const int32_t id : prompt.last(static_cast<size_t>(sequence->request.n_given))) {
      constraint->accept(id);
    }
  }
  sequence->sampler.hold_back(sequence->request.sampling.stop_ids);
  if (!sequence->request.sampling.ignore_eos) sequence->sampler.hold_back(eos_ids_);
  give(*sequence);
  sequence->stats.prompt_tokens = n_prompt;
  scheduler_.add(*sequence);
  sequences_.push_back(std::move(sequence));
  return next_id_++;
}

void Engine::give(Sequence& sequence) {
  if (sequence.request.n_given == 0 || !sequence.detokenizer) return;
  Output output;
  const std::span<const int32_t> prompt = sequence.request.prompt;
  for (const int32_t id : prompt.last(static_cast<size_t>(sequence.request.n_given))) {
    output.text += sequence.stops.push(sequence.detokenizer->push(id));
  }
  output.request = sequence.id;
  outputs_.emplace_back(sequence.shared_from_this(), std::move(output));
}

void Engine::cancel(int64_t request) {
  for (const auto& sequence : sequences_) {
    if (sequence->id == request) sequence->cancelled = true;
  }
}

bool Engine::step() {
  const auto unfinished = sequences_;  // finish() changes the list
  for (const auto& sequence : unfinished) {
    if (sequence->cancelled) finish(*sequence, FinishReason::kCancelled, {});
  }
  const ScheduledStep& step = scheduler_.next();
  if (!step.batch.empty()) {
    const auto now = Sequence::Clock::now();
    for (Sequence* sequence : step.sequences) {
      if (sequence->started) continue;
      sequence->started = now;
      sequence->stats.queue_seconds = seconds_between(sequence->added, now);
      totals_.reused_tokens += sequence->stats.reused_tokens;
      count_prompt(*sequence);
      if (sequence->request.on_prefill) tell_prefill(*sequence);
    }
    ++totals_.steps;
    const bool on_device = chooses(step);
    if (run_model(step, on_device)) take_choices(step, on_device);
  }
  deliver();
  return !sequences_.empty();
}

bool Engine::chooses(const ScheduledStep& step) const {
  if (!model_.chooses_tokens()) return false;
  size_t n_values = 0;
  for (const Sequence* sequence : step.sequences) {
    if (sequence->request.n_logprobs) return false;
    n_values += sequence->sampler.n_list_entries();
  }
  return static_cast<int64_t>(n_values) <= model_.max_token_values();
}

bool Engine::run_model(const ScheduledStep& step, bool chooses) {
  try {
    if (chooses) {
      std::vector<Sequence*> constrained;
      sample_rows_.clear();
      token_values_.clear();
      for (size_t i = 0; i < step.batch.size(); ++i) {
        if (step.batch[i].n_logits == 0) continue;
        sample_rows_.push_back(step.sequences[i]->sampler.next_row(token_values_));
        if (!is_masked(*step.sequences[i])) continue;
        sample_rows_.back().mask = static_cast<int32_t>(constrained.size());
        constrained.push_back(step.sequences[i]);
      }
      TokenChoice choice{n_sample_tokens_, sample_rows_, token_values_};
      if (!constrained.empty()) choice.masks = [&] { return make_masks(constrained); };
      model_.next_tokens(step.batch, kv_, choice, std::span(tokens_).first(sample_rows_.size()));
    } else {
      model_.forward(step.batch, kv_,
                     logits_.as<float>().first(static_cast<size_t>(step.n_logits()) *
                                               static_cast<size_t>(model_.spec().vocab)));
    }
    check_file_faults();
    return true;
  } catch (const Error& error) {
    const std::vector<Sequence*> failed(step.sequences.begin(), step.sequences.end());
    for (Sequence* sequence : failed) {
      finish(*sequence, FinishReason::kError, {.error = error.what(), .error_code = error.code()});
    }
    return false;
  }
}

void Engine::take_choices(const ScheduledStep& step, bool chosen) {
  const auto vocab = static_cast<size_t>(model_.spec().vocab);
  size_t row = 0;
  for (size_t i = 0; i < step.batch.size(); ++i) {
    Sequence& sequence = *step.sequences[i];
    const auto n_tokens = static_cast<int64_t>(step.batch[i].token_ids.size());
    if (step.batch[i].n_logits == 0) {
      keep(sequence, n_tokens);
      if (sequence.request.on_prefill && sequence.stats.generated_tokens == 0) {
        prefilled_.push_back(sequence.shared_from_this());
      }
      continue;
    }
    Constraint* const constraint = sequence.request.constraint.get();
    if (constraint != nullptr && constraint->must_end()) {  // before its first token
      keep(sequence, n_tokens);
      finish(sequence, FinishReason::kStop, {});
      ++row;
      continue;
    }
    const Choice choice = chosen
                              ? take(sequence, tokens_[row])
                              : sample(sequence, logits_.as<float>().subspan(row * vocab, vocab));
    if (choice.error.empty()) keep(sequence, n_tokens);
    advance(sequence, choice);
    ++row;
  }
}

void Engine::keep(Sequence& sequence, int64_t n_tokens) {
  sequence.n_cached += n_tokens;
  count_prompt(sequence);
  pages_.publish(sequence.pages, sequence.cached_tokens());
  if (sequence.n_cached > sequence.keep_end()) return;
  pages_.keep_state(sequence.pages, sequence.cached_tokens(),
                    sequence.n_cached == sequence.keep_end() ? Reuse::kLikely : Reuse::kUnlikely);
}

// What is computed again after a preemption counts once.
void Engine::count_prompt(Sequence& sequence) {
  const int64_t n = std::min(sequence.n_cached, sequence.stats.prompt_tokens);
  totals_.prompt_tokens += std::max<int64_t>(n - sequence.n_counted, 0);
  sequence.n_counted = std::max(sequence.n_counted, n);
}

std::span<const uint32_t> Engine::make_masks(const std::vector<Sequence*>& sequences) {
  const auto n_words = static_cast<size_t>(mask_words(n_sample_tokens_));
  masks_.resize(sequences.size() * n_words);
  for (size_t i = 0; i < sequences.size(); ++i) {
    fill_mask(*sequences[i], std::span(masks_).subspan(i * n_words, n_words));
  }
  return masks_;
}

void Engine::fill_mask(Sequence& sequence, std::span<uint32_t> bits) const {
  Constraint& constraint = *sequence.request.constraint;
  try {
    constraint.fill_mask(bits);
    const bool may_end = constraint.may_end();
    const auto set = [&](int32_t id, bool allowed) {
      if (id >= 0 && id < n_sample_tokens_) set_bit(bits, id, allowed);
    };
    const SamplingParams& sampling = sequence.request.sampling;
    for (const int32_t id : eos_ids_) set(id, may_end && !sampling.ignore_eos);
    const auto is_empty = [&] {
      return std::all_of(bits.begin(), bits.end(), [](uint32_t word) { return word == 0; });
    };
    for (const int32_t id : sampling.stop_ids) set(id, may_end);
    if (is_empty() && !sampling.stop_ids.empty()) {  // only a stop goes on: it ends the answer
      constraint.fill_mask(bits);
      for (const int32_t id : eos_ids_) set(id, may_end && !sampling.ignore_eos);
    }
    if (is_empty()) {
      fail(ErrorCode::kInvalidArgument,
           "no token of the vocabulary continues the answer as its grammar asks");
    }
  } catch (const Error& error) {
    sequence.fault = error;
  }
}

bool Engine::constrain(Sequence& sequence, int32_t token) {
  try {
    if (sequence.request.constraint) sequence.request.constraint->accept(token);
    return true;
  } catch (const Error& error) {
    sequence.fault = error;
    return false;
  }
}

bool Engine::is_end(const Sequence& sequence, int32_t token) const {
  const SamplingParams& sampling = sequence.request.sampling;
  const auto has = [token](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return (!sampling.ignore_eos && has(eos_ids_)) || has(sampling.stop_ids);
}

Engine::Choice Engine::take(Sequence& sequence, int32_t chosen) {
  if (sequence.fault) return {-1, sequence.fault->what(), {}, sequence.fault->code()};
  try {
    return {sequence.sampler.take(chosen), ""};
  } catch (const Error& error) {
    return {-1, error.what()};
  }
}

Engine::Choice Engine::sample(Sequence& sequence, std::span<float> logits) {
  const uint32_t* mask = nullptr;
  if (is_masked(sequence)) {
    mask = make_masks({&sequence}).data();
    if (sequence.fault) return {-1, sequence.fault->what(), {}, sequence.fault->code()};
  }
  for (const int32_t id : suppressed_ids_) {
    logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
  }
  const auto n_logprobs = sequence.request.n_logprobs;
  std::vector<float> before;  // which sampling changes
  if (n_logprobs) {
    const auto n_tokens = static_cast<ptrdiff_t>(n_sample_tokens_);
    before.assign(logits.begin(), logits.begin() + n_tokens);
  }
  try {
    Choice choice{sequence.sampler.sample(logits, mask), ""};
    if (n_logprobs) choice.logprobs = token_logprobs(before, choice.token, *n_logprobs);
    return choice;
  } catch (const Error& error) {
    return {-1, error.what()};
  }
}

void Engine::advance(Sequence& sequence, const Choice& choice) {
  Output output;
  if (!choice.error.empty()) {
    output.error = choice.error;
    output.error_code = choice.error_code;
    finish(sequence, FinishReason::kError, std::move(output));
    return;
  }
  const int32_t token = choice.token;
  const auto now = Sequence::Clock::now();
  RequestStats& stats = sequence.stats;
  if (++stats.generated_tokens == 1) {
    sequence.first_token = now;
    stats.prefill_seconds = seconds_between(*sequence.started, now);
  }
  ++totals_.generated_tokens;
  stats.decode_seconds = seconds_between(sequence.first_token, now);
  if (is_end(sequence, token)) {
    finish(sequence, FinishReason::kStop, std::move(output));
    return;
  }
  if (!constrain(sequence, token)) {
    output.error = sequence.fault->what();
    output.error_code = sequence.fault->code();
    finish(sequence, FinishReason::kError, std::move(output));
    return;
  }
  sequence.tokens.push_back(token);
  output.token = token;
  output.logprobs = choice.logprobs;
  if (sequence.detokenizer) {
    output.text = sequence.detokenizer->push(token);
    if (stats.generated_tokens >= sequence.request.sampling.min_tokens) {
      output.text = sequence.stops.push(output.text);
    }
  }
  const Constraint* constraint = sequence.request.constraint.get();
  if (sequence.stops.matched() || (constraint != nullptr && constraint->must_end())) {
    finish(sequence, FinishReason::kStop, std::move(output));
  } else if (stats.generated_tokens == sequence.request.sampling.max_tokens) {
    finish(sequence, FinishReason::kLength, std::move(output));
  } else {
    output.request = sequence.id;
    outputs_.emplace_back(sequence.shared_from_this(), std::move(output));
  }
}

EngineStatus Engine::status() const {
  EngineStatus status = totals_;
  status.n_running = static_cast<int64_t>(scheduler_.n_running());
  status.n_waiting = static_cast<int64_t>(scheduler_.n_waiting());
  status.n_pages = pages_.n_pages();
  status.n_used_pages = pages_.n_pages() - pages_.n_available();
  status.host_cache_bytes = host_ ? host_->used_bytes() : 0;
  return status;
}

void Engine::finish(Sequence& sequence, FinishReason reason, Output output) {
  if (sequence.detokenizer) {
    output.text += sequence.stops.push(sequence.detokenizer->finish());
    output.text += sequence.stops.finish();
  }
  output.request = sequence.id;
  output.finish = reason;
  output.stop_text = sequence.stops.matched_text();
  output.stats = sequence.stats;
  totals_.preemptions += sequence.stats.preemptions;
  scheduler_.remove(sequence);
  pages_.retire(sequence.pages, sequence.cached_tokens());
  outputs_.emplace_back(sequence.shared_from_this(), std::move(output));
  std::erase_if(sequences_, [&](const auto& other) { return other.get() == &sequence; });
}

void Engine::tell_prefill(const Sequence& sequence) {
  sequence.request.on_prefill(sequence.n_cached,
                              static_cast<int64_t>(sequence.request.prompt.size()));
}

void Engine::deliver() {
  for (const auto& sequence : std::exchange(prefilled_, {})) tell_prefill(*sequence);
  for (const auto& [sequence, output] : std::exchange(outputs_, {})) {
    if (sequence->request.on_output) sequence->request.on_output(output);
  }
}

}  // namespace tq
