#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "text/json_component.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace tq {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string utf8proc_nfc(std::string_view text) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
  if (size < 0) {
    fail(ErrorCode::kOutOfMemory, "normalizing {} bytes of text: {}", text.size(),
         utf8proc_errmsg(size));
  }
  return {reinterpret_cast<const char*>(mapped), static_cast<size_t>(size)};
}

// NFC as the tokenizers library does it: nothing passes or joins an inert character.
std::string compose(std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  std::string out;
  size_t begin = 0;  // text before this is in out
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = utf8_at(text, pos);
    const auto size = static_cast<size_t>(c.size_bytes);
    if (is_inert_in_nfc(c.code_point)) {
      out += utf8proc_nfc(text.substr(begin, pos - begin));
      out += text.substr(pos, size);
      begin = pos + size;
    }
    pos += size;
  }
  return out += utf8proc_nfc(text.substr(begin));
}

}  // namespace

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content,
                        TextBudget& budget) {
  std::string out;
  out.reserve(text.size());
  size_t pos = 0;
  while (true) {
    // memmem is linear whatever the pattern; find is not.
    const void* found =
        memmem(text.data() + pos, text.size() - pos, pattern.data(), pattern.size());
    if (found == nullptr) return out += text.substr(pos);
    const auto hit = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    budget.work(10 + (hit - pos) / 16);
    if (out.size() + (hit - pos) + content.size() > budget.room()) {
      fail(ErrorCode::kUnsupported,
           "tokenizer.json: replacing \"{:.40}\" multiplies the text beyond what is allowed",
           pattern);
    }
    out += text.substr(pos, hit - pos);
    out += content;
    pos = hit + pattern.size();
  }
}

std::string read_string_pattern(JsonComponent& component) {
  const Json& pattern = component.value("pattern");
  if (pattern.is_object() && pattern.contains("Regex")) component.unsupported("a regex pattern");
  if (!pattern.is_object() || pattern.size() != 1 || !pattern.contains("String") ||
      !pattern["String"].is_string()) {
    component.corrupt("\"pattern\" is not {\"String\": ...}");
  }
  auto text = pattern["String"].get<std::string>();
  if (text.empty()) component.corrupt("\"pattern\" is empty");
  return text;
}

Normalizer::Normalizer(const Json& section) {
  for (JsonComponent& json :
       flatten_components(section, "normalizers", "tokenizer.json: normalizer")) {
    if (json.type() == "Replace") {
      std::string pattern = read_string_pattern(json);
      steps_.push_back({Kind::kReplace, std::move(pattern), json.text("content")});
    } else if (json.type() == "Prepend") {
      steps_.push_back({Kind::kPrepend, {}, json.text("prepend")});
    } else if (json.type() == "NFC") {
      steps_.push_back({Kind::kNfc, {}, {}});
    } else {
      json.unsupported("this kind");
    }
    json.finish();
  }
}

std::string Normalizer::apply(std::string_view text, TextBudget& budget) const {
  std::string out(text);
  for (const Step& step : steps_) {
    budget.work(out.size() / 16 + 1);
    switch (step.kind) {
      case Kind::kReplace:
        out = replace_all(out, step.pattern, step.content, budget);
        break;
      case Kind::kPrepend:
        if (out.empty()) break;
        if (out.size() + step.content.size() > budget.room()) budget.made(budget.room() + 1);
        out.insert(0, step.content);
        break;
      case Kind::kNfc:
        out = compose(out);
        break;
    }
  }
  budget.made(out.size());
  return out;
}

}  // namespace tq
