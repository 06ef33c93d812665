// Files of the source tree that are part of the program: the chat page (src/server/page) and
// openapi.json.
#pragma once

#include <span>
#include <string_view>

#include "server/http.h"

namespace tq {

struct EmbeddedFile {
  std::string_view path;  // "/" is the page itself, others are as "/page/app.js"
  std::string_view content_type;
  std::string_view etag;  // in its quotes
  std::string_view bytes;
};

// Made by cmake/EmbedFiles.cmake.
std::span<const EmbeddedFile> embedded_files();
// Null where there is none of that path.
const EmbeddedFile* find_embedded_file(std::string_view path);

// Whether the path is one of the chat page's, and not of the API.
bool is_page_path(std::string_view path);

// The file, or 304 where the client has it. A page may run this server's scripts, ask this server,
// and nothing else.
HttpResponse file_response(const EmbeddedFile& file, const HttpHead& head);

}  // namespace tq
