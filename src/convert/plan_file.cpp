#include "convert/plan_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <limits>

#include "base/error.h"
#include "base/nearest.h"
#include "convert/fit.h"
#include "format/traits.h"

namespace tq {
namespace {

constexpr const char* kVersionKey = "tq_plan";
constexpr int64_t kVersion = 1;

std::vector<std::string> class_names() {
  std::vector<std::string> names;
  for (const FormatClass& one : format_classes()) names.emplace_back(one.name);
  return names;
}

class PlanReader {
 public:
  explicit PlanReader(const std::string& name) : name_(name) {}

  PlanFile read(const Json& json) const {
    check_keys(json, "the plan", {kVersionKey, "about", "formats", "layers", "rules"});
    const auto version = json_integer(json.value(kVersionKey, Json()), 0, kMost);
    if (version != kVersion) {
      refuse("\"{}\" must be {}, the version of plan files that this tq reads, not {}", kVersionKey,
             kVersion, json_for_message(json.value(kVersionKey, Json())));
    }
    PlanFile plan;
    plan.about = json.value("about", Json());
    plan.formats.classes = classes(json.value("formats", Json()));
    if (json.contains("layers")) plan.formats.layers = layers(json["layers"]);
    if (json.contains("rules")) plan.rules = parse_rules(json["rules"], name_);
    return plan;
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
    fail(ErrorCode::kInvalidArgument, "{}: {}", name_,
         fmt::format(text, std::forward<Args>(args)...));
  }

  void check_keys(const Json& json, std::string_view what,
                  std::initializer_list<std::string> keys) const {
    if (!json.is_object()) {
      refuse("{} must be a JSON object, not {}", what, json_for_message(json));
    }
    const std::vector<std::string> known(keys);
    for (const auto& [key, value] : json.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      refuse("{} has no field {}{}", what, json_for_message(key), did_you_mean(key, known));
    }
  }

  // A view of what stays: the name of a format, or kKeep.
  std::string_view format(const Json& json, const std::string& where) const {
    const std::string name = json.is_string() ? json.get<std::string>() : std::string();
    if (name == kKeep) return kKeep;
    const FormatTraits* found = find_format(name);
    if (found == nullptr) {
      refuse("{}: {} is no format; use one of: {} {}", where, json_for_message(json),
             format_names(), kKeep);
    }
    return found->name;
  }

  ClassFormats classes(const Json& json) const {
    if (!json.is_object()) {
      refuse("\"formats\" must name a format for each of: {}", fmt::join(class_names(), ", "));
    }
    for (const auto& [key, value] : json.items()) find_class(key, "\"formats\"");
    ClassFormats formats;
    for (const FormatClass& one : format_classes()) {
      const auto field = json.find(std::string(one.name));
      if (field == json.end() && one.member == &ClassFormats::recurrent) continue;  // has a default
      if (field == json.end()) refuse("\"formats\" has no format for {}", one.name);
      formats.*one.member = format(*field, fmt::format("\"formats\", {}", one.name));
    }
    return formats;
  }

  const FormatClass& find_class(const std::string& name, const std::string& where) const {
    if (const FormatClass* found = find_format_class(name)) return *found;
    const std::vector<std::string> names = class_names();
    refuse("{}: {} is no class of tensors; use one of: {}{}", where, json_for_message(name),
           fmt::join(names, ", "), did_you_mean(name, names));
  }

  std::vector<LayerFormat> layers(const Json& json) const {
    if (!json.is_array()) refuse("\"layers\" must be a list, not {}", json_for_message(json));
    constexpr size_t kMostEntries = 4096;  // every tensor is held against each
    if (json.size() > kMostEntries) refuse("\"layers\" has more than {} entries", kMostEntries);
    std::vector<LayerFormat> list;
    for (const Json& item : json) {
      const std::string where = fmt::format("\"layers\", entry {}", list.size() + 1);
      check_keys(item, where, {"class", "first", "last", "format"});
      const Json name = item.value("class", Json());
      if (!name.is_string()) refuse("{}: \"class\" is missing or no text", where);
      LayerFormat one;
      one.member = find_class(name.get<std::string>(), where).member;
      if (!in_layers(one.member)) {
        refuse("{}: {} is outside of the layers; change \"formats\"", where,
               name.get<std::string>());
      }
      one.first = layer(item.value("first", Json()), where, "first");
      one.last = layer(item.value("last", Json()), where, "last");
      if (one.first > one.last) {
        refuse("{}: \"first\" is {}, behind \"last\", {}", where, one.first, one.last);
      }
      one.format = format(item.value("format", Json()), where);
      list.push_back(one);
    }
    return list;
  }

  int64_t layer(const Json& json, const std::string& where, std::string_view field) const {
    const auto number = json_integer(json, 0, kMostLayer);
    if (!number) {
      refuse("{}: \"{}\" must be a layer, from 0, not {}", where, field, json_for_message(json));
    }
    return *number;
  }

  static constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const std::string& name_;
};

}  // namespace

PlanFile parse_plan(const Json& json, const std::string& name) {
  return PlanReader(name).read(json);
}

PlanFile read_plan(const fs::path& path) {
  return parse_plan(parse_json(read_text_file(path), path.string()), path.string());
}

Json plan_json(const PlanFile& plan) {
  Json formats = Json::object();
  for (const FormatClass& one : format_classes()) {
    formats[std::string(one.name)] = plan.formats.classes.*one.member;
  }
  Json layers = Json::array();
  for (const LayerFormat& one : plan.formats.layers) {
    layers.push_back({{"class", format_class(one.member).name},
                      {"first", one.first},
                      {"last", one.last},
                      {"format", one.format}});
  }
  Json rules = Json::array();
  for (const Rule& rule : plan.rules) {
    rules.push_back({{"match", rule.match}, {"format", rule.format}});
  }
  Json json = {{kVersionKey, kVersion}};
  if (!plan.about.is_null()) json["about"] = plan.about;
  json["formats"] = std::move(formats);
  json["layers"] = std::move(layers);
  json["rules"] = std::move(rules);
  return json;
}

void check_layers(const FormatPlan& plan, const Checkpoint& source, const std::string& name) {
  const int64_t n_layers = count_layers(source);
  for (const LayerFormat& one : plan.layers) {
    if (one.last < n_layers) continue;
    fail(ErrorCode::kInvalidArgument,
         "{}: names layer {}, but {} has layers 0 to {} only: it is the plan of another model",
         name, one.last, source.path().string(), n_layers - 1);
  }
}

}  // namespace tq
