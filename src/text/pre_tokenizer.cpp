#include "text/pre_tokenizer.h"

#include <array>
#include <utility>

#include "text/json_component.h"
#include "text/normalizer.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace tq {
namespace {

using Piece = PreTokenizer::Piece;
using Scratch = PreTokenizer::Scratch;
using Step = PreTokenizer::Step;

enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

void emit(const Piece& piece, Span span, Scratch& scratch) {
  if (span.begin == span.end) return;
  scratch.next.push_back(
      {piece.text.substr(span.begin, span.end - span.begin), piece.at_start && span.begin == 0});
}

// Feeds the parts of [0, size), matches and the gaps between them, to each(span, is_match).
template <typename Each>
void for_each_part(const std::vector<Span>& matches, size_t size, Each each) {
  size_t end = 0;
  for (const Span& match : matches) {
    if (end < match.begin) each(Span{end, match.begin}, false);
    each(match, true);
    end = match.end;
  }
  if (end < size) each(Span{end, size}, false);
}

// Cuts a piece at scratch.matches; invert exchanges matches and gaps.
void cut(const Piece& piece, Behavior behavior, bool invert, Scratch& scratch) {
  Span pending{0, 0};          // a part that the next one may still join
  bool pending_match = false;  // its last part was a match
  for_each_part(scratch.matches, piece.text.size(), [&](Span span, bool raw_match) {
    const bool is_match = raw_match != invert;
    bool join = false;
    switch (behavior) {
      case Behavior::kRemoved:
        if (!is_match) emit(piece, span, scratch);
        return;
      case Behavior::kIsolated:
        emit(piece, span, scratch);
        return;
      case Behavior::kMergedWithPrevious:
        join = is_match && !pending_match;
        break;
      case Behavior::kMergedWithNext:
        join = !is_match && pending_match;
        break;
      case Behavior::kContiguous:
        join = is_match == pending_match;
        break;
    }
    if (!join) {
      emit(piece, pending, scratch);
      pending.begin = span.begin;
    }
    pending.end = span.end;
    pending_match = is_match;
  });
  emit(piece, pending, scratch);
}

Step cut_step(SplitPattern pattern, Behavior behavior, bool invert) {
  return [pattern = std::move(pattern), behavior, invert](const Piece& piece, Scratch& scratch) {
    scratch.matches.clear();
    pattern.find(piece.text, scratch.matches, *scratch.budget);
    cut(piece, behavior, invert, scratch);
  };
}

// Puts `prefix` in front of pieces that do not begin with it; all pieces, or only the one at the
// start of the text.
Step prepend_step(std::string prefix, bool only_at_start) {
  return [prefix = std::move(prefix), only_at_start](const Piece& piece, Scratch& scratch) {
    if (piece.text.starts_with(prefix) || (only_at_start && !piece.at_start)) {
      scratch.next.push_back(piece);
      return;
    }
    scratch.budget->made(prefix.size() + piece.text.size());
    scratch.owned.push_back(prefix + std::string(piece.text));
    scratch.next.push_back({scratch.owned.back(), piece.at_start});
  };
}

Step replace_spaces_step(std::string replacement) {
  return [replacement = std::move(replacement)](const Piece& piece, Scratch& scratch) {
    scratch.owned.push_back(replace_all(piece.text, " ", replacement, *scratch.budget));
    scratch.budget->made(scratch.owned.back().size());
    scratch.next.push_back({scratch.owned.back(), piece.at_start});
  };
}

Step digits_step(bool individual) {
  return [individual](const Piece& piece, Scratch& scratch) {
    scratch.matches.clear();
    for (size_t pos = 0; pos < piece.text.size();) {
      const Utf8Char c = utf8_at(piece.text, pos);
      const size_t end = pos + static_cast<size_t>(c.size_bytes);
      if (is_numeric(c.code_point)) scratch.matches.push_back({pos, end});
      pos = end;
    }
    cut(piece, individual ? Behavior::kIsolated : Behavior::kContiguous, false, scratch);
  };
}

Behavior read_behavior(JsonComponent& json) {
  constexpr std::array<std::pair<const char*, Behavior>, 5> kNames = {{
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous},
  }};
  const std::string name = json.text("behavior");
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  json.unsupported("behavior " + name);
}

void add_byte_level(JsonComponent& json, std::vector<Step>& steps) {
  json.ignore("trim_offsets");
  if (json.flag("add_prefix_space", true)) steps.push_back(prepend_step(" ", false));
  if (json.flag("use_regex", true)) {
    steps.push_back(cut_step(SplitPattern::regex(kGpt2Pattern), Behavior::kIsolated, false));
  }
}

void add_split(JsonComponent& json, std::vector<Step>& steps) {
  const Json& pattern = json.value("pattern");
  const bool is_regex = pattern.is_object() && pattern.size() == 1 && pattern.contains("Regex");
  if (is_regex && !pattern["Regex"].is_string()) json.corrupt("\"Regex\" is not a string");
  SplitPattern split = is_regex ? SplitPattern::regex(pattern["Regex"].get<std::string>())
                                : SplitPattern::literal(read_string_pattern(json));
  const Behavior behavior = read_behavior(json);
  steps.push_back(cut_step(std::move(split), behavior, json.flag("invert", false)));
}

void add_metaspace(JsonComponent& json, std::vector<Step>& steps) {
  json.ignore("str_rep");
  const std::string space = json.text("replacement", "\u2581");
  if (space.empty() || static_cast<size_t>(utf8_at(space, 0).size_bytes) != space.size())
    json.corrupt("\"replacement\" is not one character");
  const bool legacy_prefix = json.flag("add_prefix_space", true);  // before prepend_scheme was
  const std::string scheme = json.text("prepend_scheme", legacy_prefix ? "always" : "never");
  steps.push_back(replace_spaces_step(space));
  if (scheme == "always" || scheme == "first") {
    steps.push_back(prepend_step(space, scheme == "first"));
  } else if (scheme != "never") {
    json.unsupported("prepend_scheme " + scheme);
  }
  if (json.flag("split", true)) {
    steps.push_back(cut_step(SplitPattern::literal(space), Behavior::kMergedWithNext, false));
  }
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& section) {
  for (JsonComponent& json :
       flatten_components(section, "pretokenizers", "tokenizer.json: pre_tokenizer")) {
    if (byte_level_) json.unsupported("coming after ByteLevel");
    if (json.type() == "ByteLevel") {
      add_byte_level(json, steps_);
      byte_level_ = true;
    } else if (json.type() == "Digits") {
      steps_.push_back(digits_step(json.flag("individual_digits", false)));
    } else if (json.type() == "Split") {
      add_split(json, steps_);
    } else if (json.type() == "Metaspace") {
      add_metaspace(json, steps_);
    } else {
      json.unsupported("this kind");
    }
    json.finish();
  }
}

void PreTokenizer::split(const Piece& piece, Scratch& scratch) const {
  scratch.owned.clear();
  scratch.pieces.assign(1, piece);
  for (const Step& step : steps_) {
    scratch.next.clear();
    for (const Piece& part : scratch.pieces) step(part, scratch);
    std::swap(scratch.pieces, scratch.next);
  }
}

}  // namespace tq
