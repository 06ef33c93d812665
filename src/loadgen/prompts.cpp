#include "loadgen/prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/sort_unique.h"
#include "loadgen/schedule.h"

namespace tq {
namespace {

constexpr size_t kBytesOfToken = 4;  // of English, about

constexpr std::array<const char*, 96> kWords = {
    "time",   "year",    "people",   "way",    "day",    "man",    "thing",   "woman",   "life",
    "child",  "world",   "school",   "state",  "family", "group",  "country", "hand",    "part",
    "place",  "case",    "week",     "system", "work",   "number", "night",   "point",   "home",
    "water",  "room",    "mother",   "area",   "money",  "story",  "fact",    "month",   "lot",
    "right",  "study",   "book",     "eye",    "job",    "word",   "side",    "kind",    "head",
    "house",  "service", "friend",   "hour",   "game",   "line",   "end",     "member",  "law",
    "car",    "city",    "name",     "team",   "minute", "idea",   "body",    "back",    "face",
    "level",  "office",  "door",     "health", "person", "art",    "war",     "history", "party",
    "result", "change",  "morning",  "reason", "girl",   "guy",    "moment",  "air",     "teacher",
    "force",  "foot",    "boy",      "age",    "policy", "music",  "market",  "sense",   "nation",
    "plan",   "college", "interest", "death",  "course", "effect"};

std::vector<int32_t> id_pool(ModelServer& server, const std::string& model) {
  std::string text = kWords[0];
  for (size_t i = 1; i < kWords.size(); ++i) text += std::string(" ") + kWords[i];
  std::vector<int32_t> ids = server.tokenize(model, text).value_or(std::vector<int32_t>());
  sort_unique(ids);
  return ids;
}

}  // namespace

PromptSource::PromptSource(const PromptOptions& options, const AskOptions& ask, ModelServer& server,
                           size_t most)
    : options_(options),
      ask_(ask),
      server_(server),
      is_random_(options.dataset == "random"),
      as_ids_(is_random_ && ask.endpoint == Endpoint::kCompletions && options.turns == 1),
      random_(options.seed) {
  if (!is_random_) {
    read_ = read_dataset(options.dataset, most,
                         kBytesOfToken * static_cast<size_t>(options.input_tokens));
    if (read_.size() < most) {
      note_ =
          fmt::format("{} has {} prompts: they are used again, and a prefix cache will know them",
                      options.dataset, read_.size());
    }
  }
  if (is_random_ || options.prefix_tokens > 0) {
    pool_ = id_pool(server, ask.model);
    if (pool_.empty()) {
      as_ids_ = false;
      note_ = "the server has no /tokenize: random prompts are words, about one a token";
    }
  }
  for (int64_t i = 0; options.prefix_tokens > 0 && i < options.n_prefixes; ++i) {
    prefixes_.push_back(random_prompt(options.prefix_tokens));
  }
}

std::vector<LoadConversation> PromptSource::take(int64_t n) {
  std::vector<LoadConversation> out;
  for (int64_t i = 0; i < n; ++i, ++n_taken_) {
    LoadConversation next = is_random_ ? random_conversation() : read_[n_taken_ % read_.size()];
    if (options_.turns > 0 && next.turns.size() > static_cast<size_t>(options_.turns)) {
      next.turns.resize(static_cast<size_t>(options_.turns));
    }
    for (LoadPrompt& turn : next.turns) {
      turn.max_tokens = is_random_ ? around(options_.output_tokens) : options_.output_tokens;
    }
    if (!prefixes_.empty()) put_before(prefixes_[n_taken_ % prefixes_.size()], next.turns[0]);
    out.push_back(std::move(next));
  }
  return out;
}

// A length within the range; at least 1.
int64_t PromptSource::around(int64_t tokens) {
  const double length =
      static_cast<double>(tokens) * (1 + options_.range_ratio * (2 * uniform(random_) - 1));
  return std::max<int64_t>(1, std::llround(length));
}

LoadPrompt PromptSource::random_prompt(int64_t tokens) {
  LoadPrompt prompt;
  if (pool_.empty()) {
    for (int64_t i = 0; i < tokens; ++i) {
      prompt.text += std::string(i > 0 ? " " : "") + kWords[below(random_, kWords.size())];
    }
    return prompt;
  }
  for (int64_t i = 0; i < tokens; ++i) prompt.ids.push_back(pool_[below(random_, pool_.size())]);
  if (as_ids_) return prompt;
  const std::optional<std::string> text = server_.detokenize(ask_.model, prompt.ids);
  prompt.ids.clear();
  if (text) {
    prompt.text = *text;
    return prompt;
  }
  pool_.clear();
  note_ = "the server has no /detokenize: random prompts are words, about one a token";
  return random_prompt(tokens);
}

LoadConversation PromptSource::random_conversation() {
  LoadConversation out;
  const int64_t n = std::max<int64_t>(options_.turns, 1);
  for (int64_t i = 0; i < n; ++i) out.turns.push_back(random_prompt(around(options_.input_tokens)));
  return out;
}

void PromptSource::put_before(const LoadPrompt& prefix, LoadPrompt& prompt) const {
  prompt.ids.insert(prompt.ids.begin(), prefix.ids.begin(), prefix.ids.end());
  if (!prefix.text.empty()) prompt.text = prefix.text + " " + prompt.text;
}

}  // namespace tq
