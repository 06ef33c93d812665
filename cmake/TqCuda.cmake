# The CUDA backend: TQ_CUDA=AUTO (where a toolkit is found; scripts/install_cuda.sh fetches one), ON (its
# absence is an error) or OFF. Sets TQ_HAVE_CUDA. Without it nothing else changes.
# CMAKE_CUDA_ARCHITECTURES, or CUDAARCHS in the environment, chooses the GPUs.
set(TQ_CUDA OFF CACHE STRING "Build the CUDA kernels: AUTO (when a toolkit is found), ON or OFF")
set(TQ_HAVE_CUDA OFF)

if(TQ_CUDA)
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
    endif()
  endif()
  if(NOT cuda_problem)
    set(CMAKE_CUDA_COMPILER ${TQ_NVCC})
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
      # Machine code for Hopper, and what the driver compiles for any other GPU since Ampere.
      set(CMAKE_CUDA_ARCHITECTURES 80-virtual 90a-real)
    endif()
    enable_language(CUDA)
    # CMake 3.25 does not know that nvcc 13 has C++20.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    find_package(CUDAToolkit 12 REQUIRED)
    set(TQ_HAVE_CUDA ON)
  elseif(TQ_CUDA STREQUAL AUTO)
    message(STATUS "Without CUDA kernels: ${cuda_problem}")
  else()
    message(FATAL_ERROR "TQ_CUDA is ${TQ_CUDA}, but ${cuda_problem}")
  endif()
endif()

# tq_cuda: src/kernels/cuda/*.cu. Its users get the launchers' headers and the runtime, linked statically.
function(tq_cuda_library)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/cuda/*.cu)
  add_library(tq_cuda STATIC ${sources})
  target_include_directories(tq_cuda PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_options(tq_cuda PRIVATE -O3 -Xcompiler=-Wall,-Wextra,-Wshadow)
  if(CMAKE_CUDA_ARCHITECTURES MATCHES "90a")  # whose instructions no other GPU has
    target_compile_definitions(tq_cuda PRIVATE TQ_CUDA_SM90A)
  endif()
  # Every rounding of the encoder is part of its result; it shares inline functions with the host's.
  set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/cuda/encode.cu PROPERTIES
    COMPILE_OPTIONS "-fmad=false;--expt-relaxed-constexpr")
  # Not its compile options, which are g++'s.
  target_link_libraries(tq_cuda PUBLIC $<LINK_ONLY:tq_kernels> CUDA::cudart_static)
endfunction()
