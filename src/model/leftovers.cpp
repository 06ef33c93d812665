#include "model/leftovers.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "model/tensor_roles.h"

namespace tq {
namespace {

// What is left out knowingly.
enum class Kind : uint8_t {
  kModality,   // towers and projectors of images, sound and video
  kRotary,     // tables of angles, which follow from the config
  kMtp,        // heads for multi-token prediction
  kSharedKv,   // keys and values of layers that read those of another layer
  kQuantiser,  // scales beside weights that no longer need them, or of a cache of 8-bit floats
  kValueHead,  // of training by reward
  kHeadCopy,   // of the embedding table
};

std::string_view kind_text(Kind kind) {
  switch (kind) {
    case Kind::kModality:
      return "of images, sound or video";
    case Kind::kRotary:
      return "with rotary angles, which the config gives";
    case Kind::kMtp:
      return "for multi-token prediction";
    case Kind::kSharedKv:
      return "for keys and values of layers that use those of another layer (num_kv_shared_layers)";
    case Kind::kQuantiser:
      return "with scales that quantising left";
    case Kind::kValueHead:
      return "of a value head";
    case Kind::kHeadCopy:
      return "as a copy of the embedding table";
  }
  return "of no use";
}

// Parts of names by kind, as tools write them whatever the architecture.
struct Pattern {
  std::string_view part;
  Kind kind;
};
constexpr Pattern kInsideRules[] = {
    {"rotary_emb.", Kind::kRotary},        {"rotary_pos_emb.", Kind::kRotary},
    {"vision_tower.", Kind::kModality},    {"vision_model.", Kind::kModality},
    {"vision_embedder.", Kind::kModality}, {"visual.", Kind::kModality},
    {"audio_tower.", Kind::kModality},     {"multi_modal_projector.", Kind::kModality},
    {"embed_vision.", Kind::kModality},    {"embed_audio.", Kind::kModality},
    {"v_head.", Kind::kValueHead},         {"value_head.", Kind::kValueHead},
};
constexpr Pattern kEndRules[] = {
    {".weight_scale_inv", Kind::kQuantiser}, {".weight_scale", Kind::kQuantiser},
    {".input_scale", Kind::kQuantiser},      {".k_scale", Kind::kQuantiser},
    {".v_scale", Kind::kQuantiser},
};

class Leftovers {
 public:
  explicit Leftovers(const LeftoverContext& context)
      : context_(context), layers_(fmt::format("{}layers.", context.place.body)) {}

  void add(const TensorEntry& entry) {
    const std::optional<int64_t> layer = layer_number(entry.name, layers_);
    if (const std::optional<Kind> kind = find_kind(entry, layer)) {
      Group& group = skipped_[*kind];
      if (group.n++ == 0) group.example = entry.name;
      group.bytes += entry.stored_bytes;
      return;
    }
    refuse_part_of_decoder(entry, layer);
    Group& group = unknown_[entry.name.substr(0, entry.name.find('.'))];
    if (group.n++ == 0) group.example = entry.name;
  }

  void tell() const {
    const std::string path = context_.checkpoint.path().string();
    for (const auto& [kind, group] : skipped_) {
      if (kind == Kind::kHeadCopy) continue;  // told when the checkpoint was opened
      info("{}: {} tensors ({:.1f} MB) {} play no part in text and are not loaded, such as {}",
           path, group.n, static_cast<double>(group.bytes) * 1e-6, kind_text(kind), group.example);
    }
    for (const auto& [module, group] : unknown_) {
      warn("{}: {} tensors of \"{}\" are not used by the model, such as {}", path, group.n, module,
           group.example);
    }
  }

 private:
  struct Group {
    int64_t n = 0;
    int64_t bytes = 0;
    std::string_view example;
  };

  std::optional<Kind> find_kind(const TensorEntry& entry, std::optional<int64_t> layer) const {
    const std::string_view name = entry.name;
    const auto inside = [&](std::string_view part) {
      return name.find(part) != std::string_view::npos;
    };
    if (&entry == context_.checkpoint.head_copy()) return Kind::kHeadCopy;
    for (const Pattern& pattern : kInsideRules) {
      if (inside(pattern.part)) return pattern.kind;
    }
    for (const Pattern& pattern : kEndRules) {
      if (name.ends_with(pattern.part)) return pattern.kind;
    }
    if (std::any_of(context_.names.unused.begin(), context_.names.unused.end(), inside)) {
      return Kind::kModality;
    }
    if (name.starts_with("mtp.") || name.starts_with(fmt::format("{}mtp.", context_.place.body))) {
      return Kind::kMtp;
    }
    if (!layer) return std::nullopt;
    if (is_mtp_layer(*layer)) return Kind::kMtp;
    if (is_shared_kv(name, *layer)) return Kind::kSharedKv;
    return std::nullopt;
  }

  // Beyond the decoder's layers, and with the projection that only such heads have: the config's
  // numbers of layers are not taken at their word.
  bool is_mtp_layer(int64_t layer) const {
    return layer >= n_layers() &&
           context_.checkpoint.find(fmt::format("{}{}.eh_proj.weight", layers_, layer)) != nullptr;
  }

  // Some checkpoints hold keys and values for layers that use another layer's; the architecture
  // never reads them.
  bool is_shared_kv(std::string_view name, int64_t layer) const {
    if (layer >= n_layers()) return false;
    const auto* gqa =
        std::get_if<GqaSpec>(&context_.spec.layers[static_cast<size_t>(layer)].attention);
    const TensorNames& names = context_.names;
    return gqa != nullptr && gqa->kv_from &&
           (name.find(names.k) != name.npos || name.find(names.v) != name.npos ||
            name.find(names.k_norm) != name.npos);
  }

  void refuse_part_of_decoder(const TensorEntry& entry, std::optional<int64_t> layer) const {
    const std::string path = context_.checkpoint.path().string();
    if (layer && *layer >= n_layers()) {
      fail(ErrorCode::kUnsupported,
           "{}: {} belongs to no layer: the config says there are {} (num_hidden_layers), and it "
           "is no head for multi-token prediction",
           path, entry.name, n_layers());
    }
    if (layer) {
      fail(ErrorCode::kUnsupported,
           "{}: the architecture has no tensor {}: leaving it out would change what is computed",
           path, entry.name);
    }
    const bool in_decoder = entry.name.starts_with(context_.place.body) ||
                            entry.name.find("lm_head") != entry.name.npos;
    if (in_decoder && entry.is_float()) {
      fail(ErrorCode::kUnsupported,
           "{}: nothing uses the tensor {} {}, which lies in the text decoder: leaving it out "
           "might change what is computed",
           path, entry.name, shape_string(entry.shape));
    }
  }

  int64_t n_layers() const { return static_cast<int64_t>(context_.spec.layers.size()); }

  const LeftoverContext& context_;
  const std::string layers_;
  std::map<Kind, Group> skipped_;
  std::map<std::string, Group, std::less<>> unknown_;  // by the name of their module
};

}  // namespace

void check_leftovers(const LeftoverContext& context, const std::vector<TensorRequest>& requests,
                     bool tell) {
  std::set<std::string_view> used;
  for (const TensorRequest& request : requests) used.insert(request.name);
  Leftovers leftovers(context);
  for (const TensorEntry& entry : context.checkpoint.tensors()) {
    if (!used.contains(entry.name)) leftovers.add(entry);
  }
  if (tell) leftovers.tell();
}

}  // namespace tq
