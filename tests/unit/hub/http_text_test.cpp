#include <gtest/gtest.h>
#include <stdlib.h>

#include "hub/environment.h"
#include "hub/hub_client.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TempDir;

TEST(HttpText, Origins) {
  if (origin_of("http://h").empty()) GTEST_SKIP() << "built without libcurl";
  EXPECT_EQ(origin_of("https://Huggingface.co/a/b"), "https://huggingface.co:443");
  EXPECT_EQ(origin_of("http://h:8080?x"), "http://h:8080");
  EXPECT_EQ(origin_of("HTTPS://h/x"), "https://h:443");
  EXPECT_EQ(origin_of("http://%41/x"), "http://a:80");  // what libcurl connects to
  // Who is before the '@' and who behind it depends on the parser.
  for (const char* url :
       {"https://huggingface.co\\@evil.org/x", "https://evil.org\\@huggingface.co/x",
        "https://huggingface.co@evil.org/x", "https://evil.org@huggingface.co/x",
        "https://a:b@huggingface.co", "https://huggingface.co\\/x", "https://h\n.evil.org/x",
        "https://h:99999999/x", "https://h evil.org/x", "https://%2541/", "https://h\xc3\xa4/"}) {
    EXPECT_EQ(origin_of(url), "") << url;
  }
  EXPECT_EQ(origin_of(std::string_view("https://h\0.org/x", 17)), "");
  EXPECT_EQ(origin_of("https://evil.org#@huggingface.co"), "https://evil.org:443");
  EXPECT_EQ(origin_of("http://[::1]/x"), "http://[::1]:80");
  EXPECT_EQ(origin_of("http://[::1]:81/x"), "http://[::1]:81");
  for (const char* url : {"", "x", "ftp://h/x", "https://", "file:///x", "https:///x"}) {
    EXPECT_EQ(origin_of(url), "") << url;
  }
  EXPECT_NE(origin_of("https://huggingface.co.evil.org"), origin_of("https://huggingface.co"));
  EXPECT_NE(origin_of("http://huggingface.co"), origin_of("https://huggingface.co"));
}

TEST(HttpText, RetryAfter) {
  EXPECT_EQ(retry_after_seconds("12", 0), 12);
  EXPECT_EQ(retry_after_seconds(" 0 ", 0), 0);
  EXPECT_EQ(retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT", 1445412400), 80);
  EXPECT_EQ(retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT", 1545412400), 0);
  for (const char* text : {"", "-1", "soon", "1.5", "99999999999999999999"}) {
    EXPECT_EQ(retry_after_seconds(text, 0), std::nullopt) << text;
  }
}

TEST(HttpText, ContentRanges) {
  const auto found = parse_content_range("bytes 5-9/20");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->range, (FileRange{5, 10}));
  EXPECT_EQ(found->size, 20);
  for (const char* text : {"", "bytes */20", "bytes 5-9/*", "bytes 9-5/20", "bytes 5-20/20",
                           "items 5-9/20", "bytes 5-9/20x", "bytes -1-9/20"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(HttpText, Encoding) {
  EXPECT_EQ(url_encoded("a/b c?#%.json"), "a/b%20c%3F%23%25.json");
  EXPECT_EQ(url_encoded("refs/pr/1", true), "refs%2Fpr%2F1");
}

TEST(HubEnvironment, Variables) {
  const TempDir dir;
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_ENDPOINT",
                           "HF_HUB_OFFLINE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN",
                           "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"}) {
    unsetenv(name);
  }
  setenv("HF_HOME", dir.path().c_str(), 1);
  EXPECT_EQ(read_hub_environment().endpoint, "https://huggingface.co");
  EXPECT_EQ(read_hub_environment().cache, dir / "hub");
  EXPECT_EQ(read_hub_environment().token, "");
  EXPECT_FALSE(read_hub_environment().offline);
  fixtures::write_bytes(dir / "token", "hf_file\n");
  EXPECT_EQ(read_hub_environment().token, "hf_file");
  setenv("HF_TOKEN", "hf_variable", 1);
  EXPECT_EQ(read_hub_environment().token, "hf_variable");
  setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  EXPECT_EQ(read_hub_environment().token, "");
  unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
  setenv("HF_TOKEN", "a\r\nb", 1);
  expect_error(ErrorCode::kInvalidArgument, {"HF_TOKEN"}, [] { read_hub_environment(); });
  unsetenv("HF_TOKEN");
  setenv("HF_ENDPOINT", "https://hub.example/sub//", 1);
  setenv("HF_HUB_OFFLINE", "yes", 1);
  EXPECT_EQ(read_hub_environment().endpoint, "https://hub.example/sub");
  EXPECT_TRUE(hub_is_offline());
  for (const char* endpoint : {"hub.example", "ftp://h", "https://", "https://u:p@h",
                               "https://h\\x", "http://h?x", "http://h x"}) {
    setenv("HF_ENDPOINT", endpoint, 1);
    expect_error(ErrorCode::kInvalidArgument, {"HF_ENDPOINT"}, [] { read_hub_environment(); });
  }
  for (const char* name : {"HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE"}) unsetenv(name);
}

}  // namespace
}  // namespace tq
