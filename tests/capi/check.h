/* What a C test says when something is not as it should be. */
#ifndef TQ_TESTS_CAPI_CHECK_H
#define TQ_TESTS_CAPI_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                     \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      fprintf(stderr, "%s:%d: not so: %s; last error: %s\n", __FILE__, __LINE__, #condition, \
              tq_last_error());                                                              \
      exit(1);                                                                               \
    }                                                                                        \
  } while (0)

#endif
