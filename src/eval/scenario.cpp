#include "eval/scenario.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "eval/language.h"

namespace tq {
namespace {

constexpr size_t kMostCriteria = 10;

// Reads the members of one object, and refuses what it does not know.
class Fields {
 public:
  Fields(const Json& json, std::string where, std::initializer_list<std::string_view> known)
      : json_(json), where_(std::move(where)) {
    if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}: an object is wanted", where_);
    for (const auto& [name, value] : json.items()) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        fail(ErrorCode::kCorrupt, "{}: \"{}\" is not known", where_, name);
      }
    }
  }

  std::string text(const char* name) const {
    const auto found = json_.find(name);
    if (found == json_.end() || !found->is_string() ||
        found->get_ref<const std::string&>().empty()) {
      fail(ErrorCode::kCorrupt, "{}: \"{}\" must be a text", where_, name);
    }
    return found->get<std::string>();
  }
  std::string text_or_none(const char* name) const {
    return json_.contains(name) ? text(name) : std::string();
  }
  // visit(item, its place) for each item of a list; least: how many there must be.
  template <typename Visit>
  void each(const char* name, size_t least, const Visit& visit) const {
    const auto found = json_.find(name);
    const size_t n = found == json_.end() ? 0 : found->size();
    if ((found != json_.end() && !found->is_array()) || n < least) {
      fail(ErrorCode::kCorrupt, "{}: \"{}\" must be a list of {} or more", where_, name, least);
    }
    for (size_t i = 0; i < n; ++i) visit((*found)[i], fmt::format("{}: {}[{}]", where_, name, i));
  }

 private:
  const Json& json_;
  std::string where_;
};

Turn read_turn(const Json& json, const std::string& where, bool is_first) {
  const Fields fields(json, where, {"user", "branches", "checks"});
  Turn turn{.user = fields.text("user"), .branches = {}, .checks = {}};
  fields.each("branches", 0, [&](const Json& item, const std::string& place) {
    const Fields branch(item, place, {"when", "user"});
    if (!item.contains("when")) fail(ErrorCode::kCorrupt, "{}: \"when\" is missing", place);
    turn.branches.push_back({read_check(item["when"], place + ": when"), branch.text("user")});
  });
  fields.each("checks", 0, [&](const Json& item, const std::string& place) {
    turn.checks.push_back(read_check(item, place));
  });
  if (is_first && !turn.branches.empty()) {
    fail(ErrorCode::kCorrupt, "{}: the first turn follows no answer, so it has no branches", where);
  }
  return turn;
}

Criterion read_criterion(const Json& json, const std::string& where) {
  const Fields fields(json, where, {"name", "question"});
  return {fields.text("name"), fields.text("question")};
}

}  // namespace

int64_t Scenario::n_checks() const {
  int64_t n = 0;
  for (const Turn& turn : turns) n += static_cast<int64_t>(turn.checks.size());
  return n;
}

Scenario read_scenario(std::string_view text, const std::string& id, const std::string& file) {
  const Json json = parse_json(text, file);
  const Fields fields(json, file, {"schema", "title", "language", "system", "turns", "criteria"});
  if (json_integer(json.value("schema", Json()), 1, 1) != 1) {
    fail(ErrorCode::kUnsupported, "{}: \"schema\" must be 1, the only one there is", file);
  }
  Scenario scenario{.id = id,
                    .title = fields.text("title"),
                    .language = fields.text("language"),
                    .system = fields.text_or_none("system"),
                    .turns = {},
                    .criteria = {}};
  if (!is_known_language(scenario.language)) {
    fail(ErrorCode::kCorrupt, "{}: language \"{}\": en, fi, sv or other", file, scenario.language);
  }
  fields.each("turns", 1, [&](const Json& item, const std::string& place) {
    scenario.turns.push_back(read_turn(item, place, scenario.turns.empty()));
  });
  std::set<std::string> names;
  fields.each("criteria", 0, [&](const Json& item, const std::string& place) {
    scenario.criteria.push_back(read_criterion(item, place));
    if (!names.insert(scenario.criteria.back().name).second) {
      fail(ErrorCode::kCorrupt, "{}: there is a \"{}\" already", place,
           scenario.criteria.back().name);
    }
  });
  if (scenario.criteria.size() > kMostCriteria) {
    fail(ErrorCode::kCorrupt, "{}: {} criteria are more than {}", file, scenario.criteria.size(),
         kMostCriteria);
  }
  if (scenario.criteria.empty() && scenario.n_checks() == 0) {
    fail(ErrorCode::kCorrupt, "{}: without criteria and checks there is nothing to score", file);
  }
  return scenario;
}

std::vector<Scenario> built_in_scenarios() {
  std::vector<Scenario> out;
  for (const EmbeddedScenario& one : embedded_scenarios()) {
    out.push_back(read_scenario(one.text, std::string(one.id),
                                fmt::format("eval/scenarios/{}.json", one.id)));
  }
  return out;
}

std::vector<Scenario> read_scenarios(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  if (error) fail(ErrorCode::kNotFound, "{}: {}", folder, error.message());
  if (files.empty()) fail(ErrorCode::kNotFound, "{}: there is no .json file", folder);
  std::sort(files.begin(), files.end());
  std::vector<Scenario> out;
  for (const fs::path& file : files) {
    out.push_back(read_scenario(read_text_file(file), file.stem().string(), file.string()));
  }
  return out;
}

std::vector<Scenario> pick_scenarios(std::vector<Scenario> all,
                                     const std::vector<std::string>& ids) {
  if (ids.empty()) return all;
  std::vector<Scenario> picked;
  for (const std::string& id : ids) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Scenario& scenario) { return scenario.id == id; });
    if (found == all.end()) {
      std::vector<std::string> names;
      for (const Scenario& scenario : all) names.push_back(scenario.id);
      fail(ErrorCode::kNotFound, "there is no scenario {}; there are {}", id,
           fmt::join(names, ", "));
    }
    picked.push_back(*found);
  }
  return picked;
}

const std::string& user_text(const Turn& turn, std::string_view answer_before) {
  for (const Branch& branch : turn.branches) {
    if (passes(branch.when, answer_before)) return branch.user;
  }
  return turn.user;
}

}  // namespace tq
