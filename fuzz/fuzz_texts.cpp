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
#include "session/load.h"

namespace {

using tq::fuzz::attempt;

// A checkpoint of nothing but small files.
class TextCheckpoint : public tq::Checkpoint {
 public:
  explicit TextCheckpoint(std::vector<tq::fuzz::NamedText> files)
      : Checkpoint(tq::CheckpointKind::kHuggingFace, "fuzz"), files_(std::move(files)) {
    if (const auto text = text_file("config.json")) {
      config_ = tq::parse_json(*text, "config.json");
      if (!config_.is_object()) config_ = tq::Json::object();
    }
  }
  std::vector<std::string> text_files() const override {
    std::vector<std::string> names;
    for (const auto& file : files_) names.push_back(file.name);
    return names;
  }
  std::optional<std::string> text_file(std::string_view name) const override {
    for (const auto& file : files_) {
      if (file.name == name) return std::string(file.text);
    }
    return std::nullopt;
  }
  void read_rows(const tq::TensorEntry&, int64_t, int64_t, float*) const override {}
  std::optional<tq::WeightView> view(const tq::TensorEntry&) const override { return {}; }
  std::span<const uint8_t> raw(const tq::TensorEntry&) const override { return {}; }
  void drop_rows(const tq::TensorEntry&, int64_t, int64_t) const override {}
  std::vector<tq::fs::path> files() const override { return {}; }

 private:
  std::vector<tq::fuzz::NamedText> files_;
};

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
  attempt([&] { read_all(TextCheckpoint(tq::fuzz::split_files(input))); });
  return 0;
}
