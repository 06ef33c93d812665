#include "io/file_kind.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "base/error.h"
#include "base/json.h"

namespace tq {
namespace {

constexpr size_t kLookedAt = 4096;
constexpr size_t kMaxMessage = 1024;  // bytes of a server's answer
constexpr size_t kShownText = 60;
constexpr const char* kFetchAgain = "fetch the file again, for instance with hf download";

struct Magic {
  std::string_view bytes;
  FileKind kind;
  size_t at = 0;
};

using namespace std::string_view_literals;  // NOLINT(google-build-using-namespace): NULs

constexpr auto kMagics = std::to_array<Magic>({
    {"GGUF"sv, FileKind::kGguf},
    {"version https://git-lfs.github.com/spec/"sv, FileKind::kLfsPointer},
    {"\x1f\x8b"sv, FileKind::kCompressed},
    {"\xfd"
     "7zXZ\0"sv,
     FileKind::kCompressed},
    {"\x28\xb5\x2f\xfd"sv, FileKind::kCompressed},
    {"BZh"sv, FileKind::kCompressed},
    {"7z\xbc\xaf\x27\x1c"sv, FileKind::kCompressed},
    {"ustar"sv, FileKind::kTar, 257},
    {"lmgg"sv, FileKind::kLegacyGgml},  // four letters in the byte order of the machine
    {"fmgg"sv, FileKind::kLegacyGgml},
    {"tjgg"sv, FileKind::kLegacyGgml},
    {"algg"sv, FileKind::kLegacyGgml},
    {"\x89HDF\r\n\x1a\n"sv, FileKind::kHdf5},
    {"\x93NUMPY"sv, FileKind::kNumpy},
    {"\x7f"
     "ELF"sv,
     FileKind::kProgram},
    {"MZ\x90\0"sv, FileKind::kProgram},
});

bool starts_with_ignoring_case(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::equal(lower_case.begin(), lower_case.end(), text.begin(), [](char l, char c) {
           return l == static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
         });
}

bool is_pickle(std::string_view bytes) {  // protocols 2 to 5
  return bytes.size() >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5;
}

bool is_safetensors(std::string_view bytes) {  // '{' after a length of eight bytes
  return bytes.size() > 8 && bytes[8] == '{' && bytes.substr(5, 3) == "\0\0\0"sv;
}

std::string_view skip_space(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\r' || c == '\t';
  });
}

// What begins as text: `text` without leading white space, of a file of `size` bytes.
FileKind text_kind(std::string_view text, size_t size) {
  for (const std::string_view begin : {"<!doctype html"sv, "<html"sv, "<?xml"sv}) {
    if (starts_with_ignoring_case(text, begin)) return FileKind::kWebPage;
  }
  const bool small = size <= kMaxMessage && is_printable(text);
  if (text.starts_with('{') || text.starts_with('[')) {
    if (text.find("application/vnd.ollama.image.model") != std::string_view::npos) {
      return FileKind::kOllamaManifest;
    }
    const std::string_view inside = skip_space(text.substr(1));
    const bool error = inside.starts_with("\"error\"") || inside.starts_with("\"errors\"");
    return small && error ? FileKind::kServerMessage : FileKind::kJson;
  }
  for (const std::string_view begin :
       {"entry not found"sv, "access to model"sv, "access denied"sv, "not found"sv,
        "invalid username or password"sv, "invalid credentials"sv, "repository not found"sv,
        "unauthorized"sv, "forbidden"sv, "too many requests"sv}) {
    if (small && starts_with_ignoring_case(text, begin)) return FileKind::kServerMessage;
  }
  return FileKind::kUnknown;
}

std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The start of a text as a JSON string: nothing in it reaches a terminal as it is.
std::string quoted_start(std::string_view text) {
  const std::string_view line = skip_space(text).substr(0, kShownText);
  return Json(line).dump(-1, ' ', true, Json::error_handler_t::replace);
}

// "27868174" of a pointer's "size 27868174".
std::string lfs_size(std::string_view text) {
  const size_t at = text.find("\nsize ");
  if (at == std::string_view::npos) return "?";
  const std::string_view rest = text.substr(at + 6);
  return std::string(rest.substr(
      0, std::min<size_t>(20, std::min(rest.size(), rest.find_first_not_of("0123456789")))));
}

// The file that an Ollama manifest names, beside the folder of manifests.
std::string ollama_blob(std::string_view text, const fs::path& path) {
  const size_t model = text.find("application/vnd.ollama.image.model");
  constexpr std::string_view kDigest = "\"sha256:";
  constexpr size_t kHexDigits = 64;
  const size_t at = text.find(kDigest, model);
  if (at == std::string_view::npos) return "the blob that it names";
  const std::string name = "sha256-" + std::string(text.substr(at + kDigest.size(), kHexDigits));
  if (!is_printable(name)) return "the blob that it names";
  std::error_code error;
  fs::path folder = fs::absolute(path, error).parent_path();
  while (folder.has_relative_path() && folder.filename() != "manifests") {
    folder = folder.parent_path();
  }
  return (folder.parent_path() / "blobs" / name).string();
}

// What a file of the kind is and what to do instead, or an empty text when the kind may be right.
struct Foreign {
  ErrorCode code;
  std::string text;
};

constexpr const char* kFromTorch =
    "loading it can run code, so it is not read; use the model's .safetensors files, or write them "
    "with transformers: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)";

Foreign describe(FileKind kind, std::string_view text, const fs::path& path) {
  switch (kind) {
    case FileKind::kEmpty:
      return {ErrorCode::kCorrupt,
              fmt::format("is empty: a download that failed or has not ended; {}", kFetchAgain)};
    case FileKind::kLfsPointer:
      return {ErrorCode::kCorrupt,
              fmt::format("is a Git LFS pointer: it stands for a file of {} bytes that was not "
                          "downloaded; run \"git lfs pull\" in the repository, or {}",
                          lfs_size(text), kFetchAgain)};
    case FileKind::kWebPage:
      return {ErrorCode::kCorrupt,
              fmt::format("is a web page (an error, a login or a /blob/ address was downloaded); "
                          "{}, or from its /resolve/ address",
                          kFetchAgain)};
    case FileKind::kServerMessage:
      return {ErrorCode::kCorrupt,
              fmt::format("is a server's answer, {}; log in if the model asks for it (hf auth "
                          "login), then {}",
                          quoted_start(text), kFetchAgain)};
    case FileKind::kOllamaManifest:
      return {ErrorCode::kUnsupported,
              fmt::format("is a manifest of Ollama; its model is {}", ollama_blob(text, path))};
    case FileKind::kTorch:
      return {ErrorCode::kUnsupported,
              fmt::format("is a PyTorch file (a pickle in a zip): {}", kFromTorch)};
    case FileKind::kPickle:
      return {ErrorCode::kUnsupported, fmt::format("is a Python pickle: {}", kFromTorch)};
    case FileKind::kZip:
      return {ErrorCode::kUnsupported, "is a zip archive; unpack it and name what was in it"};
    case FileKind::kCompressed:
      return {ErrorCode::kUnsupported,
              "is compressed as a whole (gzip, xz, zstd, bzip2 or 7z); decompress it first"};
    case FileKind::kTar:
      return {ErrorCode::kUnsupported, "is a tar archive; unpack it and name what was in it"};
    case FileKind::kLegacyGgml:
      return {ErrorCode::kUnsupported,
              "is of a format that llama.cpp left in 2023 (ggml, ggmf, ggjt, ggla); get the model "
              "as GGUF or safetensors"};
    case FileKind::kHdf5:
      return {ErrorCode::kUnsupported,
              "is an HDF5 file (Keras, TensorFlow); use the model's safetensors"};
    case FileKind::kNumpy:
      return {ErrorCode::kUnsupported, "is a NumPy array; use the model's safetensors"};
    default:
      return {ErrorCode::kCorrupt, ""};
  }
}

void refuse(FileKind kind, std::string_view text, const fs::path& path) {
  const Foreign foreign = describe(kind, text, path);
  if (!foreign.text.empty()) fail(foreign.code, "{}: {}", path.string(), foreign.text);
}

}  // namespace

FileKind file_kind(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return FileKind::kEmpty;
  const std::string_view start = as_text(bytes.first(std::min(bytes.size(), kLookedAt)));
  // First: its length may begin with any bytes.
  if (is_safetensors(start)) return FileKind::kSafetensors;
  for (const Magic& magic : kMagics) {
    if (start.size() >= magic.at && start.substr(magic.at).starts_with(magic.bytes)) {
      return magic.kind;
    }
  }
  if (start.starts_with("PK\x03\x04")) {
    return start.find("data.pkl") != std::string_view::npos ? FileKind::kTorch : FileKind::kZip;
  }
  if (is_pickle(start)) return FileKind::kPickle;
  return text_kind(skip_space(start), bytes.size());
}

void refuse_foreign_weights(std::span<const uint8_t> bytes, const fs::path& path) {
  const FileKind kind = file_kind(bytes);
  const std::string_view text = as_text(bytes.first(std::min(bytes.size(), kLookedAt)));
  refuse(kind, text, path);
  if (kind == FileKind::kJson) {
    fail(ErrorCode::kInvalidArgument,
         "{}: is a JSON file, not weights; a checkpoint is named by its folder: {}", path.string(),
         path.has_parent_path() ? path.parent_path().string() : ".");
  }
}

void refuse_foreign_text(std::string_view text, const fs::path& path) {
  const FileKind kind = file_kind({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  const bool json = path.extension() == ".json";
  if (kind == FileKind::kEmpty && !json) return;  // an empty template is one
  // A licence or a template may well be HTML.
  const bool binary = path.extension() == ".model";
  if (kind == FileKind::kWebPage && !json && !binary) return;
  refuse(kind, text.substr(0, kLookedAt), path);
}

std::string read_checkpoint_text(const fs::path& path, int64_t max_bytes) {
  std::string text = read_text_file(path, max_bytes);
  refuse_foreign_text(text, path);
  return text;
}

}  // namespace tq
