// Schemas that must hold together ("allOf", what stands beside "$ref" or "anyOf") as one schema.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace tq {

class SchemaMerger {
 public:
  explicit SchemaMerger(const Json& root) : root_(root) {}

  // The schema that allows what both allow, without "$ref" and "allOf" at its top. `where` (a JSON
  // pointer) is for messages. Throws kUnsupported for keywords that cannot be merged, and for
  // schemas that are merged without end.
  Json merged(const Json& a, const Json& b, const std::string& where);
  // A schema without "$ref" and "allOf" at its top.
  Json flat(const Json& schema, const std::string& where);

  // What a "$ref" names. Throws kInvalidArgument when there is no such place in the schema, and
  // kUnsupported for one outside of it.
  const Json& target(const Json& reference, const std::string& where) const;

 private:
  Json merge_flat(Json a, const Json& b, const std::string& where);
  void merge_keyword(Json& a, const std::string& key, const Json& value, const std::string& where);
  void merge_properties(Json& a, const Json& b, const std::string& where);
  void merge_items(Json& a, const Json& b, const std::string& where);
  bool is_same(const Json& a, const Json& b, const std::string& where);
  void spend(const std::string& where);
  // For values that were compared (same_json).
  void spend_comparisons(int64_t n_seen, const std::string& where);

  const Json& root_;
  int depth_ = 0;
  int n_merges_ = 0;
  int64_t n_seen_ = 0;
};

// The items of a schema: those of places, then all others; parts of the schema.
struct SchemaItems {
  const Json* first;  // a list
  const Json* others;
  bool any = false;  // the schema says something of them
};
SchemaItems schema_items(const Json& schema);

// Its types: those of "type", or all.
std::vector<std::string> schema_types(const Json& schema, const std::string& where);

// Keywords that say nothing about what is allowed.
bool is_annotation(const std::string& keyword);

}  // namespace tq
