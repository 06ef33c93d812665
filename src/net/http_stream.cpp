#include "net/http_stream.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace tq {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using State = TlsSession::State;

constexpr size_t kRecord = size_t{16} << 10;  // the most that TLS encrypts in one

}  // namespace

void HttpStream::begin() {
  Error ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
}

// Sends what TLS wants to be sent.
void HttpStream::send_out(Told told) {
  sending_ += tls_->take();
  if (sending_.empty()) return told({});
  writing_ = true;
  socket_.async_write_some(asio::buffer(sending_),
                           [this, told = std::move(told)](Error error, size_t n) mutable {
                             writing_ = false;
                             if (error) return told(error);
                             sending_.erase(0, n);
                             send_out(std::move(told));
                           });
}

// The same as far as nobody has to wait for it; the rest goes with what is written next.
void HttpStream::send_now() {
  if (writing_) return;
  sending_ += tls_->take();
  if (sending_.empty()) return;
  Error ignored;
  sending_.erase(0, socket_.write_some(asio::buffer(sending_), ignored));
}

void HttpStream::handshake(Told told) {
  const State state = tls_->advance();
  send_out([this, state, told = std::move(told)](Error error) mutable {
    if (error || state == State::kOpen) return told(error);
    if (state != State::kHandshake) return told(asio::error::connection_aborted);
    socket_.async_wait(tcp::socket::wait_read,
                       [this, told = std::move(told)](Error failed) mutable {
                         if (failed) return told(failed);
                         char bytes[kRecord];
                         const size_t n = socket_.read_some(asio::buffer(bytes), failed);
                         if (failed && failed != asio::error::would_block) return told(failed);
                         tls_->put({bytes, n});
                         handshake(std::move(told));
                       });
  });
}

size_t HttpStream::read_now(asio::mutable_buffer to, Error& error) {
  error = {};
  if (!tls_) return socket_.read_some(to, error);
  while (true) {
    const size_t n = tls_->read(static_cast<char*>(to.data()), to.size());
    send_now();
    if (n > 0) return n;
    if (tls_->state() != State::kOpen) {
      error = tls_->state() == State::kClosed ? Error(asio::error::eof)
                                              : Error(asio::error::connection_aborted);
      return 0;
    }
    char bytes[kRecord];
    const size_t n_more = socket_.read_some(asio::buffer(bytes), error);
    if (error) return 0;
    tls_->put({bytes, n_more});
  }
}

void HttpStream::read_some(asio::mutable_buffer to, Done done) {
  if (!tls_) return socket_.async_read_some(to, std::move(done));
  wait_readable([this, to, done = std::move(done)](Error error) mutable {
    const size_t n = error ? 0 : read_now(to, error);
    if (error == asio::error::would_block) return read_some(to, std::move(done));
    done(error, n);
  });
}

void HttpStream::wait_readable(Told told) {
  if (tls_ && tls_->has_pending()) {
    return asio::post(socket_.get_executor(), [told = std::move(told)] { told({}); });
  }
  socket_.async_wait(tcp::socket::wait_read, std::move(told));
}

void HttpStream::write_some(std::string_view bytes, Done done) {
  if (!tls_) {
    return socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), std::move(done));
  }
  if (tls_->state() != State::kOpen) {
    return asio::post(socket_.get_executor(),
                      [done = std::move(done)] { done(asio::error::connection_aborted, 0); });
  }
  const size_t n = std::min(bytes.size(), kRecord);
  tls_->write(bytes.substr(0, n));
  send_out([n, done = std::move(done)](Error error) { done(error, error ? 0 : n); });
}

void HttpStream::write(std::string_view bytes, Told told) {
  write_some(bytes, [this, bytes, told = std::move(told)](Error error, size_t n) mutable {
    if (error || n == bytes.size()) return told(error);
    write(bytes.substr(n), std::move(told));
  });
}

void HttpStream::shutdown() {
  if (tls_) {
    tls_->close();
    send_now();
  }
  Error ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

void HttpStream::close() {
  Error ignored;
  socket_.close(ignored);
}

}  // namespace tq
