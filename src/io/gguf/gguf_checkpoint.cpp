#include "io/gguf/gguf_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "io/folder_hints.h"
#include "io/gguf/gguf_config.h"
#include "io/gguf/gguf_dequant.h"
#include "io/gguf/gguf_parts.h"
#include "io/gguf/gguf_tokenizer.h"
#include "tensor/buffer.h"

namespace tq {
namespace {

// A tensor name split into the pattern the rules use and the number of the layer:
// "blk.7.attn_q.weight" is "blk.{}.attn_q.weight" and "7".
struct LayerName {
  std::string pattern;
  std::string_view layer;  // empty outside layers
};

LayerName split_layer(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return {std::string(name), {}};
  const std::string_view rest = name.substr(kPrefix.size());
  const std::string_view layer = rest.substr(0, rest.find('.'));
  return {std::string(kPrefix) + "{}" + std::string(rest.substr(layer.size())), layer};
}

// Whether text is a number below n, written as converters write it ("7", not "07").
bool is_number_below(std::string_view text, int64_t n) {
  int64_t value = -1;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end && value >= 0 && value < n &&
         std::to_string(value) == text;
}

class GgufCheckpoint final : public Checkpoint {
 public:
  GgufCheckpoint(GgufFile file, const OpenOptions& options)
      : Checkpoint(CheckpointKind::kGguf, file.name()), file_(std::move(file)) {
    try {
      translate(options);
    } catch (const Error& error) {
      if (!options.inspect) throw;
      problem_ = error;
      show_as_stored();
    }
  }

  // A file that is only looked at, since there is something wrong with it.
  GgufCheckpoint(GgufFile file, Error problem)
      : Checkpoint(CheckpointKind::kGguf, file.name()), file_(std::move(file)) {
    problem_ = std::move(problem);
    show_as_stored();
  }

  // GGUF files that hold something else than a whole model.
  void refuse_other_contents() const {
    const auto n_parts = file_.integer("split.count").value_or(1);
    if (n_parts > 1 && static_cast<size_t>(n_parts) != file_.n_parts()) {
      fail(ErrorCode::kUnsupported, "{}: {}", file_.name(), split_gguf_text(path_, n_parts));
    }
    const std::string_view type = file_.string("general.type").value_or("");
    const std::string_view arch = file_.string("general.architecture").value_or("");
    if (type == "adapter" || file_.has("adapter.type")) {
      fail(ErrorCode::kUnsupported,
           "{}: a LoRA adapter, which changes the weights of a {} model and is no model by itself; "
           "merge the two with llama.cpp's llama-export-lora and name the result",
           file_.name(), arch);
    }
    if (type == "mmproj" || arch == "clip") {
      fail(ErrorCode::kUnsupported,
           "{}: a projector, the image part of a model; name the GGUF with the model's text part",
           file_.name());
    }
    if (type == "imatrix" || type == "vocab") {
      fail(ErrorCode::kUnsupported, "{}: holds {}, not a model's weights", file_.name(),
           type == "vocab" ? "a vocabulary alone" : "an importance matrix");
    }
  }

  std::vector<std::string> text_files() const override {
    std::vector<std::string> names;
    for (const auto& file : texts().files) names.push_back(file.first);
    return names;
  }
  std::optional<std::string> text_file(std::string_view name) const override {
    const auto& files = texts().files;
    const auto found = files.find(std::string(name));
    if (found == files.end()) return std::nullopt;
    return found->second;
  }
  std::optional<Error> tokenizer_problem() const override { return texts().problem; }

  void read_rows(const TensorEntry& entry, int64_t row_begin, int64_t n_rows,
                 float* out) const override {
    const Source& source = source_of(entry);
    check_rows(entry, row_begin, n_rows);
    const int64_t in = entry.in();
    if (!source.values.empty()) {
      std::memcpy(out, source.values.as<float>().data() + row_begin * in,
                  static_cast<size_t>(n_rows * in) * sizeof(float));
      return;
    }
    if (in == 0) return;
    if (source.latent) return read_latent(source, row_begin, n_rows, out);
    const auto decode = [&](int64_t stored_row, int64_t n, float* to) {
      decode_rows(*source.tensor, *source.type, stored_row, n, in, to);
    };
    if (source.half_head > 0) {
      for (int64_t i = 0; i < n_rows; ++i) {
        decode(stored_row(source, row_begin + i), 1, out + i * in);
      }
      return;
    }
    // In pieces, so that few bytes lie beside the numbers.
    constexpr int64_t kPieceElements = int64_t{256} << 10;
    const int64_t step = std::max<int64_t>(1, kPieceElements / in);
    for (int64_t row = 0; row < n_rows; row += step) {
      decode(row_begin + row, std::min(step, n_rows - row), out + row * in);
    }
  }

  void read_raw(const TensorEntry& entry, int64_t offset, std::span<uint8_t> out) const override {
    const Source& source = source_of(entry);
    if (!source.values.empty()) return Checkpoint::read_raw(entry, offset, out);
    file_.read(*source.tensor, static_cast<uint64_t>(offset), out);
  }

  std::optional<WeightView> view(const TensorEntry& entry) const override {
    const FormatTraits* format = entry.dtype ? find_format(entry.storage) : nullptr;
    if (format == nullptr) return std::nullopt;
    WeightView view;
    view.format = format->id;
    view.experts = entry.shape.size() == 3 ? entry.shape[0] : 1;
    view.rows = entry.n_rows() / view.experts;
    view.in = entry.in();
    view.in_padded = entry.in();
    view.codes = raw(entry).data();
    return view;
  }

  std::span<const uint8_t> raw(const TensorEntry& entry) const override {
    const Source& source = source_of(entry);
    TQ_CHECK(entry.dtype.has_value(), "{} has no plain elements", entry.name);
    if (!source.values.empty()) return source.values.as<uint8_t>();
    return file_.tensor_bytes(*source.tensor);
  }

  void drop_rows(const TensorEntry& entry, int64_t row_begin, int64_t n_rows) const override {
    const Source& source = source_of(entry);
    check_rows(entry, row_begin, n_rows);
    if (source.latent) return;
    const auto row_bytes = source.tensor->size_bytes / static_cast<uint64_t>(entry.n_rows());
    file_.part(source.tensor->part)
        .file()
        .drop(source.tensor->offset + static_cast<uint64_t>(row_begin) * row_bytes,
              static_cast<uint64_t>(n_rows) * row_bytes);
  }

  std::vector<fs::path> files() const override {
    std::vector<fs::path> paths;
    for (size_t i = 0; i < file_.n_parts(); ++i) paths.emplace_back(file_.part(i).name());
    return paths;
  }

 private:
  // kv_b of latent attention that was cut in two. The source's tensor is [heads, rank, keys], this
  // one [heads, values, rank]; of each head the rows are keys, then values.
  struct Latent {
    const GgufTensor* tensor;
    const GgmlTypeInfo* type;
    int64_t keys;
    int64_t values;
    int64_t rank;
  };
  struct Source {
    const GgufTensor* tensor;
    const GgmlTypeInfo* type;
    int64_t half_head = 0;  // rows of half a head where heads are interleaved, else 0
    Buffer values;          // fp32 of the whole tensor where every element had to be changed
    std::optional<Latent> latent;
  };

  // Rows [row, row + n) of a tensor, of `in` elements each.
  void decode_rows(const GgufTensor& tensor, const GgmlTypeInfo& type, int64_t row, int64_t n,
                   int64_t in, float* out) const {
    const int64_t blocks = in / type.block_weights;
    thread_local std::vector<uint8_t> bytes;
    bytes.resize(static_cast<size_t>(n * blocks * type.block_bytes));
    file_.read(tensor, static_cast<uint64_t>(row * blocks * type.block_bytes), bytes);
    type.decode(bytes.data(), n * blocks, out);
  }

  void read_latent(const Source& source, int64_t row_begin, int64_t n_rows, float* out) const {
    const Latent& latent = *source.latent;
    const int64_t head_rows = latent.keys + latent.values;
    std::vector<float> keys;  // of one head: [rank, keys]
    for (int64_t row = row_begin; row < row_begin + n_rows;) {
      const int64_t head = row / head_rows;
      const int64_t end = std::min((head + 1) * head_rows, row_begin + n_rows) - head * head_rows;
      int64_t i = row - head * head_rows;
      if (i < latent.keys) {
        keys.resize(static_cast<size_t>(latent.rank * latent.keys));
        decode_rows(*source.tensor, *source.type, head * latent.rank, latent.rank, latent.keys,
                    keys.data());
      }
      for (; i < std::min(end, latent.keys); ++i) {
        for (int64_t r = 0; r < latent.rank; ++r) {
          *out++ = keys[static_cast<size_t>(r * latent.keys + i)];
        }
      }
      if (i < end) {
        decode_rows(*latent.tensor, *latent.type, head * latent.values + i - latent.keys, end - i,
                    latent.rank, out);
        out += (end - i) * latent.rank;
      }
      row = head * head_rows + end;
    }
  }

  // Heads are stored as rows 0, h/2, 1, h/2 + 1, ...: the two rows that rope rotates together are
  // neighbours. Hugging Face has them half a head apart.
  static int64_t stored_row(const Source& source, int64_t row) {
    const int64_t head_begin = row - row % (2 * source.half_head);
    const int64_t in_head = row - head_begin;
    return head_begin + in_head % source.half_head * 2 + in_head / source.half_head;
  }

  void translate(const OpenOptions& options) {
    refuse_other_contents();
    config_ = gguf_config(file_, options.ignore_config);
    std::vector<TensorEntry> entries;
    for (const GgufTensor& tensor : file_.tensors()) add(tensor, entries);
    set_tensors(std::move(entries));
  }

  // For a reader who only looks: names, shapes and types of the file itself.
  void show_as_stored() {
    sources_.clear();
    config_ = Json::object();
    if (const auto arch = file_.string("general.architecture")) config_["model_type"] = *arch;
    std::vector<TensorEntry> entries;
    for (const GgufTensor& tensor : file_.tensors()) {
      TensorEntry entry;
      entry.name = tensor.name;
      entry.shape = tensor.shape;
      entry.storage = find_ggml_layout(static_cast<uint32_t>(tensor.type))->name;
      entry.stored_bytes = static_cast<int64_t>(tensor.size_bytes);
      entries.push_back(std::move(entry));
    }
    set_tensors(std::move(entries));
  }

  const GgmlTypeInfo& read_type(const GgufTensor& tensor) const {
    const GgmlTypeInfo* type = find_ggml_type(static_cast<uint32_t>(tensor.type));
    if (type == nullptr) {
      fail(ErrorCode::kUnsupported, "{}: tensor {} has ggml type {}, which is not read",
           file_.name(), tensor.name, ggml_type_label(static_cast<uint32_t>(tensor.type)));
    }
    return *type;
  }

  void add(const GgufTensor& tensor, std::vector<TensorEntry>& entries) {
    const GgmlTypeInfo& type = read_type(tensor);
    const LayerName name = split_layer(tensor.name);
    if (is_extra_layer(name.layer)) return;
    const GgufTensorRule& rule = find_rule(tensor, name);
    if (rule.transform == GgufTransform::kDrop || rule.transform == GgufTransform::kJoinedLatent) {
      return;
    }
    Source source{&tensor, &type};
    TensorEntry entry;
    entry.name = rule.hf;
    if (const size_t hole = entry.name.find("{}"); hole != std::string::npos) {
      entry.name.replace(hole, 2, name.layer);
    }
    entry.shape = tensor.shape;
    entry.storage = source.type->name;
    entry.dtype = source.type->dtype;
    entry.stored_bytes = static_cast<int64_t>(tensor.size_bytes);
    if (rule.transform == GgufTransform::kUnpermuteQ) {
      unpermute("num_attention_heads", source, entry);
    } else if (rule.transform == GgufTransform::kUnpermuteK) {
      unpermute("num_key_value_heads", source, entry);
    } else if (rule.transform == GgufTransform::kMinusOne) {
      subtract_one(source, entry);
    } else if (rule.transform == GgufTransform::kJoinLatent) {
      join_latent(name.layer, source, entry);
    }
    sources_.push_back(std::move(source));
    entries.push_back(std::move(entry));
  }

  const GgufTensorRule& find_rule(const GgufTensor& tensor, const LayerName& name) const {
    const GgufArch& arch = gguf_arch(file_);
    for (const GgufTensorRule& rule : arch.tensors) {
      if (rule.gguf != name.pattern) continue;
      if (!name.layer.empty()) check_layer(tensor, name.layer);
      return rule;
    }
    fail(ErrorCode::kUnsupported, "{}: tensor {} is not one that a model of architecture {} has",
         file_.name(), tensor.name, arch.name);
  }

  void check_layer(const GgufTensor& tensor, std::string_view layer) const {
    const auto n_layers = config_["num_hidden_layers"].get<int64_t>();
    if (!is_number_below(layer, n_layers)) {
      fail(ErrorCode::kCorrupt, "{}: tensor {} belongs to no layer; there are {}", file_.name(),
           tensor.name, n_layers);
    }
  }

  // Layers for multi-token prediction follow those of the model.
  bool is_extra_layer(std::string_view layer) const {
    const int64_t n_extra = config_.value("num_nextn_predict_layers", int64_t{0});
    const auto n_layers = config_["num_hidden_layers"].get<int64_t>();
    return n_extra > 0 && is_number_below(layer, n_layers + n_extra) &&
           !is_number_below(layer, n_layers);
  }

  void join_latent(std::string_view layer, Source& source, TensorEntry& entry) const {
    const std::string name = fmt::format("blk.{}.attn_v_b.weight", layer);
    const GgufTensor* values = file_.find_tensor(name);
    if (values == nullptr) {
      fail(ErrorCode::kNotFound, "{}: there is no tensor {}", file_.name(), name);
    }
    const auto n_heads = config_["num_attention_heads"].get<int64_t>();
    const Latent latent{values, &read_type(*values), config_["qk_nope_head_dim"].get<int64_t>(),
                        config_["v_head_dim"].get<int64_t>(),
                        config_["kv_lora_rank"].get<int64_t>()};
    const Shape key_shape{n_heads, latent.rank, latent.keys};
    const Shape value_shape{n_heads, latent.values, latent.rank};
    if (entry.shape != key_shape || values->shape != value_shape) {
      fail(ErrorCode::kCorrupt, "{}: tensors {} and {} have shapes {} and {}; {} and {} expected",
           file_.name(), source.tensor->name, name, shape_string(entry.shape),
           shape_string(values->shape), shape_string(key_shape), shape_string(value_shape));
    }
    entry.shape = {n_heads * (latent.keys + latent.values), latent.rank};
    entry.stored_bytes += static_cast<int64_t>(values->size_bytes);
    entry.dtype.reset();
    source.latent = latent;
  }

  void unpermute(const char* heads_key, Source& source, TensorEntry& entry) const {
    const auto n_heads = config_[heads_key].get<int64_t>();
    const auto head_dim = config_["head_dim"].get<int64_t>();
    const size_t rank = entry.shape.size();
    if (rank == 0 || rank > 2 || entry.shape[0] != n_heads * head_dim || head_dim % 2 != 0) {
      fail(ErrorCode::kCorrupt, "{}: tensor {} has shape {}; {} heads of {} rows were expected",
           file_.name(), source.tensor->name, shape_string(entry.shape), n_heads, head_dim);
    }
    source.half_head = head_dim / 2;
    if (rank == 1) return unpermute_bias(source, entry);
    entry.dtype.reset();
  }

  void unpermute_bias(Source& source, TensorEntry& entry) const {
    decode_vector(source, entry);
    const std::span<float> values = source.values.as<float>();
    const std::vector<float> stored(values.begin(), values.end());
    for (size_t i = 0; i < stored.size(); ++i) {
      values[i] = stored[static_cast<size_t>(stored_row(source, static_cast<int64_t>(i)))];
    }
  }

  void subtract_one(Source& source, TensorEntry& entry) const {
    decode_vector(source, entry);
    for (float& value : source.values.as<float>()) value -= 1.0f;
  }

  // Vectors are small: where elements change they are decoded once, so that all ways to read them
  // agree.
  void decode_vector(Source& source, TensorEntry& entry) const {
    const int64_t n = entry.n_elements();
    if (entry.shape.size() != 1) {
      fail(ErrorCode::kCorrupt, "{}: tensor {} has shape {}; a vector was expected", file_.name(),
           source.tensor->name, shape_string(entry.shape));
    }
    source.values = Buffer(static_cast<size_t>(n) * sizeof(float));
    source.type->decode(file_.tensor_bytes(*source.tensor).data(), n / source.type->block_weights,
                        source.values.as<float>().data());
    entry.dtype = DType::kF32;
    entry.storage = "f32";
  }

  const Source& source_of(const TensorEntry& entry) const {
    TQ_CHECK(entry.index >= 0 && entry.index < static_cast<int64_t>(sources_.size()) &&
                 tensors()[static_cast<size_t>(entry.index)].name == entry.name,
             "{} is not a tensor of {}", entry.name, path_.string());
    return sources_[static_cast<size_t>(entry.index)];
  }
  static void check_rows(const TensorEntry& entry, int64_t row_begin, int64_t n_rows) {
    TQ_CHECK(row_begin >= 0 && n_rows >= 0 && row_begin <= entry.n_rows() - n_rows,
             "rows {} + {} of {}, which has {}", row_begin, n_rows, entry.name, entry.n_rows());
  }

  // Made when first asked for: a tokenizer takes longer to translate than everything else.
  const GgufTokenizer& texts() const {
    const std::lock_guard lock(texts_mutex_);
    if (!texts_) {
      GgufTokenizer texts = gguf_tokenizer(file_);
      texts.files["generation_config.json"] = gguf_generation_config(file_).dump(2);
      texts_ = std::move(texts);
    }
    return *texts_;
  }

  GgufFile file_;
  std::vector<Source> sources_;  // parallel to tensors()
  mutable std::mutex texts_mutex_;
  mutable std::optional<GgufTokenizer> texts_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_gguf_checkpoint(const fs::path& path, const OpenOptions& options) {
  try {
    return open_gguf_checkpoint(open_gguf_parts(path), options);
  } catch (const Error& error) {
    if (!options.inspect) throw;
    return std::make_unique<GgufCheckpoint>(GgufFile(path), error);  // what a lone part has
  }
}

std::unique_ptr<Checkpoint> open_gguf_checkpoint(GgufFile file, const OpenOptions& options) {
  return std::make_unique<GgufCheckpoint>(std::move(file), options);
}

}  // namespace tq
