// JsonComponent: one "type"d object of a tokenizer.json (a normalizer, a decoder, ...), read so
// that nothing is ignored: a key of the wrong type is kCorrupt, a key nobody asked for is
// kUnsupported. A view of the Json it was made from. Not thread safe.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tq {

class JsonComponent {
 public:
  // where: what the messages call it, e.g. "tokenizer.json: decoder".
  JsonComponent(const Json& json, std::string where);

  const std::string& type() const { return type_; }
  bool flag(const char* key, bool fallback);
  int64_t integer(const char* key, int64_t fallback);
  std::string text(const char* key);  // required
  std::string text(const char* key, const std::string& fallback);
  const Json& value(const char* key);                                    // required, of any type
  const Json& array(const char* key);                                    // required
  void ignore(std::string_view key) { read_.insert(std::string(key)); }  // no influence on us

  // Throws kUnsupported when a key is left that was not read.
  void finish() const;
  [[noreturn]] void unsupported(std::string_view what) const;
  [[noreturn]] void corrupt(std::string_view what) const;

 private:
  const Json* find(const char* key);

  const Json* json_;
  std::string where_;
  std::string type_;
  std::set<std::string> read_;
};

// The components of a section that may be null, one, or a (nested) Sequence of them listed under
// `list_key`, in order.
std::vector<JsonComponent> flatten_components(const Json& section, const char* list_key,
                                              const std::string& where);

}  // namespace tq
