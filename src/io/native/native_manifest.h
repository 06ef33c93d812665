// tq_config.json of a native checkpoint: what every compressed tensor is. Plain data with a strict
// reader (kCorrupt / kUnsupported, naming the key) and a writer; the schema is in docs/formats.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/native/native_files.h"
#include "tensor/dtype.h"

namespace tq {

constexpr int kNativeVersion = 1;
constexpr const char* kNativeConfigName = "tq_config.json";
constexpr int64_t kMaxManifestBytes = int64_t{256} << 20;
constexpr const char* kPackedSuffix = ".tq_packed";  // u8 [rows, code_row_bytes]
constexpr const char* kScalesSuffix = ".tq_scales";  // f16 [rows, groups]

struct NativeTensor {
  std::string name;    // logical tensor name, without the suffixes
  std::string format;  // storage format by name: "tq3"
  Shape shape;         // logical: [rows, in] or [experts, rows, in]
  int group = 0;
  int64_t in_padded = 0;
};

// Whether the hashes, which are most of the text, are wanted.
enum class ManifestHashes { kSkip, kRead };

struct NativeManifest {
  int version = kNativeVersion;
  uint32_t seed = 42;  // of the rotation signs; other values are refused
  // What lies in the files where it is not ours: a layout of integers ("awq"), whose tensors are
  // not described here. Empty: ours.
  std::string layout;
  Json encoder;  // effort, beta: for the record
  Json source;   // path, kind, bytes, identity of the source: for the record
  Json report;   // per class: tensors, bytes, bits per weight, relMSE
  Json hashes;   // stored tensor name -> XXH3-128 of its bytes, 32 hex digits; tq verify
  std::optional<NativeFiles> files;  // nothing in checkpoints of older versions; tq verify
  std::string tool_version;
  std::vector<NativeTensor> tensors;

  // Takes time and memory in proportion to the text; no copy is made
  // of one with 64 bytes of capacity to spare, as files are read. Without kRead `hashes` stays
  // null.
  static NativeManifest parse(const std::string& text, const std::string& name,
                              ManifestHashes hashes = ManifestHashes::kSkip);
  Json to_json() const;
};

// Whether a text is a JSON object with "version" and "tensors"; false also for what is no JSON.
bool is_native_manifest(const std::string& text);

}  // namespace tq
