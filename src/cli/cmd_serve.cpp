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

#include "base/error.h"
#include "base/log.h"
#include "base/log_format.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/option_flags.h"
#include "cli/terminal.h"
#include "server/model_server.h"

namespace tq {
namespace {

struct ServeCommand {
  ServeOptions serve;
  std::string log_format = "text";
};

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
      : options_(options), global_(global), server_(options) {}
  ~Serving() {
    if (loader_.joinable()) loader_.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  void run() {
    loader_ = std::thread([this] { load(); });
    while (true) {
      if (signals_.came() && !on_signal()) return;
      if (!loaded_) continue;
      if (load_error_) std::rethrow_exception(load_error_);
      const ServiceStatus status = server_.host().service->status();
      if (!status.fault.empty()) {
        server_.drain();  // or clients that come again keep it alive
        if (server_.n_open() == 0) fail(status.fault_code, "the engine failed: {}", status.fault);
      }
      if (!draining_) continue;
      if (server_.n_open() == 0) return;
      if (std::chrono::steady_clock::now() > drained_until_) {
        fail(ErrorCode::kCancelled, "{} answers were not complete after {} s", server_.n_open(),
             options_.drain_seconds);
      }
    }
  }

 private:
  void load() {
    try {
      server_.load([this](const ModelNeeds& needs) {
        return open_model(options_.host.model, needs, global_);
      });
      if (global_.json) {
        print_json({{"command", "serve"},
                    {"url", server_.url()},
                    {"model", options_.api.model_names[0]},
                    {"context", server_.host().loaded.memory.context},
                    {"load_s", server_.host().loaded.load_seconds}});
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
      fail(ErrorCode::kCancelled, "interrupted: {} answers are cancelled", server_.n_open());
    }
    server_.drain();
    draining_ = true;
    drained_until_ = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(static_cast<int64_t>(options_.drain_seconds * 1e3));
    info("no more requests are taken; {} answers are under way (a second signal cancels them)",
         server_.n_open());
    return true;
  }

  const ServeOptions& options_;
  const GlobalOptions& global_;
  Signals signals_;  // before all threads
  ModelServer server_;
  std::exception_ptr load_error_;  // of the loader until loaded_
  std::atomic<bool> loaded_ = false;
  std::thread loader_;
  bool draining_ = false;
  std::chrono::steady_clock::time_point drained_until_;
};

void run_serve(ServeCommand command, const GlobalOptions& global) {
  if (command.log_format == "json") set_log_format(LogFormat::kJson);
  command.serve.prepare();
  allow_many_files();
  Serving(command.serve, global).run();
}

}  // namespace

void add_serve(CLI::App& app, const GlobalOptions& global) {
  auto options = std::make_shared<ServeCommand>();
  ServeOptions& serve = options->serve;
  CLI::App* command = app.add_subcommand("serve", "Serve a model to OpenAI's clients over HTTP");
  add_model_options(*command, serve.host.model, std::to_string(ModelNeeds{}.default_ctx));
  const std::string group = command->get_option("MODEL")->get_group();  // as of options without one
  visit_address_options(serve, OptionFlags(*command, group));
  command->add_option("--log-format", options->log_format, "Lines of the log: text, or json")
      ->check(CLI::IsMember({"text", "json"}));
  visit_security_options(serve, OptionFlags(*command, "Who may ask"));
  visit_limit_options(serve, OptionFlags(*command, "Limits"));
  command->get_option("--max-body")->default_str("32MiB");
  add_examples(*command,
               {"tq serve ./Qwen3-8B", "tq serve model.gguf --port 8080 --max-num-seqs 16",
                "tq serve ./Qwen3-8B --host 0.0.0.0 --api-key-file keys.txt"});
  command->callback([options, &global] { run_serve(*options, global); });
}

}  // namespace tq
