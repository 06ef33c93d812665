#include "server/http_server.h"

#include <boost/asio/post.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "net/http_stream.h"
#include "server/http_core.h"

namespace tq {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr double kFarewellSeconds = 1;  // for what is under way when the server ends

}  // namespace

void HttpServer::Core::listen() {
  try {
    tcp::resolver resolver(io);
    const auto found =
        resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(1024);
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::kIo, "cannot listen on {} port {}: {}", options.host, options.port,
         error.code().message());
  }
}

void HttpServer::Core::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (ending) return;
    if (error) {  // as when there are too many open files
      pause.expires_after(std::chrono::milliseconds(100));
      pause.async_wait([this](error_code) {
        if (!ending) accept();
      });
      return;
    }
    if (connections.size() < options.n_connections) {
      auto connection = make_http_connection(*this, std::move(socket));
      connections.emplace(connection.get(), connection);
      try {
        connection->start();
      } catch (const std::exception& failure) {  // out of memory: others are to be heard
        warn("a connection failed: {}", failure.what());
        connections.erase(connection.get());
      }
    }
    accept();
  });
}

void HttpServer::Core::end() {
  ending = true;
  error_code ignored;
  acceptor.close(ignored);
  pause.cancel();
  std::vector<std::shared_ptr<HttpConnection>> open;
  for (const auto& [key, connection] : connections) open.push_back(connection);
  for (const auto& connection : open) connection->end();
  if (connections.empty()) return io.stop();
  farewell.expires_after(duration_of(kFarewellSeconds));
  farewell.async_wait([this](error_code) { io.stop(); });
}

HttpServer::HttpServer(const HttpOptions& options) : core_(std::make_shared<Core>(options)) {
  core_->listen();
  core_->thread = std::thread([core = core_.get()] {
    const auto work = asio::make_work_guard(core->io);
    while (!core->io.stopped()) {
      try {
        core->io.run();
      } catch (const std::exception& error) {  // of one task; others go on
        warn("a task of the server failed: {}", error.what());
      }
    }
  });
}

HttpServer::~HttpServer() {
  asio::post(core_->io, [core = core_.get()] { core->end(); });
  core_->thread.join();
  // What is still queued holds what holds the core.
  core_->io.restart();
  core_->io.poll();
}

void HttpServer::serve(HttpHandler& handler) {
  asio::post(core_->io, [core = core_.get(), &handler] {
    core->handler = &handler;
    core->accept();
  });
}

uint16_t HttpServer::port() const { return core_->acceptor.local_endpoint().port(); }

void HttpServer::post(std::function<void()> task) { asio::post(core_->io, std::move(task)); }

}  // namespace tq
