// Request: what a caller asks the engine for. Output: what comes back, one token at a time.
// Sequence: a request while the engine works on it; owned by the engine, used by its thread only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/constraint.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "engine/stop_matcher.h"
#include "kv/pages.h"
#include "text/tokenizer.h"

namespace tq {

enum class FinishReason : uint8_t {
  kNone,       // more will come
  kStop,       // an end-of-sequence id, a stop id or a stop text
  kLength,     // max_tokens
  kCancelled,  // Engine::cancel
  kError,      // Output::error says what
};
// "stop", "length", "cancelled", "error"; "" for kNone.
std::string_view finish_reason_name(FinishReason reason);

// Counts and times of a finished request.
struct RequestStats {
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;     // of the prompt, whose keys and values were there already
  PrefixReport prefix;           // why not more
  int64_t generated_tokens = 0;  // an end-of-sequence token counts: it was computed
  int64_t preemptions = 0;       // how often it had to begin anew for want of pages
  double queue_seconds = 0;      // from its coming to the first step
  double prefill_seconds = 0;    // from the first step to the first token
  double decode_seconds = 0;     // from the first token to the last

  double prefill_rate() const;  // computed prompt tokens per second; 0 if unknown
  double decode_rate() const;   // tokens after the first per second; 0 if there are none
};

struct Output {
  int64_t request = 0;
  std::optional<int32_t> token;        // absent for end ids and when nothing was sampled
  std::vector<TokenLogprob> logprobs;  // of Request::n_logprobs, where there is a token
  std::string text;                    // complete characters that are certain now; often empty
  FinishReason finish = FinishReason::kNone;
  std::string stop_text;                        // of kStop: the one of SamplingParams::stop
  std::string error;                            // of kError
  ErrorCode error_code = ErrorCode::kInternal;  // of kError
  RequestStats stats;                           // complete when finish is not kNone
};

struct Request {
  std::vector<int32_t> prompt;  // ids, at least one
  SamplingParams sampling;
  // Smaller ones are served first: scheduler.h. Of equal ones the older.
  int64_t priority = 0;
  // So many ids at the end of the prompt, fewer than all, are the beginning of the answer: one that
  // is continued. Their text is the first output, penalties count them as generated, and what is
  // drawn is what would have been drawn had the answer not been cut.
  int64_t n_given = 0;
  // Special ids whose text is part of the output all the same: tags for a ReasoningParser.
  std::vector<int32_t> shown_ids;
  // With every token its log probability comes, and the most probable others, so many of them.
  // Absent: none.
  std::optional<int> n_logprobs;
  // Only tokens that it allows are sampled, and the answer ends when it must; end ids and stop ids
  // may come only where it may end. What n_given says must be allowed, too. Of this request alone;
  // null: any token may come.
  std::shared_ptr<Constraint> constraint;
  // Called from Engine::step on its thread after the step is complete; may add and cancel requests.
  // What it throws leaves step(): the engine stays usable, outputs not yet told are lost.
  std::function<void(const Output&)> on_output;
  // Called likewise, with the tokens that are in the cache and those of the whole prompt: before
  // the first step, when the former are those that need not be computed, and after each step
  // that ran some of the prompt but not the last of it.
  std::function<void(int64_t done, int64_t total)> on_prefill;
};

struct Sequence : std::enable_shared_from_this<Sequence> {
  using Clock = std::chrono::steady_clock;

  Sequence(int64_t id_in, Request request_in, int64_t n_sample_tokens)
      : id(id_in),
        request(std::move(request_in)),
        tokens(request.prompt),
        sampler(request.sampling, n_sample_tokens),
        stops(request.sampling.stop) {
    const std::span<const int32_t> prompt = request.prompt;
    sampler.see(prompt.first(prompt.size() - static_cast<size_t>(request.n_given)));
    sampler.resume(prompt.last(static_cast<size_t>(request.n_given)));
  }

  // Tokens whose keys and values the cache must hold at most: the last one sampled is never fed.
  int64_t max_cached() const {
    return static_cast<int64_t>(request.prompt.size()) + request.sampling.max_tokens - 1;
  }
  // Tokens that have to be run before the next one can be sampled.
  int64_t n_pending() const { return static_cast<int64_t>(tokens.size()) - n_cached; }
  // Where the state of layers that have one is kept: at the end of a page of the prompt, but for
  // what a chat's next turn has in another way, such as the opening of reasoning.
  int64_t keep_end() const {
    constexpr int64_t kOpening = 8;
    const auto n_prompt = static_cast<int64_t>(request.prompt.size());
    return std::max<int64_t>(n_prompt - 1 - kOpening, 0) / kKvBlockTokens * kKvBlockTokens;
  }
  std::span<const int32_t> cached_tokens() const {
    return std::span(tokens).first(static_cast<size_t>(n_cached));
  }

  int64_t id;
  Request request;
  std::vector<int32_t> tokens;  // prompt, then generated
  int64_t n_cached = 0;         // tokens whose keys and values are in the cache
  int64_t n_counted = 0;        // of the prompt, in the engine's totals
  PageTable pages;
  Sampler sampler;
  std::optional<StreamDetokenizer> detokenizer;  // absent without a tokenizer
  StopMatcher stops;
  bool cancelled = false;
  std::optional<Error> fault;  // of the constraint: the request ends with it
  RequestStats stats;
  Clock::time_point added = Clock::now();
  std::optional<Clock::time_point> started;  // first step
  Clock::time_point first_token;
};

}  // namespace tq
