# Writes OUTPUT with the commit of SOURCE_DIR: of git, with "-dirty" where files differ from it; of the file
# COMMIT, which a source archive has; or unknown. Touches the file only if that changed. Run at every build.
find_program(GIT git)
set(commit "")
if(GIT AND EXISTS ${SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT} -c safe.directory=* -C ${SOURCE_DIR} describe --always --dirty --abbrev=12
      --exclude=* OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
elseif(EXISTS ${SOURCE_DIR}/COMMIT)
  file(STRINGS ${SOURCE_DIR}/COMMIT commit LIMIT_COUNT 1)
endif()
if("${commit}" STREQUAL "")
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define TQ_COMMIT \"${commit}\"\n")
