#include "loadgen/http_client.h"

namespace tq {
namespace {

constexpr size_t kMostFetched = size_t{64} << 20;

struct FetchSink : CallSink {
  void on_head(int status, std::string_view /*content_type*/) override { fetched.status = status; }
  bool on_body(std::string_view bytes) override {
    if (fetched.body.size() + bytes.size() > kMostFetched) return false;
    fetched.body += bytes;
    return true;
  }
  void on_end(const CallEnd& end) override {
    fetched.end = end;
    if (end.fault != CallFault::kNone) fetched.body.clear();
  }
  Fetched fetched;
};

}  // namespace

Fetched fetch(HttpClient& client, ClientRequest request) {
  const auto sink = std::make_shared<FetchSink>();
  client.send(std::move(request), sink);
  client.run();
  return std::move(sink->fetched);
}

}  // namespace tq
