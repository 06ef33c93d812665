// HttpStream: a TCP connection, with or without TLS, as Boost.Beast reads it. What is asynchronous
// is compiled once, behind std::function. One thread, that of its io_context. Whoever has one keeps
// it alive until the handlers of what was begun have been called.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>  // Boost 1.74 needs it before its own headers

#include "net/tls.h"

namespace tq {

// As timers of Boost.Asio want it.
inline std::chrono::nanoseconds duration_of(double seconds) {
  return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

class HttpStream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;
  using Error = boost::system::error_code;
  using Done = std::function<void(Error, size_t)>;
  using Told = std::function<void(Error)>;

  explicit HttpStream(boost::asio::io_context& io) : socket_(io) {}
  explicit HttpStream(Socket socket) : socket_(std::move(socket)) {}

  Socket& socket() { return socket_; }
  executor_type get_executor() { return socket_.get_executor(); }
  // The socket is connected: it does not block from now on, and sends at once.
  void begin();
  // From now on with TLS: handshake() comes first.
  void secure(std::unique_ptr<TlsSession> session) { tls_ = std::move(session); }
  void handshake(Told told);
  // What TLS has to say of a failure; empty: nothing.
  std::string problem() const { return tls_ ? tls_->error() : std::string(); }

  // One at a time: reads some bytes, at least one. boost::asio::error::eof: none will come.
  void read_some(boost::asio::mutable_buffer to, Done done);
  // The same of what is there already, else error would_block.
  size_t read_now(boost::asio::mutable_buffer to, Error& error);
  // Until there may be something to read.
  void wait_readable(Told told);
  // One at a time: writes some of the bytes, which stay where they are meanwhile; or all.
  void write_some(std::string_view bytes, Done done);
  void write(std::string_view bytes, Told told);
  // No more is written.
  void shutdown();
  void close();

  // As Boost's algorithms call it.
  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& to, Handler&& handler) {
    // std::function copies what it holds.
    auto held = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
    read_some(*boost::asio::buffer_sequence_begin(to),
              [held](Error error, size_t n) { (*held)(error, n); });
  }

 private:
  void send_out(Told told);
  void send_now();

  Socket socket_;
  std::unique_ptr<TlsSession> tls_;
  bool writing_ = false;
  std::string sending_;  // of TLS
};

}  // namespace tq
