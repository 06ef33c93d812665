#include "server/guard.h"

#include <gtest/gtest.h>

namespace tq {
namespace {

HttpHead head_with(HttpHeaders headers, const char* method = "GET", const char* path = "/x") {
  HttpHead head;
  head.method = method;
  head.path = path;
  head.headers = std::move(headers);
  return head;
}

int status_of(const Guard& guard, const HttpHead& head) {
  auto error = guard.check(head);
  if (!error) error = Guard::check_body(head);
  return error ? error->status : 200;
}

TEST(Guard, KnowsItsNames) {
  const Guard guard({.allowed_hosts = {"llm.example"}});
  for (const char* host : {"localhost", "LocalHost:8000", "127.0.0.1:80", "[::1]:8000", "10.0.0.7",
                           "llm.example:443", "a.localhost"}) {
    EXPECT_EQ(status_of(guard, head_with({{"host", host}})), 200) << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "",
                           "evil:8000", "[evil]:80", "[", ":", "1.2.3"}) {
    EXPECT_EQ(status_of(guard, head_with({{"host", host}})), 403) << host;
  }
  EXPECT_EQ(status_of(Guard({.allowed_hosts = {"*"}}), head_with({{"host", "any"}})), 200);
}

TEST(Guard, ForeignPagesAreRefused) {
  const Guard guard({.cors_origins = {"https://chat.example"}});
  const auto from = [](const char* origin) {
    return head_with({{"host", "localhost:8000"}, {"origin", origin}});
  };
  EXPECT_EQ(status_of(guard, from("http://localhost:8000")), 200);
  EXPECT_EQ(status_of(guard, from("https://chat.example")), 200);
  for (const char* origin : {"http://localhost:3000", "https://evil.example", "null", "",
                             "https://chat.example.evil", "http://chat.example"}) {
    EXPECT_EQ(status_of(guard, from(origin)), 403) << origin;
    EXPECT_TRUE(guard.cors_headers(from(origin)).empty());
  }
  EXPECT_EQ(guard.cors_headers(from("https://chat.example"))[0].second, "https://chat.example");
  const Guard with_tls({.tls = true});  // whoever is on the way can make pages of http
  EXPECT_EQ(status_of(with_tls, from("https://localhost:8000")), 200);
  EXPECT_EQ(status_of(with_tls, from("http://localhost:8000")), 403);
}

TEST(Guard, KeysAreNeededEverywhereButForHealth) {
  const Guard guard({.api_keys = {"first", "second"}});
  EXPECT_EQ(status_of(guard, head_with({})), 401);
  EXPECT_EQ(status_of(guard, head_with({}, "GET", "/metrics")), 401);
  EXPECT_EQ(status_of(guard, head_with({}, "GET", "/health")), 200);
  EXPECT_EQ(status_of(guard, head_with({{"authorization", "Bearer second"}})), 200);
  EXPECT_EQ(status_of(guard, head_with({{"authorization", "bearer first"}})), 200);
  EXPECT_EQ(status_of(guard, head_with({{"x-api-key", "first"}})), 200);
  EXPECT_EQ(status_of(guard, head_with({{"x-api-key", "first"}, {"authorization", "Bearer no"}})),
            200);
  for (const char* wrong : {"Bearer", "Bearer ", "Bearer firs", "Bearer firstfirst", "Basic first",
                            "first", "Bearer third"}) {
    EXPECT_EQ(status_of(guard, head_with({{"authorization", wrong}})), 401) << wrong;
  }
  // A browser asks what it may send before it sends the key.
  EXPECT_EQ(status_of(guard, head_with({}, "OPTIONS")), 200);
}

TEST(Guard, JsonMustSayThatItIs) {
  const Guard guard({});
  EXPECT_EQ(status_of(guard, head_with({{"content-type", "application/json"}}, "POST")), 200);
  EXPECT_EQ(
      status_of(guard, head_with({{"content-type", "Application/JSON ; charset=utf-8"}}, "POST")),
      200);
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""}) {
    EXPECT_EQ(status_of(guard, head_with({{"content-type", type}}, "POST")), 415) << type;
  }
  EXPECT_EQ(status_of(guard, head_with({}, "POST")), 415);
}

TEST(Guard, ComparesAllOfAKey) {
  EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secreT", "secret"));
  EXPECT_FALSE(equal_in_constant_time("", "secret"));
  EXPECT_FALSE(equal_in_constant_time("", ""));
  EXPECT_FALSE(equal_in_constant_time("secretsecret", "secret"));
}

TEST(Guard, OnlyReadingThePageNeedsNoKey) {
  const Guard guard({.api_keys = {"key"}});
  for (const char* path : {"/", "/page/app.js", "/health"}) {
    EXPECT_EQ(status_of(guard, head_with({}, "GET", path)), 200) << path;
    EXPECT_EQ(status_of(guard, head_with({}, "HEAD", path)), 200) << path;
    EXPECT_EQ(status_of(guard, head_with({{"host", "evil.example"}}, "GET", path)), 403) << path;
  }
  EXPECT_EQ(status_of(guard, head_with({}, "POST", "/")), 401);
  for (const char* path : {"//", "/page", "/pages/app.js", "/v1/models", "/openapi.json"}) {
    EXPECT_EQ(status_of(guard, head_with({}, "GET", path)), 401) << path;
  }
  EXPECT_EQ(status_of(Guard({.api_keys = {"key"}, .page = false}), head_with({}, "GET", "/")), 401);
}

}  // namespace
}  // namespace tq
