#include "server/model_server.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace tq {

ModelServer::ModelServer(const ServeOptions& options)
    : options_(options),
      server_(std::make_unique<HttpServer>(options.http)),
      api_(options.api, [server = server_.get()](std::function<void()> task) {
        server->post(std::move(task));
      }) {
  server_->serve(api_);
  const bool six = options.http.host.find(':') != std::string::npos;
  url_ = fmt::format("{0}://{1}{2}{3}:{4}", options.http.tls ? "https" : "http", six ? "[" : "",
                     options.http.host, six ? "]" : "", server_->port());
  info("listening on {}", url_);
}

ModelServer::~ModelServer() {
  api_.close_model();
  host_.reset();    // what is under way is cancelled, and told so
  server_.reset();  // which sends that
}

void ModelServer::load(const OpenModel& open) {
  host_ = load_host(options_.host, open);
  const ServedModel served = host_->served();
  api_.open_model(served);
  info("ready: {} as \"{}\", context {} tokens, {} answers at a time in a KV cache of {} tokens",
       options_.host.model.path, options_.api.model_names[0], served.context, served.n_sequences,
       host_->loaded.memory.n_pages * kKvBlockTokens);
}

}  // namespace tq
