# Writes OUTPUT, a source of C++ with the scenarios of eval/scenarios as arrays of bytes, for src/eval/scenario.h.
# Run by the build when one of them changes.
include(${CMAKE_CURRENT_LIST_DIR}/EmbedBytes.cmake)
file(GLOB files ${SOURCE_DIR}/eval/scenarios/*.json)
list(SORT files)
set(arrays "")
set(table "")
foreach(file ${files})
  get_filename_component(id ${file} NAME_WE)
  string(MAKE_C_IDENTIFIER "${id}" name)
  tq_embed_bytes(${file} bytes)
  string(APPEND arrays "constexpr char k_${name}[] = {\n${bytes}};\n")
  string(APPEND table "      {\"${id}\", {k_${name}, sizeof k_${name}}},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/EmbedScenarios.cmake.
#include \"eval/scenario.h\"

namespace tq {
namespace {

${arrays}
}  // namespace

std::vector<EmbeddedScenario> embedded_scenarios() {
  return {
${table}  };
}

}  // namespace tq
")
