#include "io/path_hint.h"

#include "base/nearest.h"

namespace tq {

std::string missing_path_hint(const fs::path& path) {
  const std::string text = path.string();
  if (text.empty()) return "; the path is empty";
  if (std::string near = sibling_hint(path); !near.empty()) return near;
  if (text.find("://") != std::string::npos) {
    return "; of addresses only those of repositories are known, "
           "https://huggingface.co/ORG/NAME: download the file and give its path";
  }
  if (text.find('/') == std::string::npos && text.find(':') != std::string::npos) {
    return "; models are named as on the Hugging Face hub, ORG/NAME or ORG/NAME:Q4_K_M, and not "
           "as Ollama does";
  }
  return "";
}

}  // namespace tq
