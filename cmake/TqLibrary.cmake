# The build rules every folder shares: warnings, sanitizers, one library a folder, one test program a folder.

add_library(tq_flags INTERFACE)
target_compile_options(tq_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                          -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms of GCC 12 inside std::string, fmt and hooks of operator new, once -O2 has inlined them.
  target_compile_options(tq_flags INTERFACE -Wno-array-bounds -Wno-stringop-overflow
                                            -Wno-restrict -Wno-mismatched-new-delete)
endif()
target_compile_definitions(tq_flags INTERFACE TQ_VERSION="${PROJECT_VERSION}")
target_include_directories(tq_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(TQ_SANITIZE)
  target_compile_options(tq_flags INTERFACE -fsanitize=${TQ_SANITIZE} -fno-omit-frame-pointer
                                            -fno-sanitize-recover=all)
  target_link_options(tq_flags INTERFACE -fsanitize=${TQ_SANITIZE})
endif()
if(TQ_FUZZ)
  # Coverage, for libFuzzer to see.
  target_compile_options(tq_flags INTERFACE
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:TQ_UNFUZZED>>>:-fsanitize=fuzzer-no-link>)
  target_link_options(tq_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Headers that most files include, parsed once for all libraries and once for all tests: half of the build
# time otherwise. `from`: the target whose precompiled headers are used; itself makes them.
function(tq_precompile target from)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -fpch-preprocess)  # for ccache
  endif()
  if(target STREQUAL from)
    target_precompile_headers(${target} PRIVATE <fmt/format.h> <nlohmann/json.hpp> <algorithm>
      <filesystem> <functional> <map> <memory> <optional> <string> <string_view> <unordered_map>
      <vector> ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${from})
  endif()
endfunction()

# The presets compile twenty sources as one (CMAKE_UNITY_BUILD), which more than halves the build; "dev" does not. Sources whose
# path matches `but` stay alone: the same names in each, as of one instruction set, model family or layout.
function(tq_unity but)
  list(FILTER ARGN INCLUDE REGEX "${but}")
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# In sanitizer builds, what no fuzzer calls and no time is spent in: compiling it is most of what it costs.
function(tq_unfuzzed target)
  set_target_properties(${target} PROPERTIES TQ_UNFUZZED ON)
  if(TQ_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# tq_library(name DEPS other folders and packages): every .cpp of the folder becomes libtq_<name>.
function(tq_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(TQ_HAVE_CUDA)
    list(FILTER sources EXCLUDE REGEX "/no_cuda\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/backend/cuda/")
  endif()
  if(TQ_HAVE_SERVER)
    list(FILTER sources EXCLUDE REGEX "/no_http_[a-z]+\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/http_(server|client|stream|connection)\\.cpp$")
  endif()
  if(TQ_HAVE_TLS)
    list(FILTER sources EXCLUDE REGEX "/no_tls\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/net/tls\\.cpp$")
  endif()
  if(TQ_HAVE_HUB)
    list(FILTER sources EXCLUDE REGEX "/no_hub\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/hub/(digest|curl_client)\\.cpp$")
  endif()
  add_library(tq_${name} STATIC ${sources})
  # For libturboquant.so and the Python module, which show none of it; hidden, so that calls inside cost what they do in tq.
  set_target_properties(tq_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                              VISIBILITY_INLINES_HIDDEN ON)
  tq_unity("/simd/|/arch/|/layouts/|/cpu/generic|/http_(server|client|stream|connection)|/net/tls|/hub/curl_client" ${sources})
  target_link_libraries(tq_${name} PUBLIC tq_flags ${ARG_DEPS})
  tq_precompile(tq_${name} tq_base)
endfunction()

# tq_unit_test(folder [NUMERIC] DEPS ...): tests/unit/<folder>/*.cpp becomes one GoogleTest program, one ctest
# entry per test case. NUMERIC: what it checks could depend on how the compiler optimizes and on the processor;
# with TQ_NUMERIC_TESTS=1 in the environment only those are built.
function(tq_unit_test name)
  cmake_parse_arguments(ARG "NUMERIC" "" "DEPS" ${ARGN})
  if("$ENV{TQ_NUMERIC_TESTS}" AND NOT ARG_NUMERIC)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/unit/${name}/*.cpp)
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${ARG_DEPS} GTest::gtest_main GTest::gmock)
  target_compile_definitions(test_${name} PRIVATE TQ_TEST_DATA="${CMAKE_SOURCE_DIR}/tests")
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_options(test_${name} PRIVATE $<$<CONFIG:Release>:-O1>)  # builds sooner, and no test times code
  tq_unfuzzed(test_${name})
  tq_precompile(test_${name} test_tensor <gtest/gtest.h> <gmock/gmock.h>)
  add_dependencies(unit_tests test_${name})
  if(TQ_SANITIZE)  # one process a program: a sanitizer's start takes longer than most test cases
    add_test(NAME ${name} COMMAND test_${name} --gtest_brief=1)
    set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS unit)
  else()
    gtest_discover_tests(test_${name} TEST_PREFIX "${name}/" DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 300 LABELS unit)
  endif()
endfunction()
