// tq list and tq rm: what the cache of Hugging Face's tools holds, and removing some of it.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <string>

#include "base/human.h"
#include "cli/command.h"
#include "cli/hub_models.h"
#include "cli/result.h"
#include "cli/table.h"
#include "hub/cache_contents.h"
#include "hub/environment.h"
#include "hub/listing.h"

namespace tq {
namespace {

std::string cache_size_text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

std::string list_text(const std::vector<CachedRepository>& repositories, const fs::path& cache) {
  Table table({{"model", Table::Align::kLeft},
               {"size"},
               {"fetched", Table::Align::kLeft},
               {"commit", Table::Align::kLeft},
               {"", Table::Align::kLeft}});
  int64_t total = 0;
  for (const CachedRepository& repository : repositories) {
    total += repository.bytes;
    for (const CachedEntry& entry : repository.entries) {
      table.add_row({printable(entry.name), cache_size_text(entry.bytes),
                     fmt::format("{:%Y-%m-%d}", fmt::localtime(std::time_t{entry.fetched_time})),
                     entry.commit.substr(0, 8), printable(entry.missing)});
    }
    if (repository.unfinished_bytes > 0 || repository.entries.empty()) {
      table.add_row({repository.repository, cache_size_text(repository.unfinished_bytes), "", "",
                     "not all fetched yet: tq pull goes on"});
    }
  }
  if (repositories.empty()) return fmt::format("no models in {}\n", cache.string());
  return table.text() + fmt::format("\n{} in {}\n", cache_size_text(total), cache.string());
}

void run_list(const GlobalOptions& global) {
  const fs::path cache = hub_cache_folder();
  const std::vector<CachedRepository> repositories = list_cache(cache);
  if (!global.json) return print_text(list_text(repositories, cache));
  Json models = Json::array();
  Json unfinished = Json::array();
  for (const CachedRepository& repository : repositories) {
    for (const CachedEntry& entry : repository.entries) {
      models.push_back({{"model", entry.name},
                        {"repository", repository.repository},
                        {"commit", entry.commit},
                        {"path", entry.path.string()},
                        {"bytes", entry.bytes},
                        {"fetched", entry.fetched_time},
                        {"missing", entry.missing}});
    }
    if (repository.unfinished_bytes == 0) continue;
    unfinished.push_back(
        {{"repository", repository.repository}, {"bytes", repository.unfinished_bytes}});
  }
  Json json = result_json("list");
  json.update({{"cache", cache.string()},
               {"models", std::move(models)},
               {"unfinished", std::move(unfinished)}});
  print_json(json);
}

struct RemoveCommand {
  std::string model;
  bool dry_run = false;
};

void run_remove(const RemoveCommand& command, const GlobalOptions& global) {
  const HubName name = read_hub_name(command.model);
  const Removal removal = remove_cached(hub_cache_folder(), name, command.dry_run);
  if (global.json) {
    Json json = result_json("rm");
    json.update(
        {{"removed", removal.what}, {"bytes", removal.bytes}, {"dry_run", command.dry_run}});
    print_json(json);
    return;
  }
  if (removal.only_name) {
    print_text(fmt::format("{}: the name {}; other branches or tags have the same commit\n",
                           name.text(), command.dry_run ? "would be removed" : "removed"));
    return;
  }
  print_text(fmt::format("{}: {} {}\n", name.text(), cache_size_text(removal.bytes),
                         command.dry_run ? "would be removed" : "removed"));
}

}  // namespace

void add_list(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("list", "List the models in the cache of Hugging Face's tools");
  add_examples(*command, {"tq list", "tq list --json"});
  command->callback([&global] { run_list(global); });
}

void add_rm(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("rm", "Remove a model from the cache of Hugging Face's tools");
  auto options = std::make_shared<RemoveCommand>();
  command
      ->add_option("MODEL", options->model,
                   "ORG/NAME for all of the repository, or with :REVISION, :Q4_K_M or :FILE.gguf "
                   "behind it for that only")
      ->required();
  command->add_flag("-n,--dry-run", options->dry_run, "Only say how much that would free");
  add_examples(*command, {"tq rm unsloth/Qwen3-8B-GGUF:Q4_K_M", "tq rm Qwen/Qwen3-0.6B --dry-run"});
  command->callback([options, &global] { run_remove(*options, global); });
}

}  // namespace tq
