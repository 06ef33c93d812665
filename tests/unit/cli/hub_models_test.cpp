#include "cli/hub_models.h"

#include <gtest/gtest.h>

#include <csignal>

namespace tq {
namespace {

TEST(NetworkSignals, EndNothingWhileTheyAreTaken) {
  const auto handler = [](int number) {
    struct sigaction action {};
    EXPECT_EQ(::sigaction(number, nullptr, &action), 0);
    return action.sa_handler;
  };
  const auto before = handler(SIGPIPE);
  {
    const NetworkSignals signals;
    EXPECT_EQ(std::raise(SIGPIPE), 0);
    EXPECT_EQ(std::raise(SIGXFSZ), 0);
  }
  EXPECT_EQ(handler(SIGPIPE), before);
}

}  // namespace
}  // namespace tq
