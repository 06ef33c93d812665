#include "loadgen/url.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace tq {
namespace {

TEST(Url, IsReadAsPeopleWriteIt) {
  const std::vector<std::pair<const char*, const char*>> rows = {
      {"http://localhost:8000", "http://localhost:8000"},
      {"localhost:8000", "http://localhost:8000"},
      {"HTTP://10.0.0.1", "http://10.0.0.1:80"},
      {"http://localhost:8000/v1", "http://localhost:8000"},
      {"http://localhost:8000/v1/", "http://localhost:8000"},
      {"http://host/proxy/a/", "http://host:80/proxy/a"},
      {"http://host/proxy/v1", "http://host:80/proxy"},
      {"https://host/v1", "https://host:443"},
      {"HTTPS://host:8443", "https://host:8443"},
      {"http://[::1]:81/", "http://[::1]:81"}};
  for (const auto& [text, wanted] : rows) EXPECT_EQ(parse_server_url(text).text(), wanted);
  EXPECT_EQ(parse_server_url("[::1]:81").host, "::1");
}

TEST(Url, RefusesWhatIsNone) {
  for (const char* text :
       {"", "http://", "http://:80", "http://host:", "http://host:0", "http://host:65536",
        "http://host:80a", "http://host:123456", "ftp://host", "http://u:p@host", "http://ho st",
        "http://host\r\nX: y", "http://[::1", "http://[::1]80", "http://host/?a", "/nowhere"}) {
    fixtures::expect_error(ErrorCode::kInvalidArgument, {text, "http://HOST:PORT"},
                           [&] { parse_server_url(text); });
  }
}

}  // namespace
}  // namespace tq
