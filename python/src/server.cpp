// tq serve's server in this process.
#include <unistd.h>

#include <memory>
#include <mutex>

#include "base/error.h"
#include "module.h"
#include "server/model_server.h"
#include "session/option_reader.h"

namespace tq::python {
namespace {

// The server with its options.
class Server {
 public:
  Server(const std::string& path, const std::string& options) {
    OptionReader::read_all(parse(options), options_);
    options_.host.model.path = path;
    options_.prepare();
  }

  // Its end waits for threads that may be calling Python.
  ~Server() {
    const nb::gil_scoped_release unlock;
    close();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void start(Watch& watch) {
    auto server = std::make_shared<ModelServer>(options_);
    server->load([&](const ModelNeeds& needs) {
      return open_model(options_.host.model, needs,
                        [&](int64_t done, int64_t total) { watch.tell_or_throw(done, total); });
    });
    server_ = std::move(server);
  }
  // Whatever closes it meanwhile.
  std::shared_ptr<ModelServer> running() const {
    const std::lock_guard lock(mutex_);
    if (!server_) fail(ErrorCode::kCancelled, "the server was closed");
    return server_;
  }
  double drain_seconds() const { return options_.drain_seconds; }
  void close() {
    std::shared_ptr<ModelServer> last;
    {
      const std::lock_guard lock(mutex_);
      last.swap(server_);
    }
    // A process that was forked since has none of its threads.
    if (last && getpid() != owner_) (void)new std::shared_ptr<ModelServer>(std::move(last));
  }

 private:
  ServeOptions options_;
  mutable std::mutex mutex_;
  std::shared_ptr<ModelServer> server_;
  pid_t owner_ = getpid();
};

void construct_server(Server* place, const std::string& path, const std::string& options,
                      nb::object progress) {
  Watch watch(std::move(progress));
  new (place) Server(path, options);
  try {
    watch.run([&] { place->start(watch); });
  } catch (...) {
    place->~Server();
    throw;
  }
}

}  // namespace

void bind_server(nb::module_& module) {
  nb::class_<Server>(module, "Server")
      .def("__init__", construct_server, nb::arg("path"), nb::arg("options"),
           nb::arg("progress").none())
      .def("url", [](const Server& server) { return server.running()->url(); })
      .def("port", [](const Server& server) { return server.running()->port(); })
      .def("drain", [](const Server& server) { server.running()->drain(); })
      .def("n_open", [](const Server& server) { return server.running()->n_open(); })
      .def("fault",
           [](const Server& server) { return server.running()->host().service->status().fault; })
      .def("drain_seconds", &Server::drain_seconds)
      .def("close", &Server::close, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace tq::python
