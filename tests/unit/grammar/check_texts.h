// What a grammar must match, and what not.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace tq::fixtures {

inline void check_texts(const Grammar& grammar, const std::vector<std::string>& good,
                        const std::vector<std::string>& bad) {
  for (const std::string& text : good) EXPECT_TRUE(grammar.matches(text)) << text;
  for (const std::string& text : bad) EXPECT_FALSE(grammar.matches(text)) << text;
}

}  // namespace tq::fixtures
