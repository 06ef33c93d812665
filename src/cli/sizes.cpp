#include "cli/sizes.h"

#include <fmt/format.h>

#include <string>

#include "base/human.h"

namespace tq {

CLI::Validator byte_size() {
  const auto read = [](std::string& text) {
    const auto bytes = parse_bytes(text);
    if (!bytes) {
      return fmt::format("{} is no size: write bytes, or units such as 500MB, 4GB or 12GiB", text);
    }
    text = std::to_string(*bytes);
    return std::string();
  };
  return {read, "SIZE", "byte_size"};
}

CLI::Validator token_count(int64_t least, int64_t most) {
  const auto read = [least, most](std::string& text) {
    const auto tokens = parse_tokens(text);
    if (!tokens) {
      return fmt::format("{} is no number of tokens: write 4096, 4k, 32k or 1M", text);
    }
    if (*tokens < least || *tokens > most) {
      return fmt::format("{} is not from {} to {} tokens", text, least, most);
    }
    text = std::to_string(*tokens);
    return std::string();
  };
  return {read, "TOKENS", "token_count"};
}

}  // namespace tq
