#include "text/post_processor.h"

#include <string>

#include "base/error.h"
#include "text/json_component.h"
#include "text/vocab.h"

namespace tq {
namespace {

[[noreturn]] void bad_template(std::string_view what) {
  fail(ErrorCode::kCorrupt, "tokenizer.json: post_processor: TemplateProcessing: {}", what);
}

// The ids that "special_tokens" lists for one name.
std::vector<int32_t> special_ids(const Json& special_tokens, const std::string& name) {
  const auto token = special_tokens.find(name);
  if (token == special_tokens.end() || !token->is_object() || !token->contains("ids") ||
      !(*token)["ids"].is_array()) {
    bad_template("no ids for \"" + name + "\"");
  }
  std::vector<int32_t> ids;
  for (const Json& id : (*token)["ids"]) {
    const auto number = json_integer(id, 0, Vocab::kMaxId);
    if (!number) bad_template("bad ids for \"" + name + "\"");
    ids.push_back(static_cast<int32_t>(*number));
  }
  return ids;
}

}  // namespace

void PostProcessor::add_template(const Json& single, const Json& special_tokens) {
  if (!single.is_array() || !special_tokens.is_object()) bad_template("not a template");
  std::vector<int32_t> ids[2];  // before and after the text
  int n_texts = 0;
  for (const Json& piece : single) {
    if (!piece.is_object() || piece.size() != 1) bad_template("bad piece in \"single\"");
    const std::string& kind = piece.begin().key();
    const Json& body = piece.begin().value();
    if (!body.is_object() || !body.contains("id") || !body["id"].is_string()) {
      bad_template("a piece without id in \"single\"");
    }
    const auto name = body["id"].get<std::string>();
    if (kind == "Sequence") {
      if (name != "A" || ++n_texts > 1) bad_template("\"single\" is not about one text A");
    } else if (kind == "SpecialToken") {
      const std::vector<int32_t> added = special_ids(special_tokens, name);
      ids[n_texts].insert(ids[n_texts].end(), added.begin(), added.end());
    } else {
      bad_template("unknown piece " + kind);
    }
  }
  if (n_texts != 1) bad_template("\"single\" has no text");
  before_.insert(before_.begin(), ids[0].begin(), ids[0].end());
  after_.insert(after_.end(), ids[1].begin(), ids[1].end());
}

void PostProcessor::begin_with(int32_t id) {
  if (before_.empty() || before_.front() != id) before_.insert(before_.begin(), id);
}

PostProcessor::PostProcessor(const Json& section) {
  for (JsonComponent& json :
       flatten_components(section, "processors", "tokenizer.json: post_processor")) {
    if (json.type() == "TemplateProcessing") {
      json.ignore("pair");
      add_template(json.value("single"), json.value("special_tokens"));
    } else if (json.type() == "ByteLevel") {
      for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) json.ignore(key);
    } else {
      json.unsupported("this kind");
    }
    json.finish();
  }
}

}  // namespace tq
