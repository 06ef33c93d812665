#include "eval/task_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/ascii.h"
#include "base/error.h"
#include "base/file.h"
#include "eval/check.h"
#include "eval/language.h"

namespace tq {
namespace {

constexpr int64_t kMostFileBytes = int64_t{1} << 31;
constexpr int64_t kMostChoices = 1000;

// One line of a file.
class Line {
 public:
  Line(const Json& json, const std::string& where) : json_(json), where_(where) {}

  bool has(const char* name) const { return json_.contains(name); }
  bool has_all(std::initializer_list<const char*> names) const {
    return std::all_of(names.begin(), names.end(), [&](const char* name) { return has(name); });
  }
  const Json& at(const char* name) const { return json_[name]; }
  std::string text(const char* name) const {
    const Json value = json_.value(name, Json());
    if (!value.is_string()) wrong(name, "a text");
    return value.get<std::string>();
  }
  std::vector<std::string> texts(const char* name, const Json& value) const {
    std::vector<std::string> out;
    if (value.is_array()) {
      for (const Json& item : value) {
        if (item.is_string()) out.push_back(item.get<std::string>());
      }
    }
    if (out.empty() || out.size() != value.size()) wrong(name, "a list of texts");
    return out;
  }
  // A place in a list of n, as a number or its digits, counted from `first`.
  size_t place(const char* name, size_t n, int64_t first = 0) const {
    Json value = json_.value(name, Json());
    if (value.is_string()) {
      const std::string text = value.get<std::string>();
      const bool is_number = !text.empty() && text.size() < 5 &&
                             text.find_first_not_of("0123456789") == std::string::npos;
      value = is_number ? Json(std::stoi(text)) : Json();
    }
    const auto at = json_integer(value, first, first + static_cast<int64_t>(n) - 1);
    if (!at)
      wrong(name,
            fmt::format("a number from {} to {}", first, first + static_cast<int64_t>(n) - 1));
    return static_cast<size_t>(*at - first);
  }
  [[noreturn]] void wrong(const char* name, const std::string& wanted) const {
    fail(ErrorCode::kCorrupt, "{}: \"{}\" must be {}, not {}", where_, name, wanted,
         json_for_message(json_.value(name, Json())));
  }
  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  const std::string& where_;
};

TaskItem choose(std::string context, std::vector<std::string> choices, size_t right) {
  return {.id = {},
          .choices = std::move(choices),
          .contexts = {std::move(context)},
          .right = right,
          .answers = {}};
}

// A space between context and continuation, unless there is white space already.
std::vector<std::string> spaced(const std::string& context, std::vector<std::string> choices) {
  const auto is_space = [](char c) { return kWhiteSpace.find(c) != std::string_view::npos; };
  for (std::string& choice : choices) {
    const bool has = (!context.empty() && is_space(context.back())) ||
                     (!choice.empty() && is_space(choice.front()));
    if (!has) choice.insert(0, " ");
  }
  return choices;
}

std::string question_prompt(const std::string& question) {
  return "Question: " + question + "\nAnswer:";
}

// {"prompt", "choices", "answer"} with the place of the right one, or its text;
// {"prompt", "answer": "..."} or {"prompt", "answers": [...]} to be generated.
TaskItem read_own(const Line& line) {
  const std::string prompt = line.text("prompt");
  if (!line.has("choices")) {
    TaskItem item = choose(prompt, {}, 0);
    item.answers = line.has("answers") ? line.texts("answers", line.at("answers"))
                                       : std::vector<std::string>{line.text("answer")};
    return item;
  }
  const std::vector<std::string> choices = line.texts("choices", line.at("choices"));
  const Json answer = line.has("answer") ? line.at("answer") : Json();
  if (answer.is_string()) {
    const auto found = std::find(choices.begin(), choices.end(), answer.get<std::string>());
    if (found == choices.end()) line.wrong("answer", "one of the choices or its place");
    return choose(prompt, spaced(prompt, choices), static_cast<size_t>(found - choices.begin()));
  }
  return choose(prompt, spaced(prompt, choices), line.place("answer", choices.size()));
}

// ARC, OpenBookQA, CommonsenseQA: {"question" or "question_stem", "choices": {"text", "label"},
// "answerKey"}.
TaskItem read_labelled(const Line& line) {
  const Json& choices = line.at("choices");
  if (!choices.is_object()) line.wrong("choices", "an object with \"text\" and \"label\"");
  const auto texts = line.texts("choices", choices.value("text", Json()));
  const auto labels = line.texts("choices", choices.value("label", Json()));
  const std::string key = line.text("answerKey");
  const auto found = std::find(labels.begin(), labels.end(), key);
  if (labels.size() != texts.size() || found == labels.end()) line.wrong("answerKey", "a label");
  const auto right = static_cast<size_t>(found - labels.begin());
  if (line.has("question_stem")) {
    const std::string stem = line.text("question_stem");
    return choose(stem, spaced(stem, texts), right);
  }
  const std::string prompt = question_prompt(line.text("question"));
  return choose(prompt, spaced(prompt, texts), right);
}

// MMLU: {"question", "choices": [4 texts], "answer": 0 to 3 or "A" to "D"}; letters are scored.
TaskItem read_mmlu(const Line& line) {
  const auto texts = line.texts("choices", line.at("choices"));
  if (texts.size() > 26) line.wrong("choices", "26 texts at most");
  std::string prompt = std::string(trim(line.text("question")));
  std::vector<std::string> letters;
  for (size_t i = 0; i < texts.size(); ++i) {
    letters.emplace_back(1, static_cast<char>('A' + i));
    prompt += fmt::format("\n{}. {}", letters.back(), texts[i]);
  }
  prompt += "\nAnswer:";
  const Json& answer = line.at("answer");
  const auto letter = answer.is_string()
                          ? std::find(letters.begin(), letters.end(), answer.get<std::string>())
                          : letters.end();
  const size_t right = letter != letters.end() ? static_cast<size_t>(letter - letters.begin())
                                               : line.place("answer", texts.size());
  return choose(prompt, spaced(prompt, letters), right);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// WikiHow's marks go, as lm-evaluation-harness has it.
std::string clean_hellaswag(std::string text) {
  text = std::string(trim(text));
  replace_all(text, " [title]", ". ");
  for (size_t open = text.find('['); open != std::string::npos; open = text.find('[', open)) {
    const size_t close = text.find(']', open);
    if (close == std::string::npos) break;
    text.erase(open, close - open + 1);
  }
  replace_all(text, "  ", " ");
  return text;
}

// HellaSwag: {"ctx" or "ctx_a", "ctx_b", "activity_label", "endings", "label"}.
TaskItem read_hellaswag(const Line& line) {
  std::string context;
  if (line.has_all({"ctx_a", "ctx_b"})) {
    std::string b = line.text("ctx_b");
    if (!b.empty()) b[0] = upper_case(b.substr(0, 1))[0];
    context = line.text("ctx_a") + " " + b;
  } else {
    context = line.text("ctx");
  }
  if (line.has("activity_label")) context = line.text("activity_label") + ": " + context;
  context = clean_hellaswag(context);
  std::vector<std::string> endings;
  for (const std::string& ending : line.texts("endings", line.at("endings"))) {
    endings.push_back(clean_hellaswag(ending));
  }
  return choose(context, spaced(context, endings), line.place("label", endings.size()));
}

// PIQA: {"goal", "sol1", "sol2", "label"}.
TaskItem read_piqa(const Line& line) {
  const std::string prompt = question_prompt(line.text("goal"));
  return choose(prompt, spaced(prompt, {line.text("sol1"), line.text("sol2")}),
                line.place("label", 2));
}

// WinoGrande: {"sentence" with "_", "option1", "option2", "answer": "1" or "2"}: the rest of the
// sentence is scored behind each option.
TaskItem read_winogrande(const Line& line) {
  const std::string sentence = line.text("sentence");
  const size_t blank = sentence.find('_');
  if (blank == std::string::npos) line.wrong("sentence", "a text with \"_\"");
  const std::string rest = sentence.substr(blank + 1);
  const std::string before = sentence.substr(0, blank);
  return {.id = {},
          .choices = {rest, rest},
          .contexts = {before + line.text("option1"), before + line.text("option2")},
          .right = line.place("answer", 2, 1),
          .answers = {}};
}

// BoolQ: {"question", "passage", "answer": true or false (or "label": 1 or 0)}.
TaskItem read_boolq(const Line& line) {
  const std::string prompt =
      line.text("passage") + "\nQuestion: " + line.text("question") + "?\nAnswer:";
  const char* name = line.has("answer") ? "answer" : "label";
  const Json& answer = line.at(name);
  const size_t right = answer.is_boolean() ? (answer.get<bool>() ? 1 : 0) : line.place(name, 2);
  return choose(prompt, {" no", " yes"}, right);
}

// GSM8K: {"question", "answer": "... #### 42"}.
TaskItem read_gsm8k(const Line& line) {
  const std::string answer = line.text("answer");
  TaskItem item = choose(question_prompt(line.text("question")), {}, 0);
  item.answers = {std::string(trim(answer.substr(answer.rfind("####") + 4)))};
  item.is_number = true;
  return item;
}

// TriviaQA: {"question", "answer": {"value", "aliases"}}; Natural Questions: {"question",
// "answer": [...]}; and {"question", "answer": "..."}.
TaskItem read_short(const Line& line) {
  TaskItem item = choose(question_prompt(line.text("question")), {}, 0);
  const Json& answer = line.at("answer");
  if (answer.is_object()) {
    const Json value = answer.value("value", Json());
    if (value.is_string()) item.answers.push_back(value.get<std::string>());
    for (const Json& alias : answer.value("aliases", Json::array())) {
      if (alias.is_string()) item.answers.push_back(alias.get<std::string>());
    }
  } else if (answer.is_array()) {
    item.answers = line.texts("answer", answer);
  } else {
    item.answers = {line.text("answer")};
  }
  return item;
}

TaskItem read_form(const Line& line) {
  if (line.has("prompt")) return read_own(line);
  if (line.has_all({"choices", "answerKey"})) return read_labelled(line);
  if (line.has_all({"question", "choices", "answer"})) return read_mmlu(line);
  if (line.has_all({"endings", "label"})) return read_hellaswag(line);
  if (line.has_all({"goal", "sol1", "sol2"})) return read_piqa(line);
  if (line.has_all({"sentence", "option1", "option2"})) return read_winogrande(line);
  if (line.has_all({"passage", "question"})) return read_boolq(line);
  if (line.has_all({"question", "answer"})) {
    const Json& answer = line.at("answer");
    const bool has_mark = answer.is_string() &&
                          answer.get_ref<const std::string&>().find("####") != std::string::npos;
    return has_mark ? read_gsm8k(line) : read_short(line);
  }
  fail(ErrorCode::kCorrupt, "{}: no form of question that is known has these fields", line.where());
}

// As SQuAD's script normalises: words without capitals, punctuation and articles.
std::vector<std::string> plain_words(std::string_view text) {
  std::vector<std::string> words = words_of(text);
  std::erase_if(
      words, [](const std::string& word) { return word == "a" || word == "an" || word == "the"; });
  return words;
}

}  // namespace

std::string TaskItem::solved() const {
  if (!choices.empty()) return context(right) + choices[right];
  const std::string& text = contexts[0];
  const bool has_space = !text.empty() && kWhiteSpace.find(text.back()) != std::string_view::npos;
  return text + (has_space ? "" : " ") + answers.front();
}

TaskItem read_task_item(const Json& json, const std::string& where) {
  if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}: a question is a JSON object", where);
  const Line line(json, where);
  TaskItem item = read_form(line);
  if (item.choices.size() == 1 || static_cast<int64_t>(item.choices.size()) > kMostChoices) {
    line.wrong("choices", fmt::format("2 to {} texts", kMostChoices));
  }
  const auto is_empty = [](const std::string& text) { return trim(text).empty(); };
  if (std::any_of(item.choices.begin(), item.choices.end(), is_empty) ||
      std::any_of(item.contexts.begin(), item.contexts.end(), is_empty)) {
    fail(ErrorCode::kCorrupt, "{}: the question or a choice is empty", where);
  }
  if (item.choices.empty() && (item.answers.empty() || is_empty(item.answers.front()))) {
    fail(ErrorCode::kCorrupt, "{}: there is no answer to compare with", where);
  }
  const Json id = json.value("id", Json());
  if (id.is_string()) item.id = id.get<std::string>();
  return item;
}

std::vector<TaskItem> read_task_file(const std::string& path, int64_t limit) {
  const std::string text = read_text_file(path, kMostFileBytes);
  std::vector<TaskItem> items;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trim(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty()) continue;
    const std::string where = fmt::format("{}: line {}", path, number);
    items.push_back(read_task_item(parse_json(line, where), where));
    if (items.back().id.empty()) items.back().id = std::to_string(number);
    if (limit > 0 && static_cast<int64_t>(items.size()) == limit) break;
  }
  if (items.empty()) fail(ErrorCode::kCorrupt, "{}: there are no questions", path);
  return items;
}

std::vector<TaskItem> with_shots(std::vector<TaskItem> items, int64_t n_shots) {
  const auto n = static_cast<size_t>(n_shots);
  if (n >= items.size()) {
    fail(ErrorCode::kInvalidArgument, "{} examples leave none of {} questions to ask", n,
         items.size());
  }
  std::string examples;
  for (size_t i = 0; i < n; ++i) examples += items[i].solved() + "\n\n";
  items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(n));
  for (TaskItem& item : items) {
    for (std::string& context : item.contexts) context.insert(0, examples);
  }
  return items;
}

bool is_right(const TaskItem& item, std::string_view text) {
  if (item.is_number) {
    const std::vector<double> said = numbers_of(text);
    const std::vector<double> wanted = numbers_of(item.answers.front());
    if (said.empty() || wanted.empty()) return false;
    return std::abs(said.back() - wanted.back()) < 1e-9;
  }
  const std::vector<std::string> words = plain_words(text);
  return !words.empty() &&
         std::any_of(item.answers.begin(), item.answers.end(),
                     [&](const std::string& answer) { return plain_words(answer) == words; });
}

}  // namespace tq
