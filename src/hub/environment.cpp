#include "hub/environment.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/env.h"
#include "base/error.h"

namespace tq {
namespace {

constexpr const char* kPublicHub = "https://huggingface.co";
constexpr int64_t kMaxTokenFileBytes = 4096;

// "~/x" as a shell has it.
fs::path expanded(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const fs::path home = env_or("HOME", "/");
  return path.size() <= 2 ? home : home / path.substr(2);
}

bool is_true(const std::string& value) {
  const std::string upper = upper_case(value);
  return upper == "1" || upper == "ON" || upper == "YES" || upper == "TRUE";
}

fs::path home_folder() {
  const std::string caches = env_or("XDG_CACHE_HOME", "~/.cache");
  return expanded(env_or("HF_HOME", caches + "/huggingface"));
}

std::string read_endpoint() {
  std::string endpoint = env_or("HF_ENDPOINT", kPublicHub);
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool http = endpoint.starts_with("http://") || endpoint.starts_with("https://");
  const bool plain = std::all_of(endpoint.begin(), endpoint.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '@' && c != '\\';
  });
  if (!http || !plain || endpoint.find_first_of("?#") != std::string::npos ||
      endpoint.size() == endpoint.find("//") + 2) {
    fail(ErrorCode::kInvalidArgument,
         "HF_ENDPOINT is no address of a hub; it is to be like {}, without a name or password",
         kPublicHub);
  }
  return endpoint;
}

std::string read_token() {
  if (is_true(env_or("HF_HUB_DISABLE_IMPLICIT_TOKEN", ""))) return "";
  std::string token(trim(env_or("HF_TOKEN", env_or("HUGGING_FACE_HUB_TOKEN", ""))));
  std::string from = "HF_TOKEN";
  if (token.empty()) {
    const fs::path file = expanded(env_or("HF_TOKEN_PATH", (home_folder() / "token").string()));
    if (!is_file(file)) return "";
    token = trim(read_text_file(file, kMaxTokenFileBytes));
    from = file.string();
  }
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; })) {
    fail(ErrorCode::kInvalidArgument,
         "{} holds characters that no token has; make one at {}/settings/tokens", from, kPublicHub);
  }
  return token;
}

}  // namespace

fs::path hub_cache_folder() {
  const std::string older = env_or("HUGGINGFACE_HUB_CACHE", (home_folder() / "hub").string());
  return expanded(env_or("HF_HUB_CACHE", older));
}

bool hub_is_offline() {
  return is_true(env_or("HF_HUB_OFFLINE", env_or("TRANSFORMERS_OFFLINE", "")));
}

HubEnvironment read_hub_environment() {
  return {read_endpoint(), hub_cache_folder(), read_token(), hub_is_offline()};
}

}  // namespace tq
