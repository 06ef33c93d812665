#include "convert/side_files.h"

#include <map>
#include <utility>

#include "format/hadamard.h"
#include "io/native_manifest.h"

namespace tq {
namespace {

int64_t stored_bytes(const PlannedTensor& tensor) {
  int64_t bytes = 0;
  for (const SafetensorsItem& plane : tensor.planes) bytes += plane_bytes(plane);
  return bytes;
}

Json source_json(const Checkpoint& source, int64_t tensor_bytes) {
  Json files = Json::array();
  for (const fs::path& path : source.files()) {
    files.push_back({{"name", base_name(path)}, {"bytes", fs::file_size(path)}});
  }
  return {{"name", base_name(source.path())},
          {"kind", checkpoint_kind_name(source.kind())},
          {"tensor_bytes", tensor_bytes},
          {"files", std::move(files)}};
}

Json native_description(const Conversion& conversion) {
  NativeManifest manifest;
  manifest.seed = kRotationSeed;
  manifest.tool_version = TQ_VERSION;
  manifest.encoder = {{"effort", effort_name(conversion.encode.effort)},
                      {"beta", conversion.encode.beta}};
  manifest.source = source_json(conversion.source, conversion.report.source_bytes);
  manifest.report = conversion.report.to_json();
  manifest.files = conversion.files;
  manifest.hashes = Json::object();
  const auto& tensors = conversion.plan.tensors;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const TensorEntry& entry = conversion.source.tensors()[static_cast<size_t>(tensors[t].source)];
    for (size_t p = 0; p < tensors[t].planes.size(); ++p) {
      manifest.hashes[tensors[t].planes[p].name] = conversion.results[t].hashes[p];
    }
    if (!tensors[t].compressed()) continue;
    manifest.tensors.push_back(
        {entry.name, tensors[t].format, entry.shape, tensors[t].group, tensors[t].in_padded});
  }
  return manifest.to_json();
}

Json reference_description(const Conversion& conversion) {
  int64_t n_packed = 0;
  Json in_dims = Json::object();
  for (const PlannedTensor& tensor : conversion.plan.tensors) {
    if (!tensor.compressed()) continue;
    const TensorEntry& entry = conversion.source.tensors()[static_cast<size_t>(tensor.source)];
    ++n_packed;
    in_dims[entry.name] = entry.in();
  }
  return {{"format", "tq3_native"},  // whatever the bits: the reference's name for the layout
          {"bits", find_format(conversion.plan.format)->bits},
          {"group_size", 128},
          {"quantizer_seed", kRotationSeed},
          {"compressed_layers", n_packed},
          {"original_model", base_name(conversion.source.path())},
          {"orig_in_dims", std::move(in_dims)}};
}

}  // namespace

std::string base_name(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error).lexically_normal();
  return absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
}

Json model_config(const Checkpoint& source, const ConvertPlan& plan) {
  Json config = source.config();
  config.erase("quantization_config");  // of a source that was compressed before
  if (plan.layout == Layout::kNative) {
    config["quantization_config"] = {
        {"quant_method", "turboquant"}, {"version", kNativeVersion}, {"format", plan.format}};
  }
  return config;
}

std::string quantization_description(const Conversion& conversion) {
  const bool native = conversion.plan.layout == Layout::kNative;
  const Json json = native ? native_description(conversion) : reference_description(conversion);
  const std::string text = json.dump(2) + "\n";
  return native ? with_own_hash(text) : text;
}

ConvertReport make_report(const Checkpoint& source, const ConvertPlan& plan,
                          const std::vector<TensorResult>& results) {
  std::map<std::pair<TensorClass, std::string>, ReportRow> rows;
  ConvertReport report;
  report.format = plan.format;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    const TensorEntry& entry = source.tensors()[static_cast<size_t>(tensor.source)];
    ReportRow& row = rows[{tensor.tensor_class, tensor.format}];
    row.tensor_class = tensor.tensor_class;
    row.format = tensor.format;
    row.n_tensors += 1;
    row.n_parameters += entry.n_elements();
    row.stored_bytes += stored_bytes(tensor);
    row.lossy = row.lossy || tensor.action == TensorAction::kEncode;
    row.stats.add(results[t].stats);
    report.n_parameters += entry.n_elements();
    report.source_bytes += entry.stored_bytes;
    report.stored_bytes += stored_bytes(tensor);
    report.non_finite += results[t].non_finite;
  }
  for (auto& [key, row] : rows) report.rows.push_back(std::move(row));
  return report;
}

double ReportRow::bits_per_weight() const {
  return n_parameters > 0
             ? 8.0 * static_cast<double>(stored_bytes) / static_cast<double>(n_parameters)
             : 0;
}

Json ConvertReport::to_json() const {
  Json classes = Json::array();
  for (const ReportRow& row : rows) {
    Json item = {{"class", tensor_class_name(row.tensor_class)},
                 {"format", row.format},
                 {"tensors", row.n_tensors},
                 {"parameters", row.n_parameters},
                 {"bytes", row.stored_bytes},
                 {"bits_per_weight", row.bits_per_weight()}};
    if (row.lossy) item["rel_mse"] = row.stats.rel_mse();
    classes.push_back(std::move(item));
  }
  return {{"format", format},      {"parameters", n_parameters}, {"source_bytes", source_bytes},
          {"bytes", stored_bytes}, {"non_finite", non_finite},   {"classes", std::move(classes)}};
}

std::string_view effort_name(Effort effort) {
  switch (effort) {
    case Effort::kReference:
      return "reference";
    case Effort::kFast:
      return "fast";
    case Effort::kDefault:
      return "default";
    case Effort::kBest:
      return "best";
  }
  return "unknown";
}

std::string_view layout_name(Layout layout) {
  return layout == Layout::kNative ? "native" : "turboquant-vllm";
}

}  // namespace tq
