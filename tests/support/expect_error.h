// expect_error(): an action must throw tq::Error with a code and a message that contains every
// part.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string>

#include "base/error.h"

namespace tq::fixtures {

inline void expect_error(ErrorCode code, std::initializer_list<std::string> parts,
                         const std::function<void()>& action) {
  try {
    action();
    ADD_FAILURE() << "no error, expected " << error_name(code);
  } catch (const Error& error) {
    EXPECT_STREQ(error_name(error.code()), error_name(code)) << error.what();
    for (const std::string& part : parts) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
    }
  }
}

}  // namespace tq::fixtures
