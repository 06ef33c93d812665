// Where the conversations of a run come from.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "loadgen/dataset.h"
#include "loadgen/model_server.h"

namespace tq {

struct PromptOptions {
  std::string dataset = "random";  // or a file (dataset.h)
  int64_t input_tokens = 128;      // of random prompts; of a text file about so many
  int64_t output_tokens = 128;     // max_tokens
  double range_ratio = 0;          // random: lengths from (1 - r) to (1 + r) times these
  int64_t turns = 1;               // of a conversation; 0: as many as it has in the file
  int64_t prefix_tokens = 0;       // random tokens in front of the first turn ...
  int64_t n_prefixes = 1;          // ... of so many kinds, in turn
  uint64_t seed = 0;
};

// Random prompts are of ids that the server's tokenizer gives for common words, so they are ids of
// its model and none of them is special. They are sent as ids to completions of one turn, otherwise
// as the text that the server makes of them; of a server that cannot do that, as words.
class PromptSource {
 public:
  // most: how many conversations will be wanted; of a file more are not read. Throws what
  // read_dataset throws.
  PromptSource(const PromptOptions& options, const AskOptions& ask, ModelServer& server,
               size_t most);

  // The next n conversations: other ones than before as long as there are any; files begin again.
  std::vector<LoadConversation> take(int64_t n);

  // What to know of the prompts' making; empty: nothing.
  const std::string& note() const { return note_; }

 private:
  int64_t around(int64_t tokens);
  LoadPrompt random_prompt(int64_t tokens);
  LoadConversation random_conversation();
  void put_before(const LoadPrompt& prefix, LoadPrompt& prompt) const;

  PromptOptions options_;
  AskOptions ask_;
  ModelServer& server_;
  bool is_random_;
  bool as_ids_;
  std::mt19937_64 random_;
  std::vector<int32_t> pool_;  // ids; empty: words are used
  std::vector<LoadPrompt> prefixes_;
  std::vector<LoadConversation> read_;
  size_t n_taken_ = 0;
  std::string note_;
};

}  // namespace tq
