// What grammars cost: compiling a schema, and the mask of a token while JSON is written. Documents
// are cut into the tokens of a tokenizer as the model would write them.
// Times are those of the thread.
//   bench_grammar tokenizer.json        (of Gemma: 262,144 tokens)
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "grammar/matcher.h"
#include "text/tokenizer.h"

namespace {

// Of this thread's work, so that other programs do not count.
double microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}
double microseconds_since(double begin) { return microseconds() - begin; }

void print(const char* what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  double sum = 0;
  for (const double time : times) sum += time;
  fmt::print(
      "{:34} median {:9.1f}  mean {:9.1f}  p90 {:9.1f}  p99 {:9.1f}  most {:9.1f} us, n {}\n", what,
      at(0.5), sum / static_cast<double>(times.size()), at(0.9), at(0.99), at(1), times.size());
}

constexpr const char* kOrder = R"({"type":"object","properties":{
  "id":{"type":"string","format":"uuid"},
  "customer":{"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":80},
     "email":{"type":"string","format":"email"},"age":{"type":"integer","minimum":0,"maximum":150}},
     "required":["name","email"],"additionalProperties":false},
  "status":{"enum":["new","paid","sent","returned"]},
  "lines":{"type":"array","minItems":1,"maxItems":50,"items":{"$ref":"#/$defs/line"}},
  "notes":{"anyOf":[{"type":"string"},{"type":"null"}]},
  "tags":{"type":"array","items":{"type":"string"}}},
  "required":["id","customer","status","lines","notes"],"additionalProperties":false,
  "$defs":{"line":{"type":"object","properties":{"sku":{"type":"string","pattern":"^[A-Z]{3}-[0-9]{4}$"},
     "count":{"type":"integer","minimum":1},"price":{"type":"number","minimum":0}},
     "required":["sku","count","price"],"additionalProperties":false}}})";

constexpr const char* kOrderText =
    R"({"id": "123e4567-e89b-12d3-a456-426614174000", "customer": {"name": "Grace Hopper", "email": "grace@navy.example.com", "age": 79}, "status": "paid", "lines": [{"sku": "ABC-1234", "count": 3, "price": 12.5}, {"sku": "XYZ-0001", "count": 1, "price": 1999}], "notes": "Please deliver to the back door, and ring the bell twice; the dog is friendly.", "tags": ["urgent", "vip customer"]})";

constexpr const char* kTree =
    R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{
  "name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},
  "required":["name","children"]}}})";
constexpr const char* kTreeText =
    R"({"name": "root", "children": [{"name": "left side", "children": []}, {"name": "right", "children": [{"name": "leaf one", "children": []}, {"name": "leaf two", "children": [{"name": "the very last of them", "children": []}]}]}]})";

// Masks and steps for every token of the text; the grammar is new each round, or kept.
void run(const char* what, const tq::Json* schema, const std::string& text,
         const tq::Tokenizer& tokenizer, const std::shared_ptr<const tq::Vocabulary>& vocabulary) {
  const std::vector<int32_t> ids = tokenizer.encode(text, {.add_special = false});
  std::vector<uint32_t> bits(vocabulary->n_words());
  std::vector<double> compile, first, later;
  for (int round = 0; round < 10; ++round) {
    auto begin = microseconds();
    const tq::GrammarPtr grammar =
        schema != nullptr ? tq::compile_json_schema(*schema) : tq::compile_json_object();
    compile.push_back(microseconds_since(begin));
    const auto tokens = std::make_shared<tq::TokenGrammar>(grammar, vocabulary);
    for (int answer = 0; answer < 2; ++answer) {
      tq::GrammarMatcher matcher(tokens);
      for (const int32_t id : ids) {
        begin = microseconds();
        matcher.fill_mask(bits);
        const bool ok = matcher.accept(id);
        (answer == 0 ? first : later).push_back(microseconds_since(begin));
        if (!ok) {
          fmt::print(stderr, "{}: token {} ({}) is refused\n", what, id, tokenizer.token_bytes(id));
          return;
        }
      }
      if (!matcher.is_complete()) fmt::print(stderr, "{}: not complete\n", what);
    }
  }
  fmt::print("{}: {} tokens\n", what, ids.size());
  print("  compile", compile);
  print("  a token, new grammar", first);
  print("  a token, grammar used before", later);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "bench_grammar tokenizer.json\n");
    return 2;
  }
  const auto tokenizer = tq::Tokenizer::from_json(tq::read_text_file(argv[1]));
  const auto begin = microseconds();
  const auto vocabulary = std::make_shared<const tq::Vocabulary>(*tokenizer);
  fmt::print("vocabulary of {} tokens, {} nodes, {} long: {:.0f} ms\n", vocabulary->size(),
             vocabulary->nodes().size(), vocabulary->long_places().size(),
             microseconds_since(begin) / 1000);
  const tq::Json order = tq::parse_json(kOrder, "order");
  const tq::Json tree = tq::parse_json(kTree, "tree");
  run("order", &order, kOrderText, *tokenizer, vocabulary);
  run("tree", &tree, kTreeText, *tokenizer, vocabulary);
  run("any object", nullptr, kOrderText, *tokenizer, vocabulary);
  return 0;
}
