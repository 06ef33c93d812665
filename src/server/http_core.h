// What an HttpServer is on its thread, and one client of it, by Boost.Asio.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>  // Boost 1.74 needs it before its own headers

#include "server/http_server.h"

namespace tq {

class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  virtual void start() = 0;
  // The server ends: goes now, or when it has answered.
  virtual void end() = 0;
};

// All but the constructor on the server's thread.
struct HttpServer::Core : std::enable_shared_from_this<HttpServer::Core> {
  explicit Core(const HttpOptions& http_options) : options(http_options) {}

  void listen();
  void accept();
  void end();

  HttpOptions options;
  HttpHandler* handler = nullptr;
  boost::asio::io_context io{1};
  boost::asio::ip::tcp::acceptor acceptor{io};
  boost::asio::steady_timer pause{io};
  boost::asio::steady_timer farewell{io};
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>> connections;
  bool ending = false;
  std::thread thread;
};

// Takes itself out of the core's connections when it closes.
std::shared_ptr<HttpConnection> make_http_connection(HttpServer::Core& core,
                                                     boost::asio::ip::tcp::socket socket);

}  // namespace tq
