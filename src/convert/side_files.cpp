#include "convert/side_files.h"

#include <map>
#include <utility>

#include "convert/layouts/layout.h"

namespace tq {

std::string base_name(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error).lexically_normal();
  return absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
}

Json model_config(const Checkpoint& source, const ConvertPlan& plan) {
  Json config = source.config();
  config.erase("quantization_config");  // of a source that was compressed before
  if (plan.layout->config != nullptr) config["quantization_config"] = plan.layout->config(plan);
  return config;
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

}  // namespace tq
