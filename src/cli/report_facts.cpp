#include "cli/report_facts.h"

#include <fmt/format.h>

#include <ctime>
#include <fstream>
#include <iterator>

#include "cli/result.h"

namespace tq {
namespace {

std::string utc_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts)};
}

// In quotes where a shell would not take it as one word.
std::string shell_word(const std::string& word) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::vector<std::string> command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  constexpr std::string_view kKey = "api-key";
  std::vector<std::string> words;
  bool is_key = false;
  for (size_t at = 0, end = 0; (end = all.find('\0', at)) != std::string::npos; at = end + 1) {
    std::string word = all.substr(at, end - at);
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const bool names_key = name.starts_with("--") && name.ends_with(kKey);
    if (is_key) word = "...";
    if (names_key && equals != std::string::npos) word = name + "=...";
    is_key = names_key && equals == std::string::npos;
    words.push_back(std::move(word));
  }
  return words;
}

std::vector<PageFact> page_facts(const Json& device) {
  std::string command;
  for (const std::string& word : command_line()) {
    command += (command.empty() ? "" : " ") + shell_word(word);
  }
  std::vector<PageFact> facts{{"command", command}, {"made", utc_time()}};
  if (device.is_object()) facts.emplace_back("hardware", device.value("description", ""));
  facts.emplace_back("versions", json_line(versions_json()));
  return facts;
}

}  // namespace tq
