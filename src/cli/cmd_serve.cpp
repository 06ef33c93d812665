// tq serve: an OpenAI-compatible server (src/server) on one model.
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/log_format.h"
#include "cli/build_info.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/option_flags.h"
#include "cli/sizes.h"
#include "cli/terminal.h"
#include "convert/side_files.h"
#include "net/tls.h"
#include "server/api.h"
#include "server/host.h"
#include "server/http_server.h"

namespace tq {
namespace {

struct ServeOptions {
  HostOptions host;
  HttpOptions http{.port = 8000};
  ApiOptions api{.model_names = {}};
  std::vector<std::string> key_files;
  std::string tls_cert;
  std::string tls_key;
  bool no_page = false;
  double drain_seconds = 60;
  std::string log_format = "text";
};

// One key a line; empty lines and those that begin with '#' are none.
void read_keys(const std::string& path, std::vector<std::string>& keys) {
  const size_t before = keys.size();
  for (std::string line : CLI::detail::split(read_text_file(path), '\n')) {
    CLI::detail::trim(line);
    if (!line.empty() && line[0] != '#') keys.push_back(line);
  }
  if (keys.size() == before) fail(ErrorCode::kInvalidArgument, "{}: there is no key in it", path);
}

// "Qwen3-8B" of ".../Qwen3-8B/" and of ".../Qwen3-8B.gguf".
std::string name_of(const std::string& path) {
  const fs::path name = base_name(path);
  return name.extension() == ".gguf" ? name.stem() : name;
}

// Every connection takes a file descriptor.
void allow_many_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// SIGINT and SIGTERM, waited for instead of handled. Threads that begin later inherit that.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~Signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Whether one came within a twentieth of a second.
  bool came() const {
    const timespec time{.tv_sec = 0, .tv_nsec = 50'000'000};
    return sigtimedwait(&set_, nullptr, &time) > 0;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// The server's life: loading beside the answers to those who ask whether it is ready, then waiting
// for a signal, and the end of what was begun.
class Serving {
 public:
  Serving(const ServeOptions& options, const GlobalOptions& global)
      : options_(options),
        global_(global),
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
  ~Serving() {
    if (loader_.joinable()) loader_.join();
    api_.close_model();
    host_.reset();    // what is under way is cancelled, and told so
    server_.reset();  // which sends that
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  void run() {
    loader_ = std::thread([this] { load(); });
    while (true) {
      if (signals_.came() && !on_signal()) return;
      if (!loaded_) continue;
      if (load_error_) std::rethrow_exception(load_error_);
      const ServiceStatus status = host_->service->status();
      if (!status.fault.empty()) {
        api_.drain();  // or clients that come again keep it alive
        if (api_.n_open() == 0) fail(status.fault_code, "the engine failed: {}", status.fault);
      }
      if (!draining_) continue;
      if (api_.n_open() == 0) return;
      if (std::chrono::steady_clock::now() > drained_until_) {
        fail(ErrorCode::kCancelled, "{} answers were not complete after {} s", api_.n_open(),
             options_.drain_seconds);
      }
    }
  }

 private:
  void load() {
    try {
      host_ = load_host(options_.host, [this](const ModelNeeds& needs) {
        return open_model(options_.host.model, needs, global_);
      });
      const ServedModel served = host_->served();
      api_.open_model(served);
      info(
          "ready: {} as \"{}\", context {} tokens, {} answers at a time in a KV cache of {} tokens",
          options_.host.model.path, options_.api.model_names[0], served.context, served.n_sequences,
          host_->loaded.memory.n_pages * kKvBlockTokens);
      if (global_.json) {
        print_json({{"command", "serve"},
                    {"url", url_},
                    {"model", options_.api.model_names[0]},
                    {"context", served.context},
                    {"load_s", host_->loaded.load_seconds}});
      }
    } catch (...) {
      load_error_ = std::current_exception();
    }
    loaded_ = true;
  }

  // False: go at once.
  bool on_signal() {
    if (!loaded_) {  // which cannot be interrupted
      TerminalScope::abandon();
      std::_Exit(exit_code(ErrorCode::kCancelled));
    }
    if (draining_) {
      fail(ErrorCode::kCancelled, "interrupted: {} answers are cancelled", api_.n_open());
    }
    api_.drain();
    draining_ = true;
    drained_until_ = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(static_cast<int64_t>(options_.drain_seconds * 1e3));
    info("no more requests are taken; {} answers are under way (a second signal cancels them)",
         api_.n_open());
    return true;
  }

  const ServeOptions& options_;
  const GlobalOptions& global_;
  Signals signals_;  // before all threads
  std::unique_ptr<HttpServer> server_;
  Api api_;
  std::string url_;
  std::unique_ptr<Host> host_;     // of the loader until loaded_
  std::exception_ptr load_error_;  // likewise
  std::atomic<bool> loaded_ = false;
  std::thread loader_;
  bool draining_ = false;
  std::chrono::steady_clock::time_point drained_until_;
};

void run_serve(ServeOptions options, const GlobalOptions& global) {
  if (options.api.model_names.empty()) options.api.model_names = {name_of(options.host.model.path)};
  options.api.root = options.host.model.path;
  options.api.version = build_info().version;
  options.api.guard.page = !options.no_page;
  if (options.log_format == "json") set_log_format(LogFormat::kJson);
  for (const std::string& file : options.key_files) read_keys(file, options.api.guard.api_keys);
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    fail(ErrorCode::kInvalidArgument, "--tls-cert and --tls-key go together: {} is missing",
         options.tls_cert.empty() ? "--tls-cert" : "--tls-key");
  }
  if (!options.tls_cert.empty()) {
    options.http.tls = make_tls_server(options.tls_cert, options.tls_key);
    options.api.guard.tls = true;
  }
  allow_many_files();
  Serving(options, global).run();
}

void add_security_options(CLI::App& command, ServeOptions& options) {
  constexpr const char* kGroup = "Who may ask";
  command
      .add_option("--api-key", options.api.guard.api_keys,
                  "Key that requests must bring; may be repeated. Others can read command lines: "
                  "rather a file")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      .add_option("--api-key-file", options.key_files,
                  "File with such keys, one a line; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      .add_option("--cors-origins", options.api.guard.cors_origins,
                  "Origin (https://chat.example) whose pages may use the server from a browser; * "
                  "is all; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command
      .add_option("--allowed-hosts", options.api.guard.allowed_hosts,
                  "Name under which the server may be asked, besides localhost and addresses; * is "
                  "all; may be repeated")
      ->allow_extra_args(false)
      ->group(kGroup);
  command.add_flag("--no-page", options.no_page, "Serve no chat page at /")->group(kGroup);
  command
      .add_option("--tls-cert", options.tls_cert,
                  "Certificate (PEM, with its chain) to serve https with; needs --tls-key")
      ->group(kGroup);
  command.add_option("--tls-key", options.tls_key, "Its key (PEM, without a password)")
      ->group(kGroup);
}

void add_limit_options(CLI::App& command, ServeOptions& options) {
  constexpr const char* kGroup = "Limits";
  const auto seconds = [&](const char* name, double& value, const char* what) {
    command.add_option(name, value, what)->check(CLI::Range(0.1, 1e6))->group(kGroup);
  };
  visit_host_options(options.host, OptionFlags(command, kGroup));
  command.get_option("--chat-template")->group(command.get_option("--host")->get_group());
  command
      .add_option("--max-queue", options.api.max_queue,
                  "Requests that may wait besides; others get status 429")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->group(kGroup);
  command.add_option("--max-body", options.http.body_bytes, "Bytes of a request's body at most")
      ->transform(byte_size())
      ->default_str("32MiB")
      ->group(kGroup);
  seconds("--header-timeout", options.http.header_seconds, "Seconds to send a request's headers");
  seconds("--body-timeout", options.http.body_seconds, "Seconds to send its body");
  seconds("--write-timeout", options.http.write_seconds,
          "Seconds until a client that reads nothing is cut off");
  seconds("--idle-timeout", options.http.idle_seconds,
          "Seconds that a connection may wait for its next request");
  seconds("--ping-interval", options.http.ping_seconds,
          "Seconds of silence in a stream until a comment keeps it open");
  seconds("--stall-timeout", options.api.stall_seconds,
          "Seconds that a step of the engine may take before /health says 503");
  seconds("--drain-timeout", options.drain_seconds,
          "Seconds that answers get to be completed after SIGTERM");
}

}  // namespace

void add_serve(CLI::App& app, const GlobalOptions& global) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model to OpenAI's clients over HTTP");
  add_model_options(*command, options->host.model, std::to_string(ModelNeeds{}.default_ctx));
  command->add_option("--host", options->http.host,
                      "Address or name to listen on; 0.0.0.0 is every network of this machine");
  command->add_option("--port", options->http.port, "Port to listen on; 0 is a free one");
  command
      ->add_option("--served-model-name", options->api.model_names,
                   "Name that clients ask for; may be repeated; without it the file's or folder's")
      ->allow_extra_args(false);
  command->add_option("--log-format", options->log_format, "Lines of the log: text, or json")
      ->check(CLI::IsMember({"text", "json"}));
  add_security_options(*command, *options);
  add_limit_options(*command, *options);
  add_examples(*command,
               {"tq serve ./Qwen3-8B", "tq serve model.gguf --port 8080 --max-num-seqs 16",
                "tq serve ./Qwen3-8B --host 0.0.0.0 --api-key-file keys.txt"});
  command->callback([options, &global] { run_serve(*options, global); });
}

}  // namespace tq
