// Names of models on a Hugging Face hub, as they are typed where a path may stand: "org/name",
// "org/name:Q4_K_M", "org/name:v1.0", "https://huggingface.co/org/name". Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tq {

// What stands behind the colons of a name, in any order.
struct HubName {
  std::string repository;    // "org/name"
  std::string revision;      // branch, tag or commit; empty: main
  std::string quantization;  // of GGUF files, in upper case: "Q4_K_M"; empty: the default
  std::string file;          // one .gguf file of the repository; empty: by quantization

  bool wants_gguf() const { return !quantization.empty() || !file.empty(); }
  std::string revision_or_main() const { return revision.empty() ? "main" : revision; }
  // As it would be typed.
  std::string text() const;
};

// Nothing for what cannot be a name on a hub. That a name can be one does not mean that the hub has
// it.
std::optional<HubName> parse_hub_name(std::string_view text);

// Whether the text has the form of a repository, "org/name".
bool is_repository_name(std::string_view text);

// Whether a text, in any case, has the form of a GGUF quantization: "Q4_K_M", "UD-IQ2_XXS", "BF16".
bool is_quantization(std::string_view text);

// The quantization that a GGUF file's path names, in upper case; empty where it names none.
// "Qwen3-8B-Q4_K_M.gguf" and "Q4_K_M/Qwen3-8B-00001-of-00002.gguf": "Q4_K_M".
std::string quantization_of(std::string_view path);

// Whether a text can be a branch, a tag or a commit: characters that git allows, of those that need
// no care in a path or an address.
bool is_revision(std::string_view text);

// Whether the text is `digits` digits of lower case hexadecimal.
bool is_hex(std::string_view text, size_t digits);

}  // namespace tq
