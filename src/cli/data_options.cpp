#include "cli/data_options.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/host_memory.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/sizes.h"
#include "session/load.h"

namespace tq {
namespace {

HessianText read_text(const Checkpoint& source, const DataOptions& options) {
  if (options.text.empty()) {
    fail(ErrorCode::kInvalidArgument, "--effort data needs a text: --data FILE");
  }
  const auto tokenizer = read_tokenizer(source);
  if (!tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer.json, which --effort data reads text by",
         source.path().string());
  }
  HessianText text;
  text.ids =
      tokenizer->encode(options.text == "-" ? read_stdin("the text") : read_text_file(options.text),
                        {.parse_special = false});
  const auto bos = tokenizer->bos();
  if (bos && !text.ids.empty() && text.ids.front() == *bos) {
    text.ids.erase(text.ids.begin());
    text.prefix = {*bos};
  }
  if (static_cast<int64_t>(text.ids.size()) > options.n_tokens) {
    text.ids.resize(static_cast<size_t>(options.n_tokens));
  }
  return text;
}

}  // namespace

void add_data_options(CLI::App& command, DataOptions& options) {
  constexpr const char* kGroup = "With --effort data";
  command
      .add_option("--data", options.text,
                  "UTF-8 text file of what the model will be used for; - is stdin")
      ->group(kGroup);
  command
      .add_option("--data-tokens", options.n_tokens, "Tokens of it that are read; more take longer")
      ->check(CLI::Range(int64_t{512}, int64_t{1} << 24))
      ->group(kGroup);
  command
      .add_option("--data-memory", options.memory,
                  "Memory for statistics at a time; with less the text is run more often; without "
                  "this option half of what is free")
      ->transform(byte_size())
      ->group(kGroup);
}

std::unique_ptr<HessianMeter> make_hessian_meter(const Checkpoint& source,
                                                 const DataOptions& options, int n_threads,
                                                 const GlobalOptions& global) {
  // A bar for each run, which leaves the line to the conversion's.
  const auto bar = std::make_shared<std::unique_ptr<Progress>>();
  const auto progress = [bar, &global](int64_t done, int64_t all) {
    if (*bar == nullptr) {
      *bar = std::make_unique<Progress>(global, "reading the text", ProgressUnit::kItems, "tokens");
    }
    (*bar)->update(done, all);
    if (done < all) return;
    (*bar)->vanish();
    bar->reset();
  };
  const int64_t memory =
      options.memory > 0 ? static_cast<int64_t>(options.memory) : available_host_memory() / 2;
  return std::make_unique<HessianMeter>(
      source, HessianMeterOptions{.text = read_text(source, options),
                                  .memory_bytes = memory,
                                  .n_threads = n_threads,
                                  .progress = progress,
                                  .cancelled = InterruptScope::interrupted});
}

}  // namespace tq
