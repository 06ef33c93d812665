#include "cli/kernel_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "cli/table.h"

namespace tq {
namespace {

// The kernels of one operator, format and group.
using Choices = std::span<const CudaKernel>;

std::vector<Choices> split(std::span<const CudaKernel> kernels) {
  std::vector<Choices> parts;
  while (!kernels.empty()) {
    const CudaKernel& first = kernels.front();
    const auto end = std::find_if(kernels.begin(), kernels.end(), [&](const CudaKernel& kernel) {
      return kernel.op != first.op || kernel.format != first.format || kernel.group != first.group;
    });
    const auto n = static_cast<size_t>(end - kernels.begin());
    parts.push_back(kernels.first(n));
    kernels = kernels.subspan(n);
  }
  return parts;
}

bool same_choices(Choices a, Choices b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const CudaKernel& x, const CudaKernel& y) {
                      return x.op == y.op && x.tier == y.tier && x.name == y.name &&
                             x.limits == y.limits && x.from == y.from && x.to == y.to;
                    });
}

std::string tokens_text(const CudaKernel& kernel) {
  if (kernel.to == 0) return "-";
  if (kernel.to < 0) return kernel.from <= 1 ? "any" : fmt::format("{} and more", kernel.from);
  if (kernel.from == kernel.to) return std::to_string(kernel.to);
  return fmt::format("{} to {}", kernel.from, kernel.to);
}

// What `of` says of each, without repetitions.
template <typename Of>
std::string list_of(const std::vector<Choices>& parts, Of of) {
  std::vector<std::string> names;
  for (const Choices& part : parts) {
    const std::string name = of(part.front());
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

}  // namespace

Json kernels_json(std::span<const CudaKernel> kernels) {
  Json list = Json::array();
  for (const Choices& part : split(kernels)) {
    Json choices = Json::array();
    for (const CudaKernel& kernel : part) {
      Json choice = {{"tier", kernel.tier}, {"kernel", kernel.name}, {"limits", kernel.limits}};
      choice["auto_from"] = kernel.to == 0 ? Json() : Json(kernel.from);
      choice["auto_to"] = kernel.to <= 0 ? Json() : Json(kernel.to);
      choices.push_back(choice);
    }
    list.push_back({{"op", part.front().op},
                    {"format", part.front().format},
                    {"group", part.front().group},
                    {"kernels", choices}});
  }
  return list;
}

std::string kernels_text(std::span<const CudaKernel> kernels) {
  Table table({{"operator", Table::Align::kLeft},
               {"formats", Table::Align::kLeft},
               {"groups", Table::Align::kLeft},
               {"kernel", Table::Align::kLeft},
               {"tier", Table::Align::kLeft},
               {"taken for tokens", Table::Align::kLeft},
               {"limits", Table::Align::kLeft}});
  std::vector<Choices> rest = split(kernels);
  while (!rest.empty()) {
    const Choices first = rest.front();
    const auto others = std::stable_partition(
        rest.begin(), rest.end(), [&](const Choices& part) { return same_choices(part, first); });
    const std::vector<Choices> alike(rest.begin(), others);
    rest.erase(rest.begin(), others);
    for (const CudaKernel& kernel : first) {
      const bool head = &kernel == &first.front();
      table.add_row(
          {head ? kernel.op : "",
           head ? list_of(alike, [](const CudaKernel& k) { return k.format; }) : "",
           head && kernel.group > 0
               ? list_of(alike, [](const CudaKernel& k) { return std::to_string(k.group); })
               : "",
           kernel.name, kernel.tier, tokens_text(kernel), kernel.limits});
    }
  }
  return table.text();
}

}  // namespace tq
