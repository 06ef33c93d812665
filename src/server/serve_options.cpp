#include "server/serve_options.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "convert/side_files.h"
#include "net/tls.h"

namespace tq {
namespace {

constexpr std::string_view kSpaces = " \t\r\n\v\f";

// One key a line; empty lines and those that begin with '#' are none.
void read_keys(const std::string& path, std::vector<std::string>& keys) {
  const size_t before = keys.size();
  const std::string text = read_text_file(path);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find_first_not_of(kSpaces);
    if (first == std::string::npos || line[first] == '#') continue;
    keys.push_back(line.substr(first, line.find_last_not_of(kSpaces) - first + 1));
  }
  if (keys.size() == before) fail(ErrorCode::kInvalidArgument, "{}: there is no key in it", path);
}

// "Qwen3-8B" of ".../Qwen3-8B/" and of ".../Qwen3-8B.gguf".
std::string name_of(const std::string& path) {
  const fs::path name = base_name(path);
  return name.extension() == ".gguf" ? name.stem() : name;
}

}  // namespace

void ServeOptions::prepare() {
  if (api.model_names.empty()) api.model_names = {name_of(host.model.path)};
  api.root = host.model.path;
  api.version = TQ_VERSION;
  api.guard.page = !no_page;
  for (const std::string& file : key_files) read_keys(file, api.guard.api_keys);
  if (tls_cert.empty() != tls_key.empty()) {
    fail(ErrorCode::kInvalidArgument, "--tls-cert and --tls-key go together: {} is missing",
         tls_cert.empty() ? "--tls-cert" : "--tls-key");
  }
  if (!tls_cert.empty()) {
    http.tls = make_tls_server(tls_cert, tls_key);
    api.guard.tls = true;
  }
}

}  // namespace tq
