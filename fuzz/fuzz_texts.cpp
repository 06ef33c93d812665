// Fuzzes the small text files of a checkpoint together: config.json, generation_config.json,
// tokenizer_config.json, tokenizer.json, chat templates. Whatever they say, end ids, sampling,
// tokenizer and templates either are refused with a tq::Error or can be used. The input is several
// files in one (scratch_folder.h).
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "scratch_folder.h"
#include "session/generation_config.h"
#include "session/load.h"
#include "support/text_checkpoint.h"

namespace {

using tq::fuzz::attempt;

tq::fixtures::TextCheckpoint checkpoint_of(std::string_view input) {
  std::map<std::string, std::string> files;
  for (const auto& [name, text] : tq::fuzz::split_files(input)) files.emplace(name, text);
  tq::Json config = tq::Json::object();
  if (const auto found = files.find("config.json"); found != files.end()) {
    tq::Json json = tq::parse_json(found->second, "config.json");
    if (json.is_object()) config = std::move(json);
  }
  return tq::fixtures::TextCheckpoint(std::move(files), std::move(config));
}

void check_ids(const std::vector<int32_t>& ids) {
  if (!std::is_sorted(ids.begin(), ids.end()) || (!ids.empty() && ids[0] < 0)) std::abort();
}

void render(const tq::ChatTemplate& chat) {
  const tq::Json messages = tq::Json::array({{{"role", "user"}, {"content", "hi"}}});
  (void)chat.render(messages, {.now = 1'700'000'000});
}

void read_all(const tq::Checkpoint& checkpoint) {
  std::shared_ptr<const tq::Tokenizer> tokenizer;
  attempt([&] { tokenizer = tq::read_tokenizer(checkpoint); });
  attempt([&] { check_ids(tq::read_eos_ids(checkpoint, tokenizer.get())); });
  attempt([&] { check_ids(tq::read_not_text_ids(checkpoint, tokenizer.get())); });
  attempt([&] {
    const tq::SamplingParams params = tq::read_default_sampling(checkpoint);
    try {
      params.validate();
    } catch (const tq::Error&) {
      std::abort();
    }
  });
  if (tokenizer != nullptr) {
    attempt([&] { tokenizer->decode(tokenizer->encode("<s>It's 42\n \u4f60</s>"), false); });
  }
  attempt([&] {
    const tq::ChatTemplates templates = tq::read_chat_templates(checkpoint);
    for (const std::string& name : templates.names()) {
      attempt([&] { render(templates.open(name)); });
    }
    attempt([&] { (void)templates.choose(true); });
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tq::set_log_level(tq::LogLevel::kQuiet);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  attempt([&] { read_all(checkpoint_of(input)); });
  return 0;
}
