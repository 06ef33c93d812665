#include "server/embedded.h"

#include <algorithm>
#include <string>

namespace tq {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace

const EmbeddedFile* find_embedded_file(std::string_view path) {
  const auto files = embedded_files();
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const EmbeddedFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

bool is_page_path(std::string_view path) { return path == "/" || path.starts_with("/page/"); }

HttpResponse file_response(const EmbeddedFile& file, const HttpHead& head) {
  const std::string etag(file.etag);
  HttpResponse response{.status = 200,
                        .content_type = std::string(file.content_type),
                        .headers = {{"ETag", etag},
                                    {"Cache-Control", "no-cache"},
                                    {"Content-Security-Policy", kPolicy},
                                    {"X-Content-Type-Options", "nosniff"},
                                    {"Referrer-Policy", "no-referrer"},
                                    {"Cross-Origin-Resource-Policy", "same-origin"}}};
  const std::string* known = head.find("if-none-match");
  if (known != nullptr && (*known == "*" || known->find(etag) != std::string::npos)) {
    response.status = 304;
  } else {
    response.body = file.bytes;
  }
  return response;
}

}  // namespace tq
