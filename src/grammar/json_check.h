// SchemaCheck: whether a schema allows a value that is there: for enum and const beside other
// keywords, however such a value is written.
#pragma once

#include <map>
#include <string>

#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/json_merge.h"

namespace tq {

class SchemaCheck {
 public:
  // The merger finds what "$ref" names.
  explicit SchemaCheck(const SchemaMerger& merger) : merger_(merger) {}

  // "format" says nothing here, as the standard has it, and "oneOf" is as "anyOf". `where` (a JSON
  // pointer) is for messages. Throws kInvalidArgument for what is no schema, kUnsupported for
  // keywords that are not known and for schemas that name each other without end.
  bool allows(const Json& schema, const Json& value, const std::string& where);

 private:
  bool allows_keyword(const Json& schema, const std::string& key, const Json& value,
                      const std::string& where);
  bool allows_any(const Json& list, const Json& value, const std::string& where, bool all);
  bool allows_number(const std::string& key, const Json& limit, const Json& value);
  bool allows_text(const std::string& key, const Json& limit, const std::string& text);
  bool allows_members(const Json& schema, const std::string& key, const Json& value,
                      const std::string& where);
  bool allows_items(const Json& schema, const std::string& key, const Json& value,
                    const std::string& where);
  bool is_same(const Json& a, const Json& b, const std::string& where);
  void spend(const std::string& where, int64_t steps = 1);

  const SchemaMerger& merger_;
  std::map<std::string, GrammarPtr> patterns_;
  int depth_ = 0;
  int64_t n_steps_ = 0;
};

}  // namespace tq
