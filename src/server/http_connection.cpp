// Reads the requests of one client and writes the answers. The one source of this folder that
// includes Boost.Beast: it takes longest of all to compile.
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>  // Boost 1.74 needs it before its own headers

#include "base/ascii.h"
#include "base/log.h"
#include "net/http_stream.h"
#include "server/api_error.h"
#include "server/http_core.h"

namespace tq {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr size_t kReadAhead = size_t{64} << 10;  // of requests that a client sends unasked
constexpr double kLookSeconds = 0.05;  // between looks at a client of whom nothing more is read
constexpr size_t kMostLingered = size_t{4} << 20;
constexpr double kLingerSeconds = 2;  // for a client to stop sending what is refused

std::string_view view_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

template <typename Message>
HttpHead head_of(const Message& message) {
  HttpHead head;
  head.method = view_of(message.method_string());
  const std::string_view target = view_of(message.target());
  head.path = target.substr(0, target.find_first_of("?#"));
  for (const auto& field : message) {
    head.headers.emplace_back(lower_case(view_of(field.name_string())), view_of(field.value()));
  }
  return head;
}

// One client. Everything runs on the server's thread. One of these waits for something at a time,
// as state_ says; besides, writing_ tells whether a write is under way, and waiting_ whether the
// socket is watched for what a client sends, or for its going, while it is answered.
class Connection : public HttpConnection, public std::enable_shared_from_this<Connection> {
 public:
  Connection(HttpServer::Core& core, tcp::socket socket)
      : core_(core),
        stream_(std::move(socket)),
        timer_(core.io),
        looks_(core.io),
        buffer_(4 * kReadAhead) {}

  void start() override {
    stream_.begin();
    const auto unacknowledged = static_cast<unsigned>(core_.options.write_seconds * 1000);
    setsockopt(stream_.socket().native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged,
               sizeof unacknowledged);
    if (!core_.options.tls) return read_header();
    stream_.secure(core_.options.tls->open(""));
    arm(core_.options.header_seconds);
    stream_.handshake([self = shared_from_this()](error_code error) {
      if (self->state_ != State::kHandshake) return;
      if (error) return self->close();
      self->read_header();
    });
  }
  void end() override {
    keep_alive_ = false;
    if (state_ != State::kAnswer && state_ != State::kLinger) close();
  }

  // From the responder of an answer; others than the one under way are ignored.
  void send(uint64_t answer, HttpResponse response);
  void begin_stream(uint64_t answer, HttpResponse response);
  void write(uint64_t answer, const std::string& events);
  void end_stream(uint64_t answer);
  void on_disconnect(uint64_t answer, std::function<void()> told);

 private:
  enum class State : uint8_t {
    kHandshake,  // of TLS, before the first request
    kHeader,     // reads the first lines
    kBody,       // reads the body
    kAnswer,     // the request was taken; what is sent is the answer
    kIdle,       // waits for the next request
    kLinger,     // has answered, and reads what it does not want until the client stops
    kClosed,
  };

  void read_header();
  void on_header(error_code error);
  void on_body(error_code error);
  void on_read_error(error_code error);
  void refuse(const ApiError& error) { refuse_with(error_response(error)); }
  void refuse_with(HttpResponse response);
  void begin_answer();
  void take();
  void append_head(const HttpResponse& response, std::string_view framing);
  void watch();
  void look();
  void on_readable();
  void flush();
  void write_more();
  void on_written(error_code error, size_t n);
  void finish_answer();
  void linger();
  void drop();
  void close();
  void arm(double seconds);
  void disarm();
  void on_timer();
  bool is_current(uint64_t answer) const {
    return state_ == State::kAnswer && answer == answer_ && !answered_;
  }

  HttpServer::Core& core_;
  HttpStream stream_;
  asio::steady_timer timer_;
  asio::steady_timer looks_;
  uint64_t timer_number_ = 0;
  State state_ = State::kHandshake;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpHead head_;
  bool keep_alive_ = false;
  bool http_1_1_ = true;
  bool unread_body_ = false;
  size_t n_lingered_ = 0;  // bytes
  bool waiting_ = false;

  uint64_t answer_ = 0;
  bool streaming_ = false;
  bool answered_ = false;
  std::function<void()> told_;
  bool writing_ = false;
  std::string sending_;
  size_t n_sent_ = 0;  // of sending_
  std::string unsent_;
};

class ConnectionResponder : public Responder {
 public:
  ConnectionResponder(std::shared_ptr<HttpServer::Core> core, std::weak_ptr<Connection> connection,
                      uint64_t answer)
      : core_(std::move(core)), connection_(std::move(connection)), answer_(answer) {}
  ~ConnectionResponder() override {
    if (!answered_) send(error_response({500, "the request was lost: please report this"}));
  }
  void send(HttpResponse response) override {
    answered_ = true;
    run([response = std::move(response)](Connection& connection, uint64_t answer) mutable {
      connection.send(answer, std::move(response));
    });
  }
  void start(HttpResponse head) override {
    run([head = std::move(head)](Connection& connection, uint64_t answer) mutable {
      connection.begin_stream(answer, std::move(head));
    });
  }
  void write(std::string events) override {
    run([events = std::move(events)](Connection& connection, uint64_t answer) {
      connection.write(answer, events);
    });
  }
  void end() override {
    answered_ = true;
    run([](Connection& connection, uint64_t answer) { connection.end_stream(answer); });
  }
  void on_disconnect(std::function<void()> told) override {
    asio::dispatch(core_->io,
                   [connection = connection_, answer = answer_, told = std::move(told)]() mutable {
                     if (const auto found = connection.lock()) {
                       found->on_disconnect(answer, std::move(told));
                     } else if (told) {
                       told();
                     }
                   });
  }

 private:
  template <typename Action>
  void run(Action action) {
    asio::dispatch(core_->io, [connection = connection_, answer = answer_,
                               action = std::move(action)]() mutable {
      if (const auto found = connection.lock()) action(*found, answer);
    });
  }

  std::shared_ptr<HttpServer::Core> core_;
  std::weak_ptr<Connection> connection_;
  uint64_t answer_;
  bool answered_ = false;
};

void Connection::read_header() {
  state_ = State::kHeader;
  unread_body_ = true;
  head_ = {};
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(core_.options.header_bytes));
  parser_->body_limit(core_.options.body_bytes);
  arm(core_.options.header_seconds);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](error_code error, size_t) { self->on_header(error); });
}

void Connection::on_header(error_code error) {
  if (state_ != State::kHeader) return;
  if (error) return on_read_error(error);
  const auto& message = parser_->get();
  head_ = head_of(message);
  http_1_1_ = message.version() >= 11;
  keep_alive_ = message.keep_alive() && !core_.ending;
  unread_body_ = !parser_->is_done();
  if (head_.headers.size() > core_.options.n_headers) {
    keep_alive_ = false;
    return refuse({431, fmt::format("more than {} headers", core_.options.n_headers)});
  }
  if (auto refused = core_.handler->check(head_)) return refuse_with(std::move(*refused));
  if (parser_->is_done()) return take();
  const auto length = parser_->content_length().value_or(UINT64_MAX);
  if (head_.method != "POST" && length > core_.options.header_bytes) {
    return refuse({413, head_.method + " takes no body"});  // and has not shown a key
  }
  state_ = State::kBody;
  const std::string* expect = head_.find("expect");
  if (http_1_1_ && expect != nullptr && lower_case(*expect) == "100-continue") {
    unsent_ += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  arm(core_.options.body_seconds);
  http::async_read(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](error_code failed, size_t) { self->on_body(failed); });
}

void Connection::on_body(error_code error) {
  if (state_ != State::kBody) return;
  if (error) return on_read_error(error);
  unread_body_ = false;
  take();
}

void Connection::on_read_error(error_code error) {
  if (error == http::error::body_limit) {
    return refuse({413, fmt::format("the body is larger than {} bytes", core_.options.body_bytes)});
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(
        {431, fmt::format("the headers are larger than {} bytes", core_.options.header_bytes)});
  }
  const bool is_http = error.category() == make_error_code(http::error::bad_method).category();
  if (!is_http || error == http::error::end_of_stream || error == http::error::partial_message) {
    return close();
  }
  refuse({400, "this is not HTTP: " + error.message()});
}

void Connection::refuse_with(HttpResponse response) {
  if (unread_body_) keep_alive_ = false;
  begin_answer();
  send(answer_, std::move(response));
}

void Connection::begin_answer() {
  state_ = State::kAnswer;
  ++answer_;
  streaming_ = answered_ = false;
  disarm();
}

void Connection::take() {
  HttpRequest request;
  static_cast<HttpHead&>(request) = head_;
  request.body = std::move(parser_->get().body());
  begin_answer();
  watch();
  auto responder =
      std::make_shared<ConnectionResponder>(core_.shared_from_this(), weak_from_this(), answer_);
  try {
    core_.handler->handle(std::move(request), responder);
  } catch (const std::exception& error) {
    warn("a request failed: {}", error.what());
    responder->send(error_response({500, "the server failed at this request"}));
  }
}

// framing: the header that says where the body ends.
void Connection::append_head(const HttpResponse& response, std::string_view framing) {
  const std::string_view reason =
      view_of(http::obsolete_reason(static_cast<http::status>(response.status)));
  fmt::format_to(std::back_inserter(unsent_), "HTTP/1.1 {} {}\r\nContent-Type: {}\r\n{}",
                 response.status, reason, response.content_type, framing);
  for (const auto& [name, value] : response.headers) {
    fmt::format_to(std::back_inserter(unsent_), "{}: {}\r\n", name, value);
  }
  unsent_ += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
}

void Connection::send(uint64_t answer, HttpResponse response) {
  if (!is_current(answer) || streaming_) return;
  answered_ = true;
  append_head(response, fmt::format("Content-Length: {}\r\n", response.body.size()));
  if (head_.method != "HEAD") unsent_ += response.body;
  flush();
}

void Connection::begin_stream(uint64_t answer, HttpResponse response) {
  if (!is_current(answer) || streaming_) return;
  streaming_ = true;
  if (!http_1_1_) keep_alive_ = false;  // only the end of the connection ends such a body
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.headers.emplace_back("X-Accel-Buffering", "no");
  append_head(response, http_1_1_ ? "Transfer-Encoding: chunked\r\n" : "");
  flush();
}

void Connection::write(uint64_t answer, const std::string& events) {
  if (!is_current(answer) || !streaming_ || events.empty()) return;
  if (unsent_.size() > core_.options.unsent_bytes) {  // an event itself may have any size
    warn("a client is cut off: it has not read {} bytes", unsent_.size());
    return drop();
  }
  if (http_1_1_) fmt::format_to(std::back_inserter(unsent_), "{:x}\r\n", events.size());
  unsent_ += events;
  if (http_1_1_) unsent_ += "\r\n";
  flush();
}

void Connection::end_stream(uint64_t answer) {
  if (!is_current(answer) || !streaming_) return;
  answered_ = true;
  if (http_1_1_) unsent_ += "0\r\n\r\n";
  flush();
  if (state_ == State::kAnswer && !writing_) finish_answer();  // nothing was left to write
}

void Connection::on_disconnect(uint64_t answer, std::function<void()> told) {
  if (state_ == State::kClosed || answer != answer_) {
    if (told) told();
    return;
  }
  if (is_current(answer)) told_ = std::move(told);
}

void Connection::watch() {
  if (waiting_) return;
  waiting_ = true;
  if (state_ == State::kAnswer && buffer_.size() >= kReadAhead) return look();
  stream_.wait_readable([self = shared_from_this()](error_code error) {
    self->waiting_ = false;
    if (!error) self->on_readable();
  });
}

// What was sent ahead stays in the socket, and with it the end that a client's going would be:
// only poll() tells of it.
void Connection::look() {
  looks_.expires_after(duration_of(kLookSeconds));
  looks_.async_wait([self = shared_from_this()](error_code) {
    self->waiting_ = false;
    const State state = self->state_;
    if (state == State::kAnswer) {
      pollfd polled{
          .fd = self->stream_.socket().native_handle(), .events = POLLRDHUP, .revents = 0};
      if (poll(&polled, 1, 0) > 0) return self->drop();
    }
    if (state == State::kAnswer || state == State::kIdle || state == State::kLinger) self->watch();
  });
}

void Connection::on_readable() {
  if (state_ == State::kIdle) return read_header();
  if (state_ == State::kLinger) return linger();
  if (state_ != State::kAnswer) return;
  error_code error;
  const size_t n = stream_.read_now(buffer_.prepare(4096), error);
  if (error && error != asio::error::would_block) return drop();
  if (!error) buffer_.commit(n);
  watch();
}

void Connection::flush() {
  if (writing_ || unsent_.empty() || state_ == State::kClosed) return;
  writing_ = true;
  sending_.swap(unsent_);
  unsent_.clear();
  n_sent_ = 0;
  write_more();
}

void Connection::write_more() {
  if (state_ == State::kAnswer) arm(core_.options.write_seconds);
  stream_.write_some(
      std::string_view(sending_).substr(n_sent_),
      [self = shared_from_this()](error_code error, size_t n) { self->on_written(error, n); });
}

void Connection::on_written(error_code error, size_t n) {
  if (state_ == State::kClosed) return;
  if (error) return drop();
  n_sent_ += n;
  if (n_sent_ < sending_.size()) return write_more();
  writing_ = false;
  sending_.clear();
  if (!unsent_.empty()) return flush();
  if (state_ != State::kAnswer) return;
  if (answered_) return finish_answer();
  if (streaming_) {
    arm(core_.options.ping_seconds);
  } else {
    disarm();
  }
}

void Connection::finish_answer() {
  told_ = nullptr;
  if (!keep_alive_ || core_.ending) {
    stream_.shutdown();
    if (!unread_body_) return close();
    state_ = State::kLinger;
    arm(kLingerSeconds);
    return linger();
  }
  if (buffer_.size() > 0) return read_header();
  state_ = State::kIdle;
  arm(core_.options.idle_seconds);
  watch();
}

// A client that is still sending would not see the answer if the socket were closed now.
void Connection::linger() {
  buffer_.consume(buffer_.size());
  error_code error;
  size_t n = 0;
  for (size_t taken = 0; !error && taken < (size_t{1} << 20); taken += n) {
    n = stream_.read_now(buffer_.prepare(kReadAhead), error);
    n_lingered_ += n;
  }
  if (n_lingered_ > std::max(kMostLingered, 2 * core_.options.body_bytes)) return close();
  if (error && error != asio::error::would_block) return close();
  watch();
}

void Connection::drop() {
  const auto told = std::exchange(told_, nullptr);
  close();
  if (told) told();
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  disarm();
  stream_.close();
  const auto self = shared_from_this();
  core_.connections.erase(this);
  if (core_.ending && core_.connections.empty()) core_.farewell.cancel();
}

void Connection::arm(double seconds) {
  timer_.expires_after(duration_of(seconds));
  timer_.async_wait([self = shared_from_this(), number = ++timer_number_](error_code error) {
    if (!error && number == self->timer_number_) self->on_timer();
  });
}

void Connection::disarm() {
  ++timer_number_;
  timer_.cancel();
}

void Connection::on_timer() {
  switch (state_) {
    case State::kHeader:
    case State::kBody:
      keep_alive_ = false;
      unread_body_ = false;  // it is not waited for any longer
      stream_.socket().cancel();
      return refuse({408, "the request did not come in time"});
    case State::kAnswer:
      if (writing_) {
        warn("a client is cut off: it reads nothing");
        return drop();
      }
      if (streaming_) write(answer_, ": ping\n\n");
      return;
    default:
      return close();
  }
}

}  // namespace

std::shared_ptr<HttpConnection> make_http_connection(HttpServer::Core& core, tcp::socket socket) {
  return std::make_shared<Connection>(core, std::move(socket));
}

}  // namespace tq
