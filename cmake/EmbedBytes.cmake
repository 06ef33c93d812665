# tq_embed_bytes(FILE OUT): the file's bytes as the initializers of an array of char, in the variable OUT.
function(tq_embed_bytes file out)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  set(${out} "${bytes}" PARENT_SCOPE)
endfunction()
