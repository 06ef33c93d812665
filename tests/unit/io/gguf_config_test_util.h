// What the tests of GGUF metadata share: the config that a file's metadata become, or the refusal.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "io/gguf/gguf_config.h"
#include "support/gguf_builder.h"

namespace tq::fixtures {

inline Json config_of(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  return gguf_config(
      {std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), "test.gguf"});
}

inline void expect_refused(const GgufBuilder& builder, ErrorCode code, const std::string& part) {
  try {
    config_of(builder);
    ADD_FAILURE() << "no error: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("test.gguf"));
  }
}

}  // namespace tq::fixtures
