#include "convert/plan.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/math.h"
#include "convert/presets.h"
#include "convert/requantize.h"
#include "io/native_manifest.h"

namespace tq {
namespace {

constexpr int64_t kMinIn = 32;  // shorter rows would be mostly scales
constexpr int kReferenceGroup = 128;

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [text](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  });
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_float(const TensorEntry& tensor) {  // block-quantised storage has no dtype
  return !tensor.dtype || dtype_info(*tensor.dtype).is_float;
}

bool is_compressible(const TensorEntry& tensor) {
  const size_t rank = tensor.shape.size();
  return is_float(tensor) && (rank == 2 || rank == 3) && tensor.in() >= kMinIn &&
         tensor.n_rows() > 0;
}

// The element type of a plain format ("bf16" -> BF16); nothing for the codec's formats.
std::optional<DType> plain_dtype(const FormatTraits& format) {
  if (format.has_scales) return std::nullopt;
  std::string name(format.name);
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return dtype_from_name(name);
}

const FormatTraits& need_format(std::string_view name) {
  const FormatTraits* format = find_format(name);
  if (format == nullptr) {
    fail(ErrorCode::kInvalidArgument, "unknown format \"{}\"; use one of: auto {}", name,
         format_names());
  }
  return *format;
}

// What linears become when nobody says, by the size of the model: docs/convert.md has the
// measurements. Keys and values are few where heads share them, and their errors cost most.
struct AutoFormats {
  int64_t max_parameters;
  std::string_view mlp;
  std::string_view attention;
  std::string_view keys_values;
  std::string_view attention_out;
};
constexpr AutoFormats kAutoFormats[] = {
    {400'000'000, "tq6", "tq6", "tq6", "tq6"},
    {2'000'000'000, "tq4", "tq4", "tq6", "tq5"},
    {std::numeric_limits<int64_t>::max(), "tq3", "tq4", "tq4", "tq4"},
};

const AutoFormats& automatic_formats(const Checkpoint& source, std::vector<std::string>& notes) {
  int64_t parameters = 0;
  for (const TensorEntry& tensor : source.tensors()) {
    if (&tensor != source.head_copy() &&
        classify_tensor(tensor.name, tensor.shape) != TensorClass::kVision) {
      parameters += tensor.n_elements();
    }
  }
  const auto* formats = std::begin(kAutoFormats);
  while (parameters > formats->max_parameters) ++formats;
  std::string attention;
  if (formats->attention != formats->mlp || formats->keys_values != formats->mlp) {
    attention = fmt::format(" (of attention {}, its keys and values {}, its output {})",
                            formats->attention, formats->keys_values, formats->attention_out);
  }
  notes.push_back(
      fmt::format("format auto: {} for linears{}, as the model has {:.3g} billion parameters; "
                  "--format chooses one for all",
                  formats->mlp, attention, static_cast<double>(parameters) * 1e-9));
  return *formats;
}

class Planner {
 public:
  Planner(const Checkpoint& source, const PlanOptions& options)
      : source_(source), options_(options), rule_uses_(options.rules.size()) {
    plan_.layout = options.layout;
    if (options.formats) {
      use_formats(*options.formats);
    } else if (options.preset.empty()) {
      choose_formats();
    } else {
      choose_preset();
    }
    if (options.layout == Layout::kReference) check_reference_options();
  }

  ConvertPlan make() {
    for (const TensorEntry& tensor : source_.tensors()) {
      if (&tensor == source_.head_copy()) continue;  // the embedding table is stored already
      refuse_scaled_floats(tensor);
      PlannedTensor planned;
      planned.source = tensor.index;
      planned.tensor_class = classify_tensor(tensor.name, tensor.shape);
      if (options_.layout == Layout::kReference) {
        plan_reference(tensor, planned);
      } else {
        plan_native(tensor, planned);
      }
      plan_.tensors.push_back(std::move(planned));
    }
    check_plane_names();
    add_notes();
    return std::move(plan_);
  }

 private:
  // What tensors become by class, if no rule says otherwise.
  struct Formats {
    const FormatTraits* embed = nullptr;
    const FormatTraits* head = nullptr;
    const FormatTraits* attention = nullptr;
    const FormatTraits* keys_values = nullptr;    // of attention, k_proj and v_proj
    const FormatTraits* attention_out = nullptr;  // o_proj
    const FormatTraits* mlp = nullptr;
    const FormatTraits* experts = nullptr;
  };

  void use_formats(const ClassFormats& formats) {
    plan_.format = "mixed";
    formats_ = {.embed = &need_format(formats.embed),
                .head = &need_format(formats.head),
                .attention = &need_format(formats.attention),
                .keys_values = &need_format(formats.keys_values),
                .attention_out = &need_format(formats.output),
                .mlp = &need_format(formats.mlp),
                .experts = &need_format(formats.experts)};
  }

  void choose_formats() {
    const bool automatic = options_.format == "auto";
    AutoFormats formats{0, options_.format, options_.format, options_.format, options_.format};
    if (automatic) formats = automatic_formats(source_, plan_.notes);
    const bool reference = options_.layout == Layout::kReference;
    if (automatic && reference && need_format(formats.mlp).bits > 4) formats.mlp = "tq4";
    plan_.format = formats.mlp;
    const FormatTraits& linear = need_format(formats.mlp);
    const FormatTraits* table = at_least_8_bits(linear);
    formats_ = {.embed = table,
                .head = table,
                .attention = &need_format(formats.attention),
                .keys_values = &need_format(formats.keys_values),
                .attention_out = &need_format(formats.attention_out),
                .mlp = &linear,
                .experts = &linear};
  }

  void choose_preset() {
    if (options_.format != "auto") {
      fail(ErrorCode::kInvalidArgument, "--preset chooses the formats: --format {} cannot be added",
           options_.format);
    }
    const Preset& preset = find_preset(options_.preset);
    plan_.format = preset.name;
    const FormatTraits* attention = &need_format(preset.attention);
    formats_ = {.embed = &need_format(preset.embed),
                .head = &need_format(preset.head),
                .attention = attention,
                .keys_values = attention,
                .attention_out = attention,
                .mlp = &need_format(preset.mlp),
                .experts = &need_format(preset.experts)};
  }

  void check_reference_options() const {
    if (!options_.rules.empty() || !options_.preset.empty() || options_.formats) {
      fail(ErrorCode::kInvalidArgument,
           "--layout turboquant-vllm packs all tensors alike: --rules, --preset, --fit and --bpw "
           "cannot be used with it");
    }
    const FormatTraits& linear = *formats_.mlp;
    const bool packed = linear.has_scales && linear.bits <= 4;
    if (!packed) {
      fail(ErrorCode::kInvalidArgument,
           "--layout turboquant-vllm holds 2, 3 or 4 bits: use --format tq2, tq3 or tq4, not {}",
           linear.name);
    }
  }

  // Eight-bit floats come with separate scales that make up the weight: copying or encoding them
  // alone would be wrong.
  void refuse_scaled_floats(const TensorEntry& tensor) const {
    if (!tensor.dtype) return;
    if (*tensor.dtype == DType::kF8E4M3 || *tensor.dtype == DType::kF8E5M2) {
      fail(ErrorCode::kUnsupported,
           "{}: tensor {} is {}: scaled 8-bit checkpoints are not read; convert the bf16 original",
           source_.path().string(), tensor.name, dtype_info(*tensor.dtype).name);
    }
  }

  void plan_native(const TensorEntry& tensor, PlannedTensor& planned) {
    const Rule* rule = first_match(options_.rules, tensor.name);
    if (rule != nullptr) ++rule_uses_[static_cast<size_t>(rule - options_.rules.data())];
    const FormatTraits* format = nullptr;  // null keeps
    if (rule == nullptr) {
      if (is_compressible(tensor)) format = default_format(tensor, planned.tensor_class);
    } else if (rule->format != kKeep) {
      format = &need_format(rule->format);
      const bool possible = format->has_scales ? is_compressible(tensor) : is_float(tensor);
      if (!possible) {
        format = nullptr;
        ++ineligible_;
      }
    }
    if (format == nullptr) return keep(tensor, planned);
    encode(tensor, *format, planned);
  }

  const FormatTraits* default_format(const TensorEntry& tensor, TensorClass tensor_class) const {
    const auto named = [&](std::string_view part) { return contains_any(tensor.name, {part}); };
    switch (tensor_class) {
      case TensorClass::kEmbed:  // Gemma adds rows of the per-layer table to every layer
        return named("_per_layer.") ? at_least_8_bits(*formats_.embed) : formats_.embed;
      case TensorClass::kHead:
        return formats_.head;
      case TensorClass::kAttention:  // all heads hang on MLA's kv_b
        if (named("kv_b_proj.")) return at_least_8_bits(*formats_.attention);
        if (named(".k_proj.") || named(".v_proj.")) return formats_.keys_values;
        if (options_.formats && named(".kv_a_proj")) return formats_.keys_values;
        return named(".o_proj.") ? formats_.attention_out : formats_.attention;
      case TensorClass::kMlp:
        return formats_.mlp;
      case TensorClass::kExperts:
        return formats_.experts;
      case TensorClass::kOther:
        return named(".per_layer_") ? at_least_8_bits(*formats_.mlp) : nullptr;
      default:
        return nullptr;
    }
  }

  static const FormatTraits* at_least_8_bits(const FormatTraits& format) {
    return format.bits >= 8 ? &format : &need_format("tq8");
  }

  // Stores the tensor in a format; what already has it is copied rather than encoded again.
  void encode(const TensorEntry& tensor, const FormatTraits& format, PlannedTensor& planned) {
    planned.traits = &format;
    planned.format = format.name;
    const auto dtype = plain_dtype(format);
    if (dtype && tensor.dtype == dtype) return copy(tensor, planned);
    if (const auto stored = packed_view(tensor); stored && &stored->traits() == &format) {
      return copy_planes(tensor, *stored, planned);
    }
    planned.action = TensorAction::kEncode;
    if (dtype) {
      planned.in_padded = tensor.in();
      planned.planes = {{tensor.name, *dtype, tensor.shape}};
      return;
    }
    planned.group = default_group(tensor.in());
    planned.in_padded = round_up(tensor.in(), planned.group);
    set_native_planes(tensor, planned);
  }

  void keep(const TensorEntry& tensor, PlannedTensor& planned) {
    if (tensor.dtype) return copy(tensor, planned);
    if (const auto stored = packed_view(tensor)) return copy_planes(tensor, *stored, planned);
    // Plain values behind a change of basis (GGUF's permuted rows) keep their type; blocks of other
    // codecs are dequantised to f16.
    const FormatTraits* plain = find_format(tensor.storage);
    if (plain == nullptr || plain->has_scales) {
      plain = &need_format("f16");
      ++dequantised_;
    }
    encode(tensor, *plain, planned);
  }

  static void copy(const TensorEntry& tensor, PlannedTensor& planned) {
    planned.action = TensorAction::kCopy;
    planned.traits = nullptr;
    planned.format = lower_case(dtype_info(*tensor.dtype).name);
    planned.planes = {{tensor.name, *tensor.dtype, tensor.shape}};
  }

  static void copy_planes(const TensorEntry& tensor, const WeightView& stored,
                          PlannedTensor& planned) {
    planned.action = TensorAction::kCopyPlanes;
    planned.traits = &stored.traits();
    planned.format = stored.traits().name;
    planned.group = stored.group;
    planned.in_padded = stored.in_padded;
    set_native_planes(tensor, planned);
  }

  std::optional<WeightView> packed_view(const TensorEntry& tensor) const {
    if (tensor.dtype) return std::nullopt;
    auto stored = source_.view(tensor);
    if (stored && !stored->traits().has_scales) stored.reset();
    return stored;
  }

  static void set_native_planes(const TensorEntry& tensor, PlannedTensor& planned) {
    const int64_t rows = tensor.n_rows();
    planned.planes = {
        {tensor.name + kPackedSuffix,
         DType::kU8,
         {rows, planned.traits->code_row_bytes(planned.in_padded)}},
        {tensor.name + kScalesSuffix, DType::kF16, {rows, planned.in_padded / planned.group}}};
  }

  // The reference writer's choice (docs/formats.md): 2-D "*.weight" and 3-D expert tensors, but no
  // name with head, embed or norm in it, and one of the last two dimensions at least a group long.
  static bool reference_packs(const TensorEntry& tensor) {
    if (!is_float(tensor) || tensor.n_rows() == 0) return false;
    const std::string name = lower_case(tensor.name);
    const size_t rank = tensor.shape.size();
    const bool weight = (rank == 2 && tensor.name.ends_with(".weight")) ||
                        (rank == 3 && contains_any(name, {"expert"}));
    return weight && !contains_any(name, {"head", "embed", "norm"}) &&
           std::max(tensor.shape[rank - 1], tensor.shape[rank - 2]) >= kReferenceGroup;
  }

  void plan_reference(const TensorEntry& tensor, PlannedTensor& planned) {
    if (!is_float(tensor)) return copy(tensor, planned);
    if (!reference_packs(tensor)) return encode(tensor, need_format("f16"), planned);
    planned.action = TensorAction::kEncode;
    planned.traits = formats_.mlp;
    planned.format = planned.traits->name;
    planned.group = kReferenceGroup;
    planned.in_padded = round_up(tensor.in(), kReferenceGroup);
    const int64_t groups = planned.in_padded / kReferenceGroup;
    const int64_t rows = tensor.n_rows();
    planned.planes = {{tensor.name + ".tq_packed",
                       DType::kU8,
                       {rows * groups, planned.traits->code_row_bytes(kReferenceGroup)}},
                      {tensor.name + ".tq_norms", DType::kF32, {rows, groups}}};
  }

  void check_plane_names() const {
    std::set<std::string_view> names;
    for (const PlannedTensor& tensor : plan_.tensors) {
      for (const SafetensorsItem& plane : tensor.planes) {
        if (!names.insert(plane.name).second) {
          fail(ErrorCode::kUnsupported, "{}: has a tensor {} of its own, a name the result needs",
               source_.path().string(), plane.name);
        }
      }
    }
  }

  void add_notes() {
    for (size_t i = 0; i < rule_uses_.size(); ++i) {
      if (rule_uses_[i] > 0) continue;
      plan_.notes.push_back(
          fmt::format("rule {} (\"{}\") is the first match of no tensor and has no effect", i + 1,
                      options_.rules[i].match));
    }
    if (ineligible_ > 0) {
      plan_.notes.push_back(fmt::format(
          "{} tensors keep their type although a rule names a format: only floating 2-D and 3-D "
          "tensors with rows of at least {} weights can be compressed",
          ineligible_, kMinIn));
    }
    if (dequantised_ > 0) {
      plan_.notes.push_back(fmt::format(
          "{} block-quantised tensors that stay uncompressed are stored as f16", dequantised_));
    }
    if (std::string note = requantize_note(source_, plan_); !note.empty()) {
      plan_.notes.push_back(std::move(note));
    }
  }

  const Checkpoint& source_;
  const PlanOptions& options_;
  Formats formats_;
  ConvertPlan plan_;
  std::vector<int64_t> rule_uses_;
  int64_t ineligible_ = 0;
  int64_t dequantised_ = 0;
};

}  // namespace

int64_t plane_bytes(const SafetensorsItem& plane) {
  int64_t bytes = dtype_info(plane.dtype).bytes;
  for (const int64_t dim : plane.shape) bytes *= dim;
  return bytes;
}

std::string_view tensor_class_name(TensorClass tensor_class) {
  static constexpr std::array<std::string_view, kTensorClasses> kNames = {
      "embed", "head", "attention", "mlp", "experts", "router", "norm", "bias", "vision", "other"};
  return kNames[static_cast<size_t>(tensor_class)];
}

TensorClass classify_tensor(std::string_view name, const Shape& shape) {
  if (contains_any(name, {"vision", "visual.", "audio", "multi_modal_projector"})) {
    return TensorClass::kVision;
  }
  if (contains_any(
          name, {".router.", ".gate.weight", ".e_score_correction_bias", "shared_expert_gate."})) {
    return TensorClass::kRouter;
  }
  if (contains_any(name, {"norm", "layer_scalar"})) return TensorClass::kNorm;
  if (name.ends_with("bias")) return TensorClass::kBias;
  if (contains_any(name, {"conv"}) || shape.size() < 2) return TensorClass::kOther;
  if (contains_any(name, {"embed_tokens"})) return TensorClass::kEmbed;
  if (contains_any(name, {"lm_head.", "shared_head.head."})) return TensorClass::kHead;
  if (contains_any(name, {".experts."}) ||
      (shape.size() == 3 && contains_any(name, {"w13", "w2", "gate_up_proj", "down_proj"}))) {
    return TensorClass::kExperts;
  }
  if (contains_any(name, {"attn.", "attention."})) return TensorClass::kAttention;
  if (contains_any(name, {"mlp.", "feed_forward.", "shared_expert"})) return TensorClass::kMlp;
  return TensorClass::kOther;
}

ConvertPlan make_plan(const Checkpoint& source, const PlanOptions& options) {
  return Planner(source, options).make();
}

}  // namespace tq
