// What a folder that holds no checkpoint may be instead, and what to name: the model's folder
// inside a cache, one of several models, files that are not read. Stateless, thread safe.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace tq {

// Throws kNotFound, kInvalidArgument or kUnsupported: why nothing in the folder can be opened.
// `names` are its files (list_files); `accepted` says what would be.
[[noreturn]] void refuse_folder(const fs::path& folder, const std::vector<std::string>& names,
                                const std::string& accepted);

// The GGUF file to open among those of a folder: the only one beside projectors ("mmproj..."). With
// several that are the parts of one model the first; kNotFound if some are missing,
// kInvalidArgument for several models.
fs::path choose_gguf(const fs::path& folder, const std::vector<std::string>& ggufs);

// "one of 4 parts of a split model, which must ..." for a part of a split GGUF with another name.
std::string split_gguf_text(const fs::path& part, int64_t n_parts);

// Why the tensors of an adapter's folder are no model and what to do: names the base model that
// adapter_config.json names. Empty when the folder has a model of its own or no adapter.
std::string adapter_text(const fs::path& folder, const std::vector<std::string>& names);

}  // namespace tq
