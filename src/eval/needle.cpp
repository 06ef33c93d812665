#include "eval/needle.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <random>

#include "base/ascii.h"
#include "base/error.h"
#include "engine/candidates.h"
#include "eval/task_run.h"
#include "session/prompt.h"

namespace tq {
namespace {

constexpr int64_t kReserve = 24;  // tokens by which facts may differ in length

constexpr const char* kIntroduction =
    "The following text has one secret number in it. Remember it, it is asked for at the end.\n\n";

constexpr const char* kPlaces[] = {"Aldermoor", "Brackwater", "Corvale",  "Dunmere",
                                   "Elmstead",  "Fernhollow", "Greywick", "Hartsea",
                                   "Inverfall", "Juniper Bay"};
constexpr const char* kWho[] = {"The baker",   "A fisherman", "The old teacher", "Her neighbour",
                                "The postman", "A gardener",  "The innkeeper",   "A young clerk"};
constexpr const char* kDid[] = {"walked along the river", "mended the wooden gate",
                                "counted the boats",      "waited for the morning train",
                                "read the newspaper",     "watered the roses",
                                "painted the long fence", "carried bread to the market"};
constexpr const char* kWhen[] = {"before sunrise",       "while the rain fell",
                                 "on a quiet afternoon", "after the bells rang",
                                 "at the end of autumn", "when nobody was looking"};

template <typename List>
const char* pick(const List& list, std::mt19937_64& random) {
  return list[random() % std::size(list)];
}

}  // namespace

std::vector<std::string> needle_sentences(const std::string& filler, size_t n, uint64_t seed) {
  std::vector<std::string> own;
  for (size_t begin = 0; begin < filler.size();) {
    const size_t end = std::min(filler.find_first_of(".!?\n", begin), filler.size() - 1) + 1;
    const std::string sentence(trim(std::string_view(filler).substr(begin, end - begin)));
    if (!sentence.empty()) own.push_back(sentence);
    begin = end;
  }
  std::vector<std::string> out;
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < n; ++i) {
    if (!own.empty()) {
      out.push_back(own[i % own.size()]);
      continue;
    }
    const char* who = pick(kWho, random);
    const char* did = pick(kDid, random);
    const char* place = pick(kPlaces, random);
    out.push_back(fmt::format("{} of {} {} {}.", who, place, did, pick(kWhen, random)));
  }
  return out;
}

NeedlePrompt needle_prompt(const std::vector<std::string>& sentences, size_t n_filler, double depth,
                           uint64_t seed) {
  std::mt19937_64 random(seed);
  const char* place = pick(kPlaces, random);
  const uint64_t number = 10000 + random() % 90000;
  const auto at = static_cast<size_t>(depth * static_cast<double>(n_filler) + 0.5);
  NeedlePrompt out{.text = kIntroduction, .answer = fmt::format(" {}", number)};
  for (size_t i = 0; i <= n_filler; ++i) {
    if (i == at) out.text += fmt::format("The secret number of {} is {}. ", place, number);
    if (i < n_filler) out.text += sentences[i] + " ";
  }
  out.text += fmt::format(
      "\n\nQuestion: What is the secret number of {}?\nAnswer: The secret number of {} is", place,
      place);
  return out;
}

std::vector<NeedleCell> find_needles(const LoadedModel& loaded, const NeedleOptions& options,
                                     const EvalProgress& told) {
  const auto total =
      static_cast<int64_t>(options.lengths.size() * options.depths.size()) * options.trials;
  int64_t done = 0;
  told(0, total);
  CandidateScorer scorer(*loaded.model, options.kv_format);
  const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
  // A sentence has three tokens at least.
  const auto sentences =
      needle_sentences(options.filler, static_cast<size_t>(longest / 3), options.seed);
  const auto count = [&](size_t n_filler) {
    const NeedlePrompt prompt = needle_prompt(sentences, n_filler, 0.5, options.seed);
    const std::string text = prompt.text + prompt.answer;
    return static_cast<int64_t>(text_prompt(*loaded.tokenizer, text).ids.size()) + kReserve;
  };
  std::vector<NeedleCell> cells;
  for (const int64_t length : options.lengths) {
    // The most sentences that fit: tokens grow with them.
    size_t low = 0;
    size_t high = sentences.size();
    if (count(low) > length) {
      fail(ErrorCode::kInvalidArgument, "{} tokens are too few: the question alone has {}", length,
           count(low));
    }
    while (low < high) {
      const size_t middle = (low + high + 1) / 2;
      if (count(middle) <= length) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    for (const double depth : options.depths) {
      NeedleCell cell{.length = length, .depth = depth, .trials = options.trials};
      for (int64_t t = 0; t < options.trials; ++t) {
        if (options.stops && options.stops()) fail(ErrorCode::kCancelled, "interrupted");
        // One after the other, so that trials of a cell and those of the next differ.
        const NeedlePrompt prompt = needle_prompt(
            sentences, low, depth, options.seed * 1000003 + static_cast<uint64_t>(done));
        const SplitIds ids = split_ids(*loaded.tokenizer, prompt.text, prompt.answer);
        const std::vector<std::vector<int32_t>> answers{ids.continuation};
        const CandidateScore score = scorer.score(ids.context, answers)[0];
        cell.found += score.is_greedy ? 1 : 0;
        cell.log_probability += score.log_probability / static_cast<double>(options.trials);
        cell.prompt_tokens = static_cast<int64_t>(ids.context.size());
        told(++done, total);
      }
      cells.push_back(cell);
    }
  }
  return cells;
}

}  // namespace tq
