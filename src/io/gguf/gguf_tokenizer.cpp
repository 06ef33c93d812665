#include "io/gguf/gguf_tokenizer.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "io/gguf/gguf_splits.h"

namespace tq {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";  // how SentencePiece writes a space

enum class TokenType : int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct GgufVocab {
  std::vector<std::string> tokens;
  std::vector<TokenType> types;
  std::optional<int64_t> bos, eos, unk, pad;
  bool add_bos = false;
  bool add_eos = false;

  std::unordered_map<std::string_view, int64_t> ids() const {
    std::unordered_map<std::string_view, int64_t> by_token;
    by_token.reserve(tokens.size());
    for (size_t id = 0; id < tokens.size(); ++id) {
      by_token.emplace(tokens[id], static_cast<int64_t>(id));
    }
    return by_token;
  }
};

[[noreturn]] void corrupt(const GgufFile& file, const std::string& what) {
  fail(ErrorCode::kCorrupt, "{}: tokenizer: {}", file.name(), what);
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

std::optional<int64_t> token_id(const GgufFile& file, const char* key, size_t n_tokens) {
  const std::optional<int64_t> id = file.integer(key);
  if (!id || (*id >= 0 && *id < static_cast<int64_t>(n_tokens))) return id;
  // How converters say that there is none: -1, if need be in 32 bits.
  if (*id != -1 && *id != std::numeric_limits<uint32_t>::max()) {
    warn("{}: {} is {}, but there are {} tokens: it is left out", file.name(), key, *id, n_tokens);
  }
  return std::nullopt;
}

GgufVocab read_vocab(const GgufFile& file, bool sentencepiece) {
  GgufVocab vocab;
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->empty()) corrupt(file, "no tokenizer.ggml.tokens");
  vocab.tokens.assign(tokens->begin(), tokens->end());
  const size_t n = vocab.tokens.size();
  for (const std::string& token : vocab.tokens) {
    if (!simdjson::validate_utf8(token)) corrupt(file, "a token is not valid UTF-8");
  }
  vocab.types.assign(n, TokenType::kNormal);
  if (const auto types = file.integers("tokenizer.ggml.token_type")) {
    if (types->size() != n) {
      corrupt(file, fmt::format("{} token types for {} tokens", types->size(), n));
    }
    for (size_t id = 0; id < n; ++id) vocab.types[id] = static_cast<TokenType>((*types)[id]);
  }
  vocab.bos = token_id(file, "tokenizer.ggml.bos_token_id", n);
  vocab.eos = token_id(file, "tokenizer.ggml.eos_token_id", n);
  vocab.unk = token_id(file, "tokenizer.ggml.unknown_token_id", n);
  vocab.pad = token_id(file, "tokenizer.ggml.padding_token_id", n);
  vocab.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(sentencepiece);
  vocab.add_eos = file.boolean("tokenizer.ggml.add_eos_token").value_or(false);
  if (!sentencepiece) return vocab;
  // The converter writes the spaces of user defined tokens plainly; SentencePiece's own vocabulary
  // (and tokenizer.json) has them as U+2581.
  for (size_t id = 0; id < n; ++id) {
    if (vocab.types[id] != TokenType::kUserDefined) continue;
    std::string marked;
    for (const char c : vocab.tokens[id]) {
      if (c == ' ') {
        marked += kSpaceMark;
      } else {
        marked += c;
      }
    }
    vocab.tokens[id] = std::move(marked);
  }
  return vocab;
}

Json added_tokens(const GgufVocab& vocab) {
  Json list = Json::array();
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    const TokenType type = vocab.types[id];
    const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
    if ((!special && type != TokenType::kUserDefined) || vocab.tokens[id].empty()) continue;
    list.push_back({{"id", id},
                    {"content", vocab.tokens[id]},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", false},
                    {"special", special}});
  }
  return list;
}

// BOS and EOS around the text, as add_bos_token and add_eos_token ask.
Json post_processor(const GgufVocab& vocab) {
  Json single = Json::array();
  Json pair = Json::array();
  Json special_tokens = Json::object();
  const auto add_token = [&](bool wanted, const std::optional<int64_t>& id) {
    if (!wanted || !id) return;
    const std::string& name = vocab.tokens[static_cast<size_t>(*id)];
    const Json piece = {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
    single.push_back(piece);
    pair.push_back(piece);
    special_tokens[name] = {{"id", name}, {"ids", {*id}}, {"tokens", {name}}};
  };
  const auto text = [](const char* name) {
    return Json{{"Sequence", {{"id", name}, {"type_id", 0}}}};
  };
  add_token(vocab.add_bos, vocab.bos);
  single.push_back(text("A"));
  pair.push_back(text("A"));
  pair.push_back(text("B"));
  add_token(vocab.add_eos, vocab.eos);
  if (special_tokens.empty()) return nullptr;
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special_tokens}};
}

Pipeline sentencepiece_pipeline(bool space_prefix) {
  const auto replace = [](std::string_view from, std::string_view to) {
    return Json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  Pipeline pipeline;
  pipeline.normalizer = replace(" ", kSpaceMark);
  Json decoders = {replace(kSpaceMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (space_prefix) {
    const Json prepend = {{"type", "Prepend"}, {"prepend", kSpaceMark}};
    pipeline.normalizer = {{"type", "Sequence"}, {"normalizers", {prepend, pipeline.normalizer}}};
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  pipeline.decoder = {{"type", "Sequence"}, {"decoders", decoders}};
  return pipeline;
}

// Gemma 4's, whose tokens are those of a SentencePiece model.
bool has_own_merges(const GgufFile& file) {
  return file.string("tokenizer.ggml.model") == "gemma4";
}

// Appends the "merges" list of a vocabulary that has one.
void append_merges(const GgufFile& file, std::string& out) {
  const auto merges = file.strings("tokenizer.ggml.merges");
  if (!merges) corrupt(file, "no tokenizer.ggml.merges");
  for (size_t i = 0; i < merges->size(); ++i) {
    if (!simdjson::validate_utf8((*merges)[i])) corrupt(file, "a merge is not valid UTF-8");
    if (i > 0) out += ',';
    append_json_string((*merges)[i], out);
  }
}

// Of the halves that are looked up to find merges; a vocabulary of 256,000 tokens takes 20 MB.
constexpr size_t kMaxMergeBytes = size_t{1} << 30;

// Appends the merges that SentencePiece's BPE does: any two tokens whose texts make a third, best
// score first. Hugging Face's converter orders them so: by the token made (user defined ones come
// before all others, whatever score the GGUF has for them), then by the length of the left part.
void append_merges_from_scores(const GgufFile& file, const GgufVocab& vocab, std::string& out) {
  const auto scores = file.floats("tokenizer.ggml.scores");
  if (!scores || scores->size() != vocab.tokens.size()) {
    corrupt(file, "not as many tokenizer.ggml.scores as tokens");
  }
  std::vector<size_t> order(vocab.tokens.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto is_user_defined = [&](size_t id) {
    return vocab.types[id] == TokenType::kUserDefined;
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (is_user_defined(a) != is_user_defined(b)) return is_user_defined(a);
    return !is_user_defined(a) && (*scores)[a] > (*scores)[b];
  });
  const auto ids = vocab.ids();
  // Only cuts into lengths that tokens have are looked up: a token of a megabyte has as many cuts.
  std::unordered_set<size_t> lengths;
  for (const std::string_view token : vocab.tokens) lengths.insert(token.size());
  size_t looked_up = 0;
  bool first = true;
  for (const size_t id : order) {
    const std::string_view token = vocab.tokens[id];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if (lengths.count(cut) == 0 || lengths.count(token.size() - cut) == 0) continue;
      if ((static_cast<unsigned char>(token[cut]) & 0xC0) == 0x80) continue;  // inside a character
      const std::string_view left = token.substr(0, cut);
      const std::string_view right = token.substr(cut);
      looked_up += token.size();
      if (looked_up > kMaxMergeBytes)
        corrupt(file, "its tokens are too long and too many to merge");
      if (ids.count(left) == 0 || ids.count(right) == 0) continue;
      out += std::exchange(first, false) ? "[" : ",[";
      append_json_string(left, out);
      out += ',';
      append_json_string(right, out);
      out += ']';
    }
  }
}

std::string tokenizer_json(const GgufFile& file, const GgufVocab& vocab, bool sentencepiece,
                           const Pipeline& pipeline) {
  Json model_head = {{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", nullptr},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", sentencepiece},
                     {"byte_fallback", sentencepiece},
                     {"ignore_merges", pipeline.ignore_merges}};
  if (sentencepiece && vocab.unk) {
    model_head["unk_token"] = vocab.tokens[static_cast<size_t>(*vocab.unk)];
  }
  std::string out = fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":{},"normalizer":{},)"
      R"("pre_tokenizer":{},"post_processor":{},"decoder":{},"model":)",
      added_tokens(vocab).dump(), pipeline.normalizer.dump(), pipeline.pre_tokenizer.dump(),
      post_processor(vocab).dump(), pipeline.decoder.dump());
  out += model_head.dump();
  out.pop_back();  // the closing brace: the large parts follow
  out += R"(,"vocab":{)";
  for (size_t id = 0; id < vocab.tokens.size(); ++id) {
    if (id > 0) out += ',';
    append_json_string(vocab.tokens[id], out);
    out += fmt::format(":{}", id);
  }
  out += R"(},"merges":[)";
  if (sentencepiece && !has_own_merges(file)) {
    append_merges_from_scores(file, vocab, out);
  } else {
    append_merges(file, out);
  }
  out += "]}}";
  return out;
}

std::string chat_template_text(const GgufFile& file, const std::string& key) {
  const std::string text(file.string(key).value_or(""));
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    corrupt(file, "the chat template is not valid UTF-8");
  }
  return text;
}

// tokenizer.chat_template, and those named in tokenizer.chat_templates, as Hugging Face has them.
void add_chat_templates(const GgufFile& file, Json& config) {
  const std::string key = "tokenizer.chat_template";
  const std::string text = chat_template_text(file, key);
  Json named = Json::array();
  for (const std::string_view name :
       file.strings(key + "s").value_or(std::vector<std::string_view>())) {
    Json item = {{"name", std::string(name)},
                 {"template", chat_template_text(file, key + "." + std::string(name))}};
    if (name != "default" && item["template"] != "") named.push_back(std::move(item));
  }
  if (!named.empty()) {
    if (!text.empty()) named.push_back({{"name", "default"}, {"template", text}});
    config["chat_template"] = std::move(named);
  } else if (!text.empty()) {
    config["chat_template"] = text;
  }
}

std::string tokenizer_config_json(const GgufFile& file, const GgufVocab& vocab) {
  Json config = Json::object();
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  const std::array<std::pair<const char*, std::optional<int64_t>>, 4> named = {
      {{"bos_token", vocab.bos},
       {"eos_token", vocab.eos},
       {"unk_token", vocab.unk},
       {"pad_token", vocab.pad}}};
  for (const auto& [key, id] : named) {
    if (id) config[key] = vocab.tokens[static_cast<size_t>(*id)];
  }
  config["add_bos_token"] = vocab.add_bos;
  config["add_eos_token"] = vocab.add_eos;
  config["clean_up_tokenization_spaces"] = false;
  add_chat_templates(file, config);
  return config.dump(2);
}

}  // namespace

GgufTokenizer gguf_tokenizer(const GgufFile& file) {
  const auto model = file.string("tokenizer.ggml.model");
  if (!model) return {};
  const bool sentencepiece = *model == "llama" || has_own_merges(file);
  if (!sentencepiece && *model != "gpt2") {
    return {{},
            Error(ErrorCode::kUnsupported,
                  fmt::format("{}: tokenizer.ggml.model \"{}\" is not supported (only gpt2, "
                              "llama and gemma4): prompts of token ids can be run (--tokens)",
                              file.name(), *model))};
  }
  GgufTokenizer out;
  GgufVocab vocab = read_vocab(file, sentencepiece);
  try {
    Pipeline pipeline;
    if (sentencepiece) {
      const bool prefix =
          file.boolean("tokenizer.ggml.add_space_prefix").value_or(*model == "llama");
      pipeline = sentencepiece_pipeline(prefix);
    } else {
      pipeline = byte_level_pipeline(file);
      if (pipeline.ignore_merges && !file.has("tokenizer.ggml.add_bos_token")) {
        vocab.add_bos = true;  // files of Llama 3 and Mistral leave it out and mean it
      }
    }
    out.files["tokenizer.json"] = tokenizer_json(file, vocab, sentencepiece, pipeline);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    out.problem = error;
  }
  out.files["tokenizer_config.json"] = tokenizer_config_json(file, vocab);
  return out;
}

}  // namespace tq
