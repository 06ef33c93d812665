// What a file is by its first bytes, whatever its name says. Downloads fail in a few usual ways
// (pointers of Git LFS, error pages, broken cache links); each is told with what to do about it.
// Pure functions but for those that take a path; thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"

namespace tq {

enum class FileKind : uint8_t {
  kUnknown,  // nothing that is known: the reader of its format says more
  kGguf,
  kSafetensors,
  kJson,
  kEmpty,
  kLfsPointer,      // of Git LFS: stands for a file that was not downloaded
  kWebPage,         // HTML or XML: an error or a login page
  kServerMessage,   // a server's short answer, as text or JSON: "Entry not found"
  kOllamaManifest,  // names the blob that is the model
  kTorch,           // torch.save: a pickle in a zip file
  kPickle,
  kZip,
  kCompressed,  // gzip, xz, zstd, bzip2, 7z
  kTar,
  kLegacyGgml,  // before GGUF
  kHdf5,
  kNumpy,
  kProgram,  // ELF, PE
};

// Looks at the start of the bytes; giving the whole file is fine.
FileKind file_kind(std::span<const uint8_t> bytes);

// Throws, naming the file, what it is and what to do, when the content is of a kind that is never
// right for weights. What is left may be a safetensors or GGUF file or be damaged.
void refuse_foreign_weights(std::span<const uint8_t> bytes, const fs::path& path);

// The same for a small file of a checkpoint (config, tokenizer, template). A JSON file that is
// empty is refused too.
void refuse_foreign_text(std::string_view text, const fs::path& path);

// A whole small file of a checkpoint that passes refuse_foreign_text. Throws also what
// read_text_file does.
std::string read_checkpoint_text(const fs::path& path, int64_t max_bytes);

}  // namespace tq
