#include "convert/layouts/int_export.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "io/native/native_manifest.h"

namespace tq {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr int kGroups[] = {128, 64, 32};
constexpr int kLeastGroup = 32;
constexpr std::string_view kExpertKind = "experts.#.";
// vLLM's Marlin kernels: inputs and outputs of a GPU's share are multiples of these.
constexpr int64_t kMarlinInputs = 128;
constexpr int64_t kMarlinOutputs = 64;

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Takes the last part off a name.
std::string_view take_part(std::string_view& name) {
  const size_t dot = name.rfind('.');
  const std::string_view part = dot == std::string_view::npos ? name : name.substr(dot + 1);
  name = dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
  return part;
}

std::string_view module_of(std::string_view name) {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

// The part of a module's name that says it belongs to a tower; empty where none does.
std::string_view tower_part(std::string_view module) {
  for (size_t begin = 0; begin < module.size();) {
    const size_t end = std::min(module.find('.', begin), module.size());
    const std::string_view part = module.substr(begin, end - begin);
    for (const std::string_view word : {"vision", "visual", "audio", "multi_modal_projector"}) {
      if (part.find(word) != std::string_view::npos) return part;
    }
    begin = end + 1;
  }
  return {};
}

bool becomes_ints(const TensorEntry& tensor, TensorRole role) {
  switch (role) {
    case TensorRole::kAttention:
    case TensorRole::kKeysValues:
    case TensorRole::kOutput:
    case TensorRole::kMlp:
      return tensor.shape.size() == 2 && tensor.name.ends_with(kWeight) && is_compressible(tensor);
    case TensorRole::kExperts:
      return is_compressible(tensor);
    default:
      return false;
  }
}

// Whether engines split the inputs among GPUs, rather than the outputs.
bool splits_inputs(std::string_view name, TensorRole role) {
  std::string_view module = module_of(name);
  const std::string_view last = take_part(module);
  return role == TensorRole::kOutput || last == "down_proj" || last == "w2" || last == "out_proj";
}

// One linear, as the survey sees it.
struct Linear16 {
  const std::string& name;
  TensorRole role;
  int64_t outputs;
  int64_t inputs;
};

class Survey {
 public:
  Survey(const IntOptions& options, const IntScheme& scheme, const IntFileRules& rules)
      : options_(options), rules_(rules) {
    ints_.scheme = scheme;
  }

  void add(const Linear16& linear) {
    const bool split = splits_inputs(linear.name, linear.role);
    const int64_t parts = options_.tensor_parallel;
    check_outputs(linear, split ? 1 : parts);
    if (split && linear.inputs % (parts * kLeastGroup) != 0 && linear.inputs % kLeastGroup == 0) {
      refuse_parts(linear);
    }
    const bool whole = linear.inputs % parts == 0;  // else no group divides the inputs anyway
    const int64_t inputs = split && whole ? linear.inputs / parts : linear.inputs;
    const int group = group_of(linear, inputs);
    std::string kind = int_kind(linear.name);
    if (kind.starts_with(kExpertKind)) {
      if (group == 0) {
        fail(ErrorCode::kUnsupported,
             "--layout {}: {} has {} inputs{}, which no group of 128, 64 or 32 weights divides: "
             "experts cannot be exported so",
             rules_.layout, linear.name, inputs, split && parts > 1 ? " for a GPU" : "");
      }
      expert_group_ = std::min(expert_group_, group);
    }
    const auto [at, added] = ints_.groups.emplace(std::move(kind), group);
    if (!added) at->second = std::min(at->second, group);
    if (group == 0) odd_rows_.insert(at->first);
    const int64_t outputs = split ? linear.outputs : linear.outputs / parts;
    if (inputs % kMarlinInputs != 0 || outputs % kMarlinOutputs != 0) odd_kinds_.insert(at->first);
  }

  IntExport finish(std::vector<std::string>& notes) {
    int least = kGroups[0];
    for (auto& [kind, group] : ints_.groups) {
      if (kind.starts_with(kExpertKind)) group = expert_group_;
      if (group > 0) least = std::min(least, group);
    }
    for (auto& [kind, group] : ints_.groups) {
      if (rules_.one_group && group > 0) group = least;
    }
    const std::vector<int> used = ints_.used_groups();
    if (used.empty()) {
      fail(ErrorCode::kUnsupported, "--layout {}: the source has no linear that can be exported",
           rules_.layout);
    }
    ints_.scheme.group = used.front();
    if (!odd_rows_.empty()) {
      notes.push_back(fmt::format("stay at 16 bits, as no group divides their inputs: {}",
                                  fmt::join(odd_rows_, ", ")));
    }
    if (!odd_kinds_.empty()) {
      notes.push_back(fmt::format(
          "not every GPU kernel takes these shapes (vLLM's Marlin wants inputs a multiple of {} "
          "and outputs of {} on a GPU): {}",
          kMarlinInputs, kMarlinOutputs, fmt::join(odd_kinds_, ", ")));
    }
    return std::move(ints_);
  }

 private:
  void check_outputs(const Linear16& linear, int64_t parts) const {
    // Keys and values are repeated where there are fewer heads than GPUs.
    if (linear.role == TensorRole::kKeysValues) parts = 1;
    const int64_t together = rules_.outputs_together;
    if (linear.outputs % (together * parts) == 0) return;
    fail(ErrorCode::kUnsupported,
         "--layout {}: {} has {} outputs: {} of them share a word{}, so that it cannot be exported",
         rules_.layout, linear.name, linear.outputs, together,
         parts > 1 ? fmt::format(" on each of {} GPUs", parts) : "");
  }

  [[noreturn]] void refuse_parts(const Linear16& linear) const {
    int64_t parts = options_.tensor_parallel - 1;
    while (linear.inputs % (parts * kLeastGroup) != 0) --parts;
    fail(ErrorCode::kInvalidArgument,
         "--tp {}: {} has {} inputs, which so many GPUs cannot share in whole groups of {}; up to "
         "--tp {} can (experts can be spread whole: expert parallelism needs no --tp)",
         options_.tensor_parallel, linear.name, linear.inputs, kLeastGroup, parts);
  }

  int group_of(const Linear16& linear, int64_t inputs) const {
    if (options_.group) {
      if (inputs % *options_.group == 0) return *options_.group;
      fail(ErrorCode::kUnsupported,
           "--group-size {} does not divide the {} inputs{} of {}; without it groups are chosen",
           *options_.group, inputs, inputs == linear.inputs ? "" : " for a GPU", linear.name);
    }
    for (const int group : kGroups) {
      if (inputs % group == 0) return group;
    }
    return 0;
  }

  const IntOptions& options_;
  const IntFileRules& rules_;
  IntExport ints_;
  int expert_group_ = kGroups[0];
  std::set<std::string> odd_rows_;   // kinds that stay as they are
  std::set<std::string> odd_kinds_;  // that some kernels do not take
};

void check_options(const IntOptions& options) {
  if (options.group &&
      std::find(std::begin(kGroups), std::end(kGroups), *options.group) == std::end(kGroups)) {
    fail(ErrorCode::kInvalidArgument, "--group-size must be 32, 64 or 128, not {}", *options.group);
  }
  constexpr int kMostParts = 1024;
  if (options.tensor_parallel < 1 || options.tensor_parallel > kMostParts) {
    fail(ErrorCode::kInvalidArgument, "--tp must be from 1 to {}, not {}", kMostParts,
         options.tensor_parallel);
  }
}

// A stack's name without its projection, and what the projection is.
struct StackName {
  std::string_view base;  // "...experts."
  bool gate_up = false;
};

StackName stack_name(const TensorEntry& tensor) {
  struct Ending {
    std::string_view text;
    bool gate_up;
  };
  static constexpr Ending kEndings[] = {
      {"gate_up_proj", true}, {"gate_up_proj.weight", true}, {"w13", true}, {"w13_weight", true},
      {"down_proj", false},   {"down_proj.weight", false},   {"w2", false}, {"w2_weight", false},
  };
  const std::string_view name = tensor.name;
  for (const Ending& ending : kEndings) {
    const std::string_view base =
        name.substr(0, name.size() - std::min(name.size(), ending.text.size()));
    if (name.ends_with(ending.text) && base.ends_with("experts.")) return {base, ending.gate_up};
  }
  fail(ErrorCode::kUnsupported,
       "{} {}: a stack of experts, but no experts.gate_up_proj or experts.down_proj: it is not "
       "known how engines name its parts",
       tensor.name, shape_string(tensor.shape));
}

}  // namespace

std::vector<int> IntExport::used_groups() const {
  std::set<int, std::greater<>> used;
  for (const auto& [kind, group] : groups) used.insert(group);
  used.erase(0);
  return {used.begin(), used.end()};
}

std::string int_kind(std::string_view name) {
  std::string_view rest = module_of(name);
  const std::string_view last = take_part(rest);
  const std::string_view before = take_part(rest);
  if (is_number(before) && take_part(rest) == "experts") {
    return std::string(kExpertKind) + std::string(last);
  }
  return fmt::format("{}.{}", is_number(before) ? "#" : before, last);
}

std::string int_export_name(const IntExport& ints) {
  const std::string name = ints.scheme.name();
  return ints.used_groups().size() == 1 ? name : name.substr(0, name.find('-'));
}

IntExport survey_ints(const Checkpoint& source, const PlanOptions& options, IntScheme scheme,
                      const IntFileRules& rules, std::vector<std::string>& notes) {
  check_options(options.ints);
  Survey survey(options.ints, scheme, rules);
  const TensorRoles roles(source.config());
  for (const TensorEntry& tensor : source.tensors()) {
    const TensorRole role = roles.role(tensor.name, tensor.shape);
    if (!becomes_ints(tensor, role)) continue;
    for (const TensorPart& part : int_parts(tensor, role)) {
      survey.add({part.name, role, part.n_rows, tensor.in()});
    }
  }
  return survey.finish(notes);
}

std::vector<TensorPart> int_parts(const TensorEntry& tensor, TensorRole role) {
  if (role != TensorRole::kExperts || tensor.shape.size() != 3 || !is_compressible(tensor)) {
    return {{tensor.name, 0, tensor.n_rows()}};
  }
  const StackName stack = stack_name(tensor);
  const int64_t rows = tensor.shape[1];
  if (stack.gate_up && rows % 2 != 0) {
    fail(ErrorCode::kUnsupported, "{} {}: gate's rows and up's are not as many", tensor.name,
         shape_string(tensor.shape));
  }
  std::vector<TensorPart> parts;
  for (int64_t e = 0; e < tensor.shape[0]; ++e) {
    const auto add = [&](std::string_view projection, int64_t begin, int64_t n) {
      parts.push_back(
          {fmt::format("{}{}.{}.weight", stack.base, e, projection), e * rows + begin, n});
    };
    if (stack.gate_up) {
      add("gate_proj", 0, rows / 2);
      add("up_proj", rows / 2, rows / 2);
    } else {
      add("down_proj", 0, rows);
    }
  }
  return parts;
}

bool plan_ints(const PlanContext& context, const TensorEntry& tensor, PlannedTensor& planned) {
  const IntExport& ints = *context.ints;
  const auto at = ints.groups.find(int_kind(planned.name));
  if (becomes_ints(tensor, planned.role) && at != ints.groups.end() && at->second > 0) {
    planned.action = TensorAction::kIntegers;
    planned.ints = ints.scheme;
    planned.ints.group = planned.group = at->second;
    planned.format = planned.ints.name();
    planned.in_padded = tensor.in();
    return true;
  }
  const bool wide = tensor.dtype == DType::kF32 || tensor.dtype == DType::kF64;
  if (tensor.dtype && !(wide && tensor.shape.size() >= 2)) {
    plan_copy(tensor, planned);
  } else if (tensor.dtype) {
    plan_plain(tensor, need_format(ints.scheme.scale == IntScale::kF16 ? "f16" : "bf16"), planned);
  } else {
    plan_plain(tensor, plain_format(tensor, context.counts), planned);
  }
  return false;
}

KeptModules kept_modules(const ConvertPlan& plan) {
  std::set<std::string> names = {"lm_head"};
  std::set<std::string> towers;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.action == TensorAction::kIntegers || !tensor.name.ends_with(kWeight)) continue;
    const bool matrix = tensor.planes[0].shape.size() == 2;
    const bool table =
        tensor.role == TensorRole::kEmbedding || tensor.role == TensorRole::kPerLayerTable;
    if (!matrix || table) continue;
    const std::string_view module = module_of(tensor.name);
    const std::string_view tower =
        tensor.role == TensorRole::kTower ? tower_part(module) : std::string_view();
    if (tower.empty()) {
      names.emplace(module);
    } else {
      towers.emplace(tower);
    }
  }
  return {{names.begin(), names.end()}, {towers.begin(), towers.end()}};
}

std::string describe_ints(const Conversion& conversion) {
  NativeManifest manifest = base_manifest(conversion);
  manifest.layout = conversion.plan.layout->name;
  return with_own_hash(manifest.to_json().dump(2) + "\n");
}

void refuse_formats(const PlanOptions& options) {
  if (options.format == "auto" && options.preset.empty() && !options.formats &&
      options.rules.empty()) {
    return;
  }
  fail(ErrorCode::kInvalidArgument,
       "--layout {} has one format: --bits says which; --format, --preset, --plan, --rules, --fit "
       "and --bpw cannot be used with it",
       options.layout->name);
}

}  // namespace tq
