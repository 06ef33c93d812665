# The CUDA backend. TQ_CUDA is OFF, ON (whatever lacks is an error) or AUTO: where there is a toolkit
# (scripts/install_cuda.sh fetches one) and it is known for which GPUs to build. Those are, in this order,
#   what CUDAARCHS in the environment or -DCMAKE_CUDA_ARCHITECTURES names ("native": this machine's GPUs),
#   with TQ_CUDA_PACKAGE all GPUs since Ampere,
#   what an earlier run in the same build folder has found,
#   this machine's GPUs,
#   and with TQ_CUDA=ON, all GPUs since Ampere.
# Sets TQ_HAVE_CUDA. Without it nothing else changes.
set(TQ_CUDA OFF CACHE STRING "Build the CUDA kernels: AUTO (with a toolkit and a GPU), ON or OFF")
option(TQ_CUDA_PACKAGE "Build the CUDA kernels for every GPU since Ampere" OFF)
# What is fast is the compiler (a third of its time), not the kernels. TQ_CUDA_QUICK=ON in the environment says it for
# the life of a build folder; where there is a GPU it does not count.
option(TQ_CUDA_QUICK "Compile the CUDA kernels almost without optimization: to test that they compile" OFF)
set(TQ_HAVE_CUDA OFF)

# Machine code for each generation, so that no driver compiles anything at start, and PTX for later ones.
# 80 runs on 8.x, 86 is faster on its own GPUs and on 8.7; 100 runs on 10.3, 120 on 12.1.
set(TQ_CUDA_ALL_GPUS 80-real 86-real 89-real 90a-real 100-real 120-real 120-virtual)

# This machine's GPUs since Ampere as architectures, empty without any. Not CMake's own "native", which says 90 for
# Hopper: our kernels for it need 90a.
function(tq_native_architectures result)
  set(found "")
  find_program(TQ_NVIDIA_SMI nvidia-smi)
  mark_as_advanced(TQ_NVIDIA_SMI)
  if(TQ_NVIDIA_SMI)
    execute_process(COMMAND ${TQ_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
      OUTPUT_VARIABLE capabilities RESULT_VARIABLE status ERROR_QUIET)
    if(status EQUAL 0)
      string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
      list(REMOVE_DUPLICATES capabilities)
      foreach(capability ${capabilities})
        string(REPLACE "." "" capability ${capability})
        if(capability GREATER_EQUAL 80)  # the kernels copy asynchronously: Ampere's first
          string(REGEX REPLACE "^90$" "90a" capability ${capability})
          list(APPEND found ${capability}-real)
        endif()
      endforeach()
    endif()
  endif()
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

# Of `wanted`, what this nvcc can compile; for newer GPUs, PTX of the newest architecture that it knows.
function(tq_known_architectures wanted result)
  execute_process(COMMAND ${TQ_NVCC} --list-gpu-arch OUTPUT_VARIABLE listed ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+" listed "${listed}")
  list(SORT listed COMPARE NATURAL)
  set(known "")
  foreach(architecture ${wanted})
    string(REGEX MATCH "^[0-9]+" number ${architecture})
    if(NOT number IN_LIST listed)
      set(architecture "")
      foreach(candidate ${listed})
        if(candidate LESS number)
          set(architecture ${candidate}-virtual)
        endif()
      endforeach()
    endif()
    list(APPEND known ${architecture})
  endforeach()
  list(REMOVE_DUPLICATES known)
  set(${result} "${known}" PARENT_SCOPE)
endfunction()

# Writes the cache's CMAKE_CUDA_ARCHITECTURES; leaves it empty when nothing says for which GPUs to build.
# CMake itself looks at CUDAARCHS once in the life of a build folder; here it counts whenever it is set.
function(tq_choose_architectures)
  set(chosen "${CMAKE_CUDA_ARCHITECTURES}")
  if("${chosen}" STREQUAL "${TQ_CUDA_ARCHITECTURES_SET}")  # not given with -D since the last run
    if(DEFINED ENV{CUDAARCHS} AND NOT "$ENV{CUDAARCHS}" STREQUAL "")
      set(chosen "$ENV{CUDAARCHS}")
    elseif(TQ_CUDA_PACKAGE)
      tq_known_architectures("${TQ_CUDA_ALL_GPUS}" chosen)
    endif()
  endif()
  if("${chosen}" STREQUAL "" OR "${chosen}" STREQUAL "native")
    tq_native_architectures(here)
    if("${here}" STREQUAL "" AND "${chosen}" STREQUAL "native")
      message(FATAL_ERROR "CUDA architecture 'native' needs a GPU and nvidia-smi; name one, such as 89-real")
    endif()
    tq_known_architectures("${here}" chosen)
    if("${chosen}" STREQUAL "" AND NOT "${TQ_CUDA}" STREQUAL "AUTO")
      tq_known_architectures("${TQ_CUDA_ALL_GPUS}" chosen)
    endif()
  endif()
  set(CMAKE_CUDA_ARCHITECTURES "${chosen}" CACHE STRING "GPUs to build for" FORCE)
  set(TQ_CUDA_ARCHITECTURES_SET "${chosen}" CACHE INTERNAL "What the last run chose")
endfunction()

# Sets TQ_CUDA_OPTIMIZATION to nvcc's options and TQ_CUDA_REMARK to what people are told about them.
function(tq_choose_quick)
  if("$ENV{TQ_CUDA_QUICK}")
    set(TQ_CUDA_QUICK ON CACHE BOOL "" FORCE)
  endif()
  set(TQ_CUDA_OPTIMIZATION -O3 PARENT_SCOPE)
  set(TQ_CUDA_REMARK "" PARENT_SCOPE)
  tq_native_architectures(here)
  if(TQ_CUDA_QUICK AND "${here}" STREQUAL "")
    set(TQ_CUDA_OPTIMIZATION "SHELL:-Xcicc -O1" "SHELL:-Xptxas -O1" PARENT_SCOPE)
    set(TQ_CUDA_REMARK ", not optimized" PARENT_SCOPE)
  endif()
endfunction()

if(TQ_CUDA)
  if(TQ_NVCC AND NOT EXISTS "${TQ_NVCC}")  # found by an earlier run, gone since
    unset(TQ_NVCC CACHE)
  endif()
  find_program(TQ_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME /usr/local/cuda
    ${CMAKE_SOURCE_DIR}/build/cuda-toolkit PATH_SUFFIXES bin)
  set(cuda_problem "")
  if(TQ_SANITIZE OR TQ_FUZZ)
    set(cuda_problem "this is a sanitizer build")
  elseif(NOT TQ_NVCC)
    set(cuda_problem "there is no nvcc (set CUDA_HOME)")
  else()
    execute_process(COMMAND ${TQ_NVCC} --version OUTPUT_VARIABLE nvcc_version ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+)" _ "${nvcc_version}")
    if("${CMAKE_MATCH_1}" LESS 12)
      set(cuda_problem "${TQ_NVCC} is older than CUDA 12")
    else()
      tq_choose_architectures()
      if("${CMAKE_CUDA_ARCHITECTURES}" STREQUAL "")
        set(cuda_problem "this machine has no GPU since Ampere (CUDAARCHS or TQ_CUDA_PACKAGE builds for others)")
      endif()
    endif()
  endif()
  if(NOT cuda_problem)
    set(CMAKE_CUDA_COMPILER ${TQ_NVCC})
    enable_language(CUDA)
    # CMake 3.25 does not know that nvcc 13 has C++20.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    find_package(CUDAToolkit 12 REQUIRED)
    set(TQ_HAVE_CUDA ON)
    tq_choose_quick()
    message(STATUS "CUDA ${CUDAToolkit_VERSION} kernels for ${CMAKE_CUDA_ARCHITECTURES}${TQ_CUDA_REMARK}")
  elseif(TQ_CUDA STREQUAL AUTO)
    message(STATUS "Without CUDA kernels: ${cuda_problem}")
  else()
    message(FATAL_ERROR "TQ_CUDA is ${TQ_CUDA}, but ${cuda_problem}")
  endif()
endif()

# Sets `out` to sources, one for each kind of codes of code_kinds.h and each kernel that is compiled for a kind by
# itself: run_<kernel>() of <kernel>_instances.cuh. A quick build takes three kinds in a source: parsing the headers is
# most of its time.
function(tq_cuda_instances out)
  file(GLOB_RECURSE kinds_file ${CMAKE_SOURCE_DIR}/src/kernels/cuda/code_kinds.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${kinds_file})
  file(STRINGS ${kinds_file} line REGEX "^using CodeKinds = ")
  string(REGEX MATCHALL "[0-9]+" kinds "${line}")
  if(NOT kinds)
    message(FATAL_ERROR "${kinds_file} has no line \"using CodeKinds = ...\"")
  endif()
  list(LENGTH kinds n_kinds)
  math(EXPR last "${n_kinds} - 1")
  set(n_together 1)
  if(TQ_CUDA_REMARK)
    set(n_together 3)
  endif()
  set(made "")
  foreach(kernel Fused Product16 Wide16)
    string(TOLOWER ${kernel} name)
    file(GLOB_RECURSE header RELATIVE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/kernels/cuda/${name}_instances.cuh)
    foreach(first RANGE 0 ${last} ${n_together})
      list(SUBLIST kinds ${first} ${n_together} together)
      set(lines "")
      foreach(kind ${together})
        string(APPEND lines "template void run_${name}<${kind}>(const ${kernel}Call&, cudaStream_t);\n")
      endforeach()
      list(JOIN together "_" together)
      set(source ${CMAKE_BINARY_DIR}/generated/cuda/${name}_kind${together}.cu)
      file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"

namespace tq::cuda {
${lines}}  // namespace tq::cuda
")
      list(APPEND made ${source})
    endforeach()
  endforeach()
  # Attention over caches of codes: two sources for each KV format.
  file(GLOB_RECURSE formats_file ${CMAKE_SOURCE_DIR}/src/kernels/cuda/kv_formats.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${formats_file})
  file(STRINGS ${formats_file} line REGEX "^using CodedKvFormats = ")
  string(REGEX MATCHALL "KvK[0-9]+V[0-9]+" formats "${line}")
  if(NOT formats)
    message(FATAL_ERROR "${formats_file} has no line \"using CodedKvFormats = ...\"")
  endif()
  foreach(format ${formats})
    foreach(kernel decode prompt)
      if(kernel STREQUAL decode)
        set(lines "template void run_coded_decode<${format}>(const CodedDecodeCall&, cudaStream_t);
template int64_t coded_decode_block_bytes<${format}>(int64_t, int64_t, int64_t);")
      else()
        set(lines "template void run_coded_prompt<${format}>(const AttentionArgs&, const AttentionParts&, cudaStream_t);
template CodedPromptBlock coded_prompt_block<${format}>(int64_t);")
      endif()
      set(source ${CMAKE_BINARY_DIR}/generated/cuda/coded_${kernel}_${format}.cu)
      file(CONFIGURE OUTPUT ${source} CONTENT "#include \"kernels/cuda/attention/coded_${kernel}_instances.cuh\"

namespace tq::cuda {
${lines}
}  // namespace tq::cuda
")
      list(APPEND made ${source})
    endforeach()
  endforeach()
  set(${out} ${made} PARENT_SCOPE)
endfunction()

# tq_cuda: the .cu files of src/kernels/cuda. Its users get the launchers' headers and the runtime, linked statically.
function(tq_cuda_library)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/cuda/*.cu)
  tq_cuda_instances(instances)
  add_library(tq_cuda STATIC ${sources} ${instances})
  set_target_properties(tq_cuda PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF)  # which newer CMakes would do to kernels, too
  target_include_directories(tq_cuda PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_options(tq_cuda PRIVATE ${TQ_CUDA_OPTIMIZATION} -Xcompiler=-Wall,-Wextra,-Wshadow)
  if(CMAKE_CUDA_ARCHITECTURES MATCHES "90a")  # whose instructions no other GPU has
    target_compile_definitions(tq_cuda PRIVATE TQ_CUDA_SM90A)
  endif()
  # Every rounding of the encoder is part of its result; it shares inline functions with the host's.
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cuda/encode/encode.cu
    ${CMAKE_SOURCE_DIR}/src/kernels/cuda/attention/coded_inputs.cu PROPERTIES
    COMPILE_OPTIONS "-fmad=false;--expt-relaxed-constexpr")
  # Not its compile options, which are g++'s.
  target_link_libraries(tq_cuda PUBLIC $<LINK_ONLY:tq_kernels> CUDA::cudart_static)
endfunction()
