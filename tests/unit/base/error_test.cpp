#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <string>

#include "base/check.h"
#include "base/env.h"
#include "support/expect_error.h"

namespace tq {
namespace {

TEST(Error, CodesHaveDistinctNamesAndExitCodes) {
  std::set<std::string> names;
  std::set<int> codes;
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    names.insert(error_name(static_cast<ErrorCode>(i)));
    codes.insert(exit_code(static_cast<ErrorCode>(i)));
  }
  EXPECT_EQ(names.size(), 10u);
  EXPECT_EQ(codes.size(), 10u);
  EXPECT_FALSE(codes.contains(0));
  EXPECT_EQ(exit_code(ErrorCode::kInvalidArgument), 2);
  EXPECT_EQ(exit_code(ErrorCode::kCancelled), 130);
  EXPECT_STREQ(error_name(ErrorCode::kCorrupt), "corrupt");
}

TEST(Error, SystemErrorsSayWhatFailed) {
  fixtures::expect_error(ErrorCode::kIo, {"/a/file", "Permission denied"},
                         [] { fail_errno(EACCES, "/a/file"); });
  fixtures::expect_error(ErrorCode::kNoSpace, {"No space left"}, [] { fail_errno(ENOSPC, "x"); });
  fixtures::expect_error(ErrorCode::kNoSpace, {"quota"}, [] { fail_errno(EDQUOT, "x"); });
  fixtures::expect_error(ErrorCode::kInvalidArgument, {"name too long"},
                         [] { fail_errno(ENAMETOOLONG, "x"); });
  fixtures::expect_error(ErrorCode::kOutOfMemory, {"memory"}, [] { fail_errno(ENOMEM, "x"); });
}

TEST(Check, ThrowsWithPlaceAndMessage) {
  fixtures::expect_error(ErrorCode::kInternal, {"error_test.cpp", "1 == 2", "seven is 7"},
                         [] { TQ_CHECK(1 == 2, "seven is {}", 7); });
  EXPECT_NO_THROW(TQ_CHECK(true, "never"));
}

TEST(Env, FallsBackWhenUnsetOrEmpty) {
  ASSERT_EQ(::setenv("TQ_TEST_VARIABLE", "value", 1), 0);
  EXPECT_EQ(env_or("TQ_TEST_VARIABLE", "other"), "value");
  ASSERT_EQ(::setenv("TQ_TEST_VARIABLE", "", 1), 0);
  EXPECT_EQ(env_or("TQ_TEST_VARIABLE", "other"), "other");
  ASSERT_EQ(::unsetenv("TQ_TEST_VARIABLE"), 0);
  EXPECT_EQ(env_or("TQ_TEST_VARIABLE", "other"), "other");
}

}  // namespace
}  // namespace tq
