#include "convert/side_files.h"

#include <map>
#include <utility>

#include "convert/layouts/layout.h"
#include "format/hadamard.h"

namespace tq {
namespace {

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

}  // namespace

std::string base_name(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error).lexically_normal();
  const fs::path folder = absolute.has_filename() ? absolute : absolute.parent_path();
  // "models--ORG--NAME/snapshots/COMMIT" of the hub's cache is called NAME.
  const fs::path above = folder.parent_path();
  const std::string repository = above.parent_path().filename();
  if (above.filename() == "snapshots" && repository.starts_with("models--")) {
    return repository.substr(repository.rfind("--") + 2);
  }
  return folder.filename();
}

Json model_config(const Checkpoint& source, const ConvertPlan& plan) {
  Json config = source.config();
  config.erase("quantization_config");  // of a source that was compressed before
  if (plan.layout->config != nullptr) config["quantization_config"] = plan.layout->config(plan);
  return config;
}

NativeManifest base_manifest(const Conversion& conversion) {
  NativeManifest manifest;
  manifest.seed = kRotationSeed;
  manifest.tool_version = TQ_VERSION;
  manifest.encoder = {{"effort", effort_name(conversion.encode.effort)},
                      {"beta", conversion.encode.beta}};
  if (!conversion.report.data.is_null()) manifest.encoder["data"] = conversion.report.data;
  manifest.source = source_json(conversion.source, conversion.report.source_bytes);
  manifest.report = conversion.report.to_json();
  manifest.files = conversion.files;
  manifest.hashes = Json::object();
  const auto& tensors = conversion.plan.tensors;
  for (size_t t = 0; t < tensors.size(); ++t) {
    for (size_t p = 0; p < tensors[t].planes.size(); ++p) {
      manifest.hashes[tensors[t].planes[p].name] = conversion.results[t].hashes[p];
    }
  }
  return manifest;
}

ConvertReport make_report(const Checkpoint& source, const ConvertPlan& plan,
                          const std::vector<TensorResult>& results) {
  std::map<std::pair<TensorClass, std::string>, ReportRow> rows;
  ConvertReport report;
  report.format = plan.format;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    const TensorEntry& entry = source.tensors()[static_cast<size_t>(tensor.source)];
    ReportRow& row = rows[{tensor.tensor_class(), tensor.format}];
    row.tensor_class = tensor.tensor_class();
    row.format = tensor.format;
    row.n_tensors += 1;
    row.n_parameters += tensor.n_rows * entry.in();
    row.stored_bytes += stored_bytes(tensor);
    row.lossy = row.lossy || is_encoded(tensor.action);
    row.stats.add(results[t].stats);
    report.n_parameters += tensor.n_rows * entry.in();
    report.source_bytes += source_bytes(tensor, entry);
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

}  // namespace tq
