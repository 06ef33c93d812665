// tq devices: what this machine offers to compute on.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/devices.h"
#include "base/human.h"
#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/kernel_table.h"
#include "cli/result.h"
#include "cli/table.h"

namespace tq {
namespace {

// "Intel(R) Xeon(R) ..." of /proc/cpuinfo, or "CPU" where it does not say.
std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

int64_t memory_bytes() {
  const int64_t pages = sysconf(_SC_PHYS_PAGES);
  const int64_t page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0 ? pages * page_bytes : 0;
}

void run_devices(const GlobalOptions& global) {
  const auto backend = make_cpu_backend({});
  const std::string model = cpu_model();
  const int64_t memory = memory_bytes();
  const CudaDevices gpus = list_cuda_devices();
  if (global.json) {
    Json devices = Json::array({{{"name", backend->name()},
                                 {"model", model},
                                 {"cpus", available_cpus()},
                                 {"memory_bytes", memory},
                                 {"description", backend->description()}}});
    for (const CudaDevice& gpu : gpus.devices) {
      devices.push_back({{"name", fmt::format("cuda:{}", gpu.index)},
                         {"model", gpu.name},
                         {"compute_capability", fmt::format("{}.{}", gpu.major, gpu.minor)},
                         {"memory_bytes", gpu.memory_bytes}});
    }
    Json json = result_json("devices");
    json.update({{"devices", devices}, {"no_cuda", gpus.problem}});
    print_json(json);
    return;
  }
  Table table({{"device", Table::Align::kLeft},
               {"model", Table::Align::kLeft},
               {"CPUs"},
               {"memory"},
               {"kernels", Table::Align::kLeft}});
  table.add_row({std::string(backend->name()), model, std::to_string(available_cpus()),
                 human_bytes(static_cast<double>(memory)), backend->description()});
  for (const CudaDevice& gpu : gpus.devices) {
    table.add_row({fmt::format("cuda:{}", gpu.index), gpu.name, "",
                   human_bytes(static_cast<double>(gpu.memory_bytes)),
                   fmt::format("compute capability {}.{}; fused, dequant, reference (--kernels)",
                               gpu.major, gpu.minor)});
  }
  print_text(table.text());
  if (!gpus.problem.empty()) print_text(fmt::format("no GPU: {}\n", gpus.problem));
}

void run_kernels(const GlobalOptions& global) {
  const CudaKernels list = list_cuda_kernels();
  if (global.json) {
    Json json = result_json("devices");
    json.update({{"kernels", kernels_json(list.kernels)}, {"no_cuda", list.problem}});
    return print_json(json);
  }
  if (!list.problem.empty()) return print_text(fmt::format("no GPU kernels: {}\n", list.problem));
  print_text(kernels_text(list.kernels));
  print_text(
      "Kernels are tried from top to bottom; --kernels TIER takes the first of a tier. Tokens are "
      "those of a\nmatrix (of an expert on average), for matrices that are large.\n");
}

}  // namespace

void add_devices(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("devices", "List what this machine can compute on");
  auto kernels = std::make_shared<bool>(false);
  command->add_flag("--kernels", *kernels,
                    "List the GPU kernels of this build: for every operator and format those that "
                    "are tried, in order");
  add_examples(*command, {"tq devices", "tq devices --kernels"});
  command->callback([&global, kernels] { *kernels ? run_kernels(global) : run_devices(global); });
}

}  // namespace tq
