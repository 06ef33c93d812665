#include "session/hessian_meter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "io/native/content_hash.h"
#include "model/model.h"
#include "model/tensor_roles.h"

namespace tq {

HessianMeter::HessianMeter(const Checkpoint& source, HessianMeterOptions options)
    : source_(source), options_(std::move(options)) {
  const auto n_ids = static_cast<int64_t>(options_.text.ids.size());
  if (n_ids < options_.window) {
    fail(ErrorCode::kInvalidArgument,
         "a text of {} tokens says too little of a model's inputs: give one of {} at least", n_ids,
         options_.window);
  }
  for (const TensorEntry& tensor : source.tensors()) {
    if (tensor.dtype || layer_of(tensor.name) < 0) continue;
    const auto view = source.view(tensor);
    if (!view || !view->traits().has_scales) continue;
    fail(ErrorCode::kUnsupported,
         "{}: {} is compressed, so what it sees of its inputs is not known as --effort data needs "
         "it; convert the model that it was made from",
         source.path().string(), tensor.name);
  }
}

HessianMeter::~HessianMeter() = default;

void HessianMeter::announce(std::vector<std::string> tensors) {
  announced_ = std::move(tensors);
  users_.clear();
  if (model_ != nullptr) count_users();
}

void HessianMeter::count_users() {
  for (const std::string& tensor : announced_) {
    for (const size_t site : sites_of(tensor)) ++users_[site];
  }
}

void HessianMeter::load() {
  cpu_ = make_cpu_backend({.threads = options_.n_threads, .exact = true});
  watcher_ = std::make_unique<InputWatcher>(*cpu_, options_.n_threads);
  const int64_t length = options_.window + static_cast<int64_t>(options_.text.prefix.size());
  LoadOptions load;
  load.max_batch_tokens = load.max_logit_rows = load.max_context = length;
  load.max_sequences = 1;
  load.threads = options_.n_threads;
  load.placed = [this](const PlacedMatrix& placed) {
    matrices_[placed.tensor.name].push_back({placed.first_row, placed.weight.codes});
  };
  model_ = Model::load(source_, *watcher_, load);
  memory_bytes_ = options_.memory_bytes.value_or(available_host_memory() / 2);
  run(1, {});  // to see which matrices read the same
  count_users();
}

std::vector<HessianPart> HessianMeter::parts(const TensorEntry& tensor) {
  if (model_ == nullptr) load();
  const std::vector<size_t> sites = sites_of(tensor.name);
  if (sites.empty()) return {{0, tensor.n_rows(), nullptr}};
  const auto missing = [&](size_t site) { return watcher_->sites()[site].hessians.empty(); };
  if (std::any_of(sites.begin(), sites.end(), missing)) {
    const auto found = std::find(announced_.begin(), announced_.end(), tensor.name);
    if (found == announced_.end()) return {{0, tensor.n_rows(), nullptr}};
    collect(static_cast<size_t>(found - announced_.begin()));
  }
  std::vector<HessianPart> parts;
  for (const Matrix& matrix : matrices_.at(tensor.name)) {
    const InputWatcher::Place* place = watcher_->find(matrix.codes);
    std::shared_ptr<const Hessian> hessian;
    if (place != nullptr) {
      hessian = watcher_->sites()[place->site].hessians[static_cast<size_t>(place->index)];
      if (!is_usable(*hessian, tensor)) hessian = nullptr;
    }
    if (!parts.empty()) parts.back().row_end = matrix.first_row;
    if (parts.empty() || parts.back().hessian != hessian) {
      parts.push_back({matrix.first_row, tensor.n_rows(), std::move(hessian)});
    } else {
      parts.back().row_end = tensor.n_rows();
    }
  }
  for (const size_t site : sites) {
    if (--users_[site] == 0) watcher_->sites()[site].hessians.clear();
  }
  return parts;
}

bool HessianMeter::is_usable(const Hessian& hessian, const TensorEntry& tensor) {
  if (hessian.n_inputs == 0) return false;  // of an expert that no token went to
  double trace = 0;
  for (int64_t i = 0; i < hessian.in; ++i) {
    trace += hessian.values[static_cast<size_t>(i * (hessian.in + 1))];
  }
  if (std::isfinite(trace)) return true;
  if (!warned_) {
    warn("{}: its inputs are not finite on this text: it is rounded without it, as are others",
         tensor.name);
  }
  warned_ = true;
  return false;
}

Json HessianMeter::describe() const {
  const std::vector<int32_t>& ids = options_.text.ids;
  const auto* bytes = reinterpret_cast<const uint8_t*>(ids.data());
  ContentHash hash;
  hash.update({bytes, ids.size() * sizeof(int32_t)});
  return {{"tokens", ids.size()}, {"window", options_.window}, {"hash", hash.hex()}};
}

// Windows from the beginning of the text.
void HessianMeter::run(int64_t n_windows, const EvalProgress& progress) {
  const LoadOptions& load = model_->options();
  LogitReader reader(*model_, load.kv.format, load.max_context);
  std::vector<int32_t> ids;
  for (int64_t w = 0; w < n_windows; ++w) {
    if (options_.cancelled && options_.cancelled()) fail(ErrorCode::kCancelled, "stopped");
    ids = options_.text.prefix;
    const auto first = options_.text.ids.begin() + w * options_.window;
    ids.insert(ids.end(), first, first + options_.window);
    reader.restart();
    reader.next(ids, 1);
    if (progress) progress((w + 1) * options_.window, n_windows * options_.window);
  }
}

std::vector<size_t> HessianMeter::sites_of(const std::string& tensor) const {
  std::vector<size_t> sites;
  const auto matrices = matrices_.find(tensor);
  // Of the head too few inputs are known: it is run for few tokens only.
  if (matrices == matrices_.end() || layer_of(tensor) < 0) return sites;
  for (const Matrix& matrix : matrices->second) {
    const InputWatcher::Place* place = watcher_->find(matrix.codes);
    if (place != nullptr && std::find(sites.begin(), sites.end(), place->site) == sites.end()) {
      sites.push_back(place->site);
    }
  }
  return sites;
}

void HessianMeter::collect(size_t first) {
  std::vector<InputSite>& sites = watcher_->sites();
  for (InputSite& site : sites) site.hessians.clear();
  int64_t bytes = 0;
  for (size_t t = first; t < announced_.size(); ++t) {
    const std::vector<size_t> wanted = sites_of(announced_[t]);
    int64_t more = 0;
    for (const size_t s : wanted) {
      if (sites[s].hessians.empty()) more += sites[s].size_bytes();
    }
    if (t > first && bytes + more > memory_bytes_) break;
    bytes += more;
    for (const size_t s : wanted) {
      InputSite& site = sites[s];
      while (static_cast<int64_t>(site.hessians.size()) < site.n) {
        site.hessians.push_back(std::make_shared<Hessian>());
        site.hessians.back()->in = site.in;
        site.hessians.back()->values.resize(static_cast<size_t>(site.in * site.in));
      }
    }
  }
  run(static_cast<int64_t>(options_.text.ids.size()) / options_.window, options_.progress);
}

}  // namespace tq
