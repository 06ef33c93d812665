// What lies in a checkpoint's folder: file names, the small text files of Hugging Face,
// config.json. Stateless, thread safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace tq {

// Names of the regular files (links to them too), sorted. Throws kIo.
std::vector<std::string> list_files(const fs::path& folder);

// The tokenizer, template and generation files that are there, of those Hugging Face tools know.
std::vector<std::string> list_text_files(const fs::path& folder);

// One of them; nothing when the name is not on the list or there is no such file. Throws kNotFound
// for a dangling link, kCorrupt beyond 256 MB, and for what is no such file (io/file_kind.h).
std::optional<std::string> read_small_file(const fs::path& folder, std::string_view name);

// Throws kInvalidArgument when a small file is a link that leads out of the checkpoint's folder,
// but for the blobs of the hub cache's repository that holds the folder: a copy of the checkpoint
// would take along what was never part of it.
void refuse_outside_link(const fs::path& folder, const std::string& name);

// config.json, an empty object when there is none. Throws kCorrupt for anything but a JSON object.
Json read_model_config(const fs::path& folder);

// Removes fields from a config.json: OpenOptions::ignore_config. With its name says so, and warns
// of those that are not there.
void ignore_fields(Json& config, const std::vector<std::string>& fields,
                   const std::string& name = "");

// quantization_config of a config.json (the top one or a nested one), null when there is none.
const Json* quantization_config(const Json& config);

// A string member of a JSON object, with nothing in it that a terminal might obey; empty if there
// is none.
std::string name_to_show(const Json& json, const char* key);

// Throws kUnsupported when the config says that the weights are quantised in a way that reading
// them as plain numbers would get wrong (gptq, awq, fp8, ...), naming it.
void refuse_foreign_quantization(const Json& config, const std::string& name);

}  // namespace tq
