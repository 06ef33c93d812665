# Writes OUTPUT, a source of C++ with the chat page (src/server/page) and openapi.json as arrays of bytes, for
# src/server/embedded.h. Run by the build when one of them changes.
include(${CMAKE_CURRENT_LIST_DIR}/EmbedBytes.cmake)
set(types_html "text/html; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_svg "image/svg+xml; charset=utf-8")
set(types_json "application/json")
file(GLOB files RELATIVE ${SOURCE_DIR}/src/server ${SOURCE_DIR}/src/server/page/* ${SOURCE_DIR}/src/server/openapi.json)

set(arrays "")
set(table "")
list(LENGTH files n)
foreach(file ${files})
  string(MAKE_C_IDENTIFIER "${file}" name)
  get_filename_component(extension ${file} LAST_EXT)
  string(SUBSTRING "${extension}" 1 -1 extension)
  if(NOT DEFINED types_${extension})
    message(FATAL_ERROR "${SOURCE_DIR}/src/server/${file}: what is its content type? (cmake/EmbedFiles.cmake)")
  endif()
  set(path "/${file}")
  if(file STREQUAL "page/index.html")
    set(path "/")
  endif()
  tq_embed_bytes(${SOURCE_DIR}/src/server/${file} bytes)
  file(SHA256 ${SOURCE_DIR}/src/server/${file} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  string(APPEND arrays "constexpr char k_${name}[] = {\n${bytes}};\n")
  string(APPEND table "    {\"${path}\", \"${types_${extension}}\", \"\\\"${hash}\\\"\", {k_${name}, sizeof k_${name}}},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/EmbedFiles.cmake.
#include <array>

#include \"server/embedded.h\"

namespace tq {
namespace {

${arrays}
constexpr std::array<EmbeddedFile, ${n}> kFiles = {{
${table}}};

}  // namespace

std::span<const EmbeddedFile> embedded_files() { return kFiles; }

}  // namespace tq
")
