#include "io/path_hint.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/env.h"
#include "base/nearest.h"

namespace tq {
namespace {

constexpr size_t kMaxNames = 1000;

// Sorted; what cannot be read is empty.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (found.size() == kMaxNames) break;
    found.push_back(at->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<fs::path> find_below(const fs::path& folder, int depth) {
  std::error_code error;
  const std::vector<fs::path> inside = entries(folder);
  for (const fs::path& path : inside) {
    const fs::path extension = path.extension();
    if (extension == ".safetensors") return folder;
    if (extension == ".gguf" && fs::exists(path, error)) return path;
  }
  for (const fs::path& path : inside) {
    if (depth == 0 || !fs::is_directory(path, error)) continue;
    if (auto found = find_below(path, depth - 1)) return found;
  }
  return std::nullopt;
}

// "org/name", as on the hub; also with the beginnings of addresses.
std::optional<std::string> hub_name(std::string text) {
  for (const char* start :
       {"https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/", "hf://"}) {
    if (text.starts_with(start)) {
      text.erase(0, std::string_view(start).size());
      break;
    }
  }
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part.front() != '.' && part.front() != '-' &&
           std::all_of(part.begin(), part.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '-' || c == '_';
           });
  };
  text = text.substr(0, text.find(':'));  // of "org/name:Q4_K_M"
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const std::string_view view = text;
  if (!is_part(view.substr(0, slash)) || !is_part(view.substr(slash + 1))) return std::nullopt;
  return text;
}

// A model of that name in the cache of the hub's own tools.
std::optional<fs::path> in_hub_cache(std::string name) {
  const fs::path home = env_or("HOME", "");
  const fs::path hf = env_or("HF_HOME", (home / ".cache/huggingface").string());
  const fs::path cache = env_or("HF_HUB_CACHE", (hf / "hub").string());
  name.replace(name.find('/'), 1, "--");
  return find_below(cache / ("models--" + name) / "snapshots", 1);
}

std::string hub_hint(const std::string& name) {
  if (const auto cached = in_hub_cache(name)) {
    return fmt::format("; that name is in the cache of the Hugging Face hub: give {}",
                       cached->string());
  }
  const std::string folder = name.substr(name.find('/') + 1);
  return fmt::format(
      "; if it is a name on the Hugging Face hub, fetch it first (tq never uses the network): "
      "hf download {} --local-dir {}, then give {}",
      name, folder, folder);
}

}  // namespace

std::string missing_path_hint(const fs::path& path) {
  const std::string text = path.string();
  if (text.empty()) return "; the path is empty";
  if (std::string near = sibling_hint(path); !near.empty()) return near;
  std::error_code error;
  if (const auto name = hub_name(text)) {
    // A folder of that name is there: then the second part is a wrong name in it.
    if (!fs::is_directory(path.parent_path(), error)) return hub_hint(*name);
  }
  if (text.find("://") != std::string::npos) {
    return "; tq never uses the network: download the file and give its path";
  }
  if (text.find('/') == std::string::npos && text.find(':') != std::string::npos) {
    return "; tq keeps no models by name as Ollama does: give the path of a folder or file";
  }
  return "";
}

}  // namespace tq
