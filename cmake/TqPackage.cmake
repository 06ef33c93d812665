# Installing and packing: `cmake --install build/release --prefix DIR`, and `cpack -G DEB`, which
# scripts/package.sh calls; it also makes the tarball. Completions and manual pages are written by the program
# itself when it is installed, so they need no target of their own.
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # tq is installed, not the tests: those need not be built

install(TARGETS tq RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TQ_LIBRARY)
  # Where it was built: `cmake --install` also follows a build of the program alone.
  install(TARGETS turboquant LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} OPTIONAL)
  # Its place is found from the file's own, wherever that is moved to.
  file(RELATIVE_PATH TQ_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  configure_file(src/capi/turboquant.pc.in ${CMAKE_BINARY_DIR}/turboquant.pc @ONLY)
  install(CODE "
    if(EXISTS \"$<TARGET_FILE:turboquant>\")
      file(INSTALL \"${CMAKE_SOURCE_DIR}/include/turboquant\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}\")
      file(INSTALL \"${CMAKE_BINARY_DIR}/turboquant.pc\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig\")
    endif()")
endif()
set(share ${CMAKE_BINARY_DIR}/share)
install(CODE "
  file(REMOVE_RECURSE ${share})
  execute_process(COMMAND $<TARGET_FILE:tq> man --all ${share}/man1 COMMAND_ERROR_IS_FATAL ANY)
  foreach(shell bash zsh fish)
    execute_process(COMMAND $<TARGET_FILE:tq> completion \${shell}
      OUTPUT_FILE ${share}/tq.\${shell} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()")
install(DIRECTORY ${share}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(FILES ${share}/tq.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME tq)
set(TQ_ZSH_COMPLETIONS ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "A folder of zsh's $fpath")
install(FILES ${share}/tq.zsh DESTINATION ${TQ_ZSH_COMPLETIONS} RENAME _tq)
install(FILES ${share}/tq.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
set(doc ${CMAKE_INSTALL_DATADIR}/doc/turboquant)
install(FILES README.md CHANGELOG.md DESTINATION ${doc})
install(FILES LICENSE DESTINATION ${doc} RENAME copyright)
install(DIRECTORY docs DESTINATION ${doc} FILES_MATCHING PATTERN "*.md" PATTERN "*.svg" PATTERN "*.png")
install(DIRECTORY deploy DESTINATION ${doc})

set(CPACK_PACKAGE_NAME turboquant)
set(CPACK_PACKAGE_VENDOR "turboquant.cpp")
set(CPACK_PACKAGE_CONTACT "turboquant.cpp developers <noreply@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "compresses large language models without data, and runs them")
set(CPACK_PACKAGE_DESCRIPTION "tq rotates and quantises the weights of a Hugging Face folder or a GGUF file to
two to eight bits without calibration data, and computes straight from that form, on x86-64 CPUs and, if the
package was built with CUDA, on NVIDIA GPUs.")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
