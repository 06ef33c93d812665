// The one source of this folder that includes Boost.
#include "loadgen/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <optional>
#include <set>
#include <utility>  // Boost 1.74 needs it before its own headers

#include "base/error.h"
#include "net/http_stream.h"

namespace tq {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr size_t kMostBuffered = size_t{256} << 10;
constexpr uint32_t kMostHeaders = 64 << 10;
constexpr auto kAskInterval = std::chrono::milliseconds(50);

struct Connection {
  explicit Connection(asio::io_context& io) : stream(io), buffer(kMostBuffered) {}
  HttpStream stream;
  boost::beast::flat_buffer buffer;
};

CallFault fault_of(error_code error) {
  if (error == http::error::body_limit || error == http::error::header_limit ||
      error == http::error::buffer_overflow) {
    return CallFault::kTooLarge;
  }
  const bool is_http = error.category() == make_error_code(http::error::bad_method).category();
  if (!is_http || error == http::error::end_of_stream || error == http::error::partial_message) {
    return CallFault::kClosed;
  }
  return CallFault::kProtocol;
}

class Call;

}  // namespace

struct HttpClient::Core {
  // Ends all calls as cancelled and drops all tasks. told: their sinks are told so.
  void stop(bool told);

  ServerUrl url;
  ClientLimits limits;
  std::function<bool()> go_on;
  asio::io_context io{1};
  std::shared_ptr<const TlsContext> tls;  // of https
  std::vector<tcp::endpoint> endpoints;
  std::vector<std::unique_ptr<Connection>> idle;
  std::set<std::shared_ptr<Call>> calls;
  std::set<std::shared_ptr<asio::steady_timer>> timers;
};

namespace {

// One request and its answer. Every step goes on in the handler of an operation; once ended_,
// handlers that still come do nothing.
class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(HttpClient::Core& core, ClientRequest request, std::shared_ptr<CallSink> sink)
      : core_(core), sink_(std::move(sink)), timer_(core.io), begun_(HttpClient::now()) {
    text_ = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nUser-Agent: tq\r\n",
                        request.method, core.url.base, request.path, core.url.authority());
    for (const auto& [name, value] : request.headers) {
      text_ += fmt::format("{}: {}\r\n", name, value);
    }
    if (!request.body.empty()) {
      text_ += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n",
                           request.body.size());
    }
    text_ += "\r\n" + request.body;
  }

  void start();
  void end(CallFault fault, std::string message);
  void forget_sink() { sink_ = nullptr; }

 private:
  void connect();
  void secure();
  void begin();
  void write();
  void read_head();
  void read_body();
  void take_body();
  void complete();
  void arm(double seconds, CallFault fault);
  void fail_with(error_code error);
  // Whether the connection was closed while it waited for this request.
  bool was_closed(error_code error) const {
    return used_before_ && fault_of(error) == CallFault::kClosed && connection_->buffer.size() == 0;
  }

  HttpClient::Core& core_;
  std::shared_ptr<CallSink> sink_;
  asio::steady_timer timer_;
  double begun_;
  std::string text_;  // of the request
  std::unique_ptr<Connection> connection_;
  bool used_before_ = false;  // the connection
  std::optional<http::response_parser<http::string_body>> parser_;
  bool ended_ = false;
};

void Call::start() {
  if (core_.idle.empty()) return connect();
  connection_ = std::move(core_.idle.back());
  core_.idle.pop_back();
  used_before_ = true;
  arm(core_.limits.call_seconds, CallFault::kTimeout);
  write();
}

void Call::connect() {
  used_before_ = false;
  connection_ = std::make_unique<Connection>(core_.io);
  const double spent = HttpClient::now() - begun_;
  if (core_.limits.connect_seconds < core_.limits.call_seconds - spent) {
    arm(core_.limits.connect_seconds, CallFault::kConnect);
  } else {
    arm(core_.limits.call_seconds - spent, CallFault::kTimeout);
  }
  asio::async_connect(connection_->stream.socket(), core_.endpoints,
                      [self = shared_from_this()](error_code error, const tcp::endpoint&) {
                        if (self->ended_) return;
                        if (error) return self->end(CallFault::kConnect, error.message());
                        self->connection_->stream.begin();
                        self->secure();
                      });
}

void Call::secure() {
  if (!core_.tls) return begin();
  HttpStream& stream = connection_->stream;
  stream.secure(core_.tls->open(core_.url.host));
  stream.handshake([self = shared_from_this()](error_code error) {
    if (self->ended_) return;
    if (!error) return self->begin();
    const std::string problem = self->connection_->stream.problem();
    self->end(CallFault::kConnect, "TLS: " + (problem.empty() ? error.message() : problem));
  });
}

void Call::begin() {
  arm(core_.limits.call_seconds - HttpClient::now() + begun_, CallFault::kTimeout);
  write();
}

void Call::write() {
  // A server may refuse a request before it has read all of it, so what it says is read whether
  // the write succeeds or not.
  connection_->stream.write(text_, [self = shared_from_this()](error_code) {
    if (!self->ended_) self->read_head();
  });
}

void Call::read_head() {
  parser_.emplace();
  parser_->header_limit(kMostHeaders);
  parser_->body_limit(core_.limits.body_bytes);
  parser_->eager(true);
  http::async_read_header(
      connection_->stream, connection_->buffer, *parser_,
      [self = shared_from_this()](error_code error, size_t n) {
        if (self->ended_) return;
        if (error && n == 0 && self->was_closed(error)) return self->connect();
        if (error) return self->fail_with(error);
        const auto& message = self->parser_->get();
        const unsigned status = message.result_int();
        if (status >= 100 && status < 200) return self->read_head();
        const auto type = message[http::field::content_type];
        self->sink_->on_head(static_cast<int>(status), {type.data(), type.size()});
        self->take_body();
      });
}

void Call::read_body() {
  http::async_read_some(connection_->stream, connection_->buffer, *parser_,
                        [self = shared_from_this()](error_code error, size_t) {
                          if (self->ended_) return;
                          if (error) return self->fail_with(error);
                          self->take_body();
                        });
}

void Call::take_body() {
  std::string& body = parser_->get().body();
  if (!body.empty() && !sink_->on_body(body)) return end(CallFault::kCancelled, "");
  body.clear();
  if (parser_->is_done()) return complete();
  read_body();
}

void Call::complete() {
  if (parser_->keep_alive() && connection_->buffer.size() == 0) {
    core_.idle.push_back(std::move(connection_));
  }
  end(CallFault::kNone, "");
}

void Call::fail_with(error_code error) { end(fault_of(error), error.message()); }

void Call::arm(double seconds, CallFault fault) {
  timer_.expires_after(duration_of(std::max(seconds, 0.0)));
  timer_.async_wait([self = shared_from_this(), fault](error_code error) {
    if (error || self->ended_) return;
    self->end(fault,
              fault == CallFault::kConnect
                  ? fmt::format("no connection in {} s", self->core_.limits.connect_seconds)
                  : fmt::format("no complete answer in {} s", self->core_.limits.call_seconds));
  });
}

void Call::end(CallFault fault, std::string message) {
  if (std::exchange(ended_, true)) return;
  const auto self = shared_from_this();
  timer_.cancel();
  if (connection_) connection_->stream.close();
  core_.calls.erase(self);
  const std::shared_ptr<CallSink> sink = std::move(sink_);
  if (sink) sink->on_end({fault, std::move(message)});
}

}  // namespace

void HttpClient::Core::stop(bool told) {
  const auto dropped = std::exchange(timers, {});
  for (const auto& timer : dropped) timer->cancel();
  const auto ended = calls;
  for (const auto& call : ended) {
    if (!told) call->forget_sink();
    call->end(CallFault::kCancelled, "stopped");
  }
}

HttpClient::HttpClient(const ServerUrl& url, const ClientLimits& limits, const ClientTrust& trust,
                       std::function<bool()> go_on)
    : core_(std::make_unique<Core>()) {
  core_->go_on = std::move(go_on);
  core_->url = url;
  core_->limits = limits;
  if (url.tls) core_->tls = make_tls_client(trust.ca_file, trust.insecure);
  error_code error;
  tcp::resolver resolver(core_->io);
  for (const auto& found : resolver.resolve(url.host, url.port, error)) {
    core_->endpoints.push_back(found.endpoint());
  }
  if (core_->endpoints.empty()) {
    fail(ErrorCode::kNotFound, "{}: {} has no address: {}", url.text(), url.host, error.message());
  }
}

HttpClient::~HttpClient() {
  core_->stop(false);
  core_->io.restart();
  core_->io.poll();  // handlers hold what uses the core
}

void HttpClient::send(ClientRequest request, std::shared_ptr<CallSink> sink) {
  const auto call = std::make_shared<Call>(*core_, std::move(request), std::move(sink));
  core_->calls.insert(call);
  call->start();
}

void HttpClient::after(double seconds, std::function<void()> task) {
  const auto timer = std::make_shared<asio::steady_timer>(core_->io);
  core_->timers.insert(timer);
  timer->expires_after(duration_of(std::max(seconds, 0.0)));
  timer->async_wait([core = core_.get(), timer, task = std::move(task)](error_code error) {
    const bool dropped = core->timers.erase(timer) == 0;
    if (!error && !dropped) task();
  });
}

void HttpClient::run(const std::function<void()>& tick) {
  core_->io.restart();
  bool cancelled = false;
  try {
    while (!core_->io.stopped()) {
      core_->io.run_for(kAskInterval);
      if (tick) tick();
      cancelled = cancelled || (core_->go_on && !core_->go_on());
      if (cancelled) core_->stop(true);
    }
  } catch (...) {  // of a sink or a task
    core_->stop(false);
    throw;
  }
  if (cancelled) fail(ErrorCode::kCancelled, "interrupted");
}

double HttpClient::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const ServerUrl& HttpClient::url() const { return core_->url; }

}  // namespace tq
