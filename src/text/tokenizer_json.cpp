// Tokenizer::from_json. The vocabulary and merges (tens of megabytes) are read with simdjson, the
// small sections through JsonComponent. "truncation" and "padding" are what a training script set
// for its batches; encode() does neither, so they are not read.
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/bpe_tokenizer.h"
#include "text/tokenizer.h"

namespace tq {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

[[noreturn]] void corrupt(const std::string& what) {
  fail(ErrorCode::kCorrupt, "tokenizer.json: {}", what);
}

void refuse_duplicate_keys(const object& json, const char* where) {
  std::set<std::string_view> keys;
  for (const auto field : json) {
    if (!keys.insert(field.key).second) {
      corrupt(fmt::format("{}: duplicate key \"{}\"", where, field.key));
    }
  }
}

// A section of the file for JsonComponent; null when it is absent.
Json section(const object& root, const char* key) {
  element found;
  if (root[key].get(found) != simdjson::SUCCESS) return nullptr;
  return parse_json(simdjson::minify(found), std::string("tokenizer.json: ") + key);
}

class ModelReader {
 public:
  explicit ModelReader(const object& model) : model_(model) {
    refuse_duplicate_keys(model, "model");
  }

  BpeModel read(bool byte_level) const {
    check_options();
    BpeModel::Options options;
    options.byte_level = byte_level;
    options.byte_fallback = flag("byte_fallback");
    options.fuse_unk = flag("fuse_unk");
    options.ignore_merges = flag("ignore_merges");
    Vocab vocab = read_vocab();
    const std::string_view unk = text("unk_token");
    if (!unk.empty()) {
      options.unk_id = vocab.find(unk);
      if (options.unk_id < 0) corrupt(fmt::format("unk_token \"{}\" is not in the vocab", unk));
    }
    const std::vector<BpeModel::Merge> merges = read_merges(vocab);
    return BpeModel(std::move(vocab), merges, options);
  }

 private:
  bool find(const char* key, element& found) const {
    return model_[key].get(found) == simdjson::SUCCESS && !found.is_null();
  }

  bool flag(const char* key) const {
    element found;
    if (!find(key, found)) return false;
    if (!found.is_bool()) corrupt(fmt::format("model: \"{}\" is not true or false", key));
    return found.get_bool().value_unsafe();
  }

  std::string_view text(const char* key) const {
    element found;
    if (!find(key, found)) return {};
    if (!found.is_string()) corrupt(fmt::format("model: \"{}\" is not a string", key));
    return found.get_string().value_unsafe();
  }

  void check_options() const {
    constexpr std::array<std::string_view, 10> kKnown = {"type",
                                                         "dropout",
                                                         "unk_token",
                                                         "continuing_subword_prefix",
                                                         "end_of_word_suffix",
                                                         "fuse_unk",
                                                         "byte_fallback",
                                                         "ignore_merges",
                                                         "vocab",
                                                         "merges"};
    const std::string_view type = text("type");
    if (type != "BPE" && !(type.empty() && model_["merges"].error() == simdjson::SUCCESS)) {
      fail(ErrorCode::kUnsupported, "tokenizer.json: model \"{}\" is not supported, only BPE is",
           type);
    }
    for (const auto field : model_) {
      if (std::find(kKnown.begin(), kKnown.end(), field.key) == kKnown.end()) {
        fail(ErrorCode::kUnsupported, "tokenizer.json: model: the option \"{}\" is not supported",
             field.key);
      }
    }
    element dropout;
    double rate = 0;
    if (find("dropout", dropout) && (dropout.get(rate) != simdjson::SUCCESS || rate != 0)) {
      fail(ErrorCode::kUnsupported, "tokenizer.json: model: dropout is not supported");
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (text(key).empty()) continue;
      fail(ErrorCode::kUnsupported, "tokenizer.json: model: {} \"{}\" is not supported", key,
           text(key));
    }
  }

  Vocab read_vocab() const {
    object vocab;
    if (model_["vocab"].get(vocab) != simdjson::SUCCESS) corrupt("model: no \"vocab\" object");
    std::vector<Vocab::Entry> entries;
    entries.reserve(vocab.size());
    for (const auto field : vocab) {
      int64_t id = 0;
      if (field.value.get(id) != simdjson::SUCCESS) {
        corrupt(fmt::format("the id of token \"{}\" is not an integer", field.key));
      }
      entries.push_back({field.key, id});
    }
    return Vocab(entries);
  }

  std::vector<BpeModel::Merge> read_merges(const Vocab& vocab) const {
    array list;
    if (model_["merges"].get(list) != simdjson::SUCCESS) corrupt("model: no \"merges\" list");
    std::vector<BpeModel::Merge> merges;
    merges.reserve(list.size());
    std::string joined;
    for (const element merge : list) {
      std::string_view line;
      if (merge.get(line) == simdjson::SUCCESS && line.starts_with("#version")) continue;
      const auto [left, right] = read_pair(merge);
      joined.assign(left).append(right);
      merges.push_back({vocab.find(left), vocab.find(right), vocab.find(joined)});
      const BpeModel::Merge& ids = merges.back();
      if (ids.left < 0 || ids.right < 0 || ids.result < 0) {
        corrupt(fmt::format("merge {} of \"{}\" and \"{}\" is not about tokens of the vocab",
                            merges.size(), left, right));
      }
    }
    return merges;
  }

  // "left right" or ["left", "right"].
  static std::pair<std::string_view, std::string_view> read_pair(const element& merge) {
    std::string_view line;
    if (merge.get(line) == simdjson::SUCCESS) {
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        corrupt(fmt::format("merge \"{}\" is not two tokens", line));
      }
      return {line.substr(0, space), line.substr(space + 1)};
    }
    array pair;
    std::pair<std::string_view, std::string_view> result;
    if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(result.first) != simdjson::SUCCESS ||
        pair.at(1).get(result.second) != simdjson::SUCCESS) {
      corrupt("a merge is not two tokens");
    }
    return result;
  }

  object model_;
};

bool added_flag(const Json& token, const char* key, bool fallback) {
  const auto it = token.find(key);
  if (it == token.end()) return fallback;
  if (!it->is_boolean()) corrupt(fmt::format("added_tokens: \"{}\" is not true or false", key));
  return it->get<bool>();
}

std::vector<AddedToken> read_added_tokens(const Json& list) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) corrupt("\"added_tokens\" is not a list");
  for (const Json& json : list) {
    const auto id = json.is_object() && json.contains("id")
                        ? json_integer(json["id"], 0, Vocab::kMaxId)
                        : std::nullopt;
    if (!id || !json.contains("content") || !json["content"].is_string()) {
      corrupt("added_tokens: an entry without a proper id and content");
    }
    AddedToken token;
    token.id = static_cast<int32_t>(*id);
    token.content = json["content"].get<std::string>();
    token.special = added_flag(json, "special", false);
    token.normalized = added_flag(json, "normalized", !token.special);
    token.lstrip = added_flag(json, "lstrip", false);
    token.rstrip = added_flag(json, "rstrip", false);
    token.single_word = added_flag(json, "single_word", false);
    if (token.content.empty()) corrupt("added_tokens: an entry with empty content");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// A token's name in tokenizer_config.json: "<bos>" or {"content": "<bos>", ...} or null.
std::optional<std::string> special_token_name(const Json& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return std::nullopt;
  const Json& name = it->is_object() && it->contains("content") ? (*it)["content"] : *it;
  if (!name.is_string()) {
    fail(ErrorCode::kCorrupt, "tokenizer_config.json: \"{}\" is not a token", key);
  }
  return name.get<std::string>();
}

std::shared_ptr<const Tokenizer> build(const object& root, const Json& config) {
  refuse_duplicate_keys(root, "top level");
  object model;
  if (root["model"].get(model) != simdjson::SUCCESS) corrupt("no \"model\" object");
  PreTokenizer pre_tokenizer(section(root, "pre_tokenizer"));
  const bool byte_level = pre_tokenizer.is_byte_level();
  return std::make_shared<const BpeTokenizer>(BpeTokenizer::Parts{
      .normalizer = Normalizer(section(root, "normalizer")),
      .pre_tokenizer = std::move(pre_tokenizer),
      .model = ModelReader(model).read(byte_level),
      .added_tokens = read_added_tokens(section(root, "added_tokens")),
      .post_processor = PostProcessor(section(root, "post_processor")),
      .decoder = TokenDecoder(section(root, "decoder")),
      .bos_token = special_token_name(config, "bos_token"),
      .eos_token = special_token_name(config, "eos_token"),
      .add_bos = config.value("add_bos_token", Json()) == Json(true),
  });
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json,
                                                      std::string_view tokenizer_config_json) {
  Json config = Json::object();
  if (!tokenizer_config_json.empty()) {
    config = parse_json(tokenizer_config_json, "tokenizer_config.json");
    if (!config.is_object()) fail(ErrorCode::kCorrupt, "tokenizer_config.json: not an object");
  }
  simdjson::dom::parser parser;
  element document;
  object root;
  auto error = parser.parse(tokenizer_json.data(), tokenizer_json.size(), true).get(document);
  if (error == simdjson::SUCCESS) error = document.get(root);
  if (error != simdjson::SUCCESS) {
    corrupt(fmt::format("not a JSON object: {}", simdjson::error_message(error)));
  }
  return build(root, config);
}

}  // namespace tq
