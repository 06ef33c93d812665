// Service: an engine with a thread of its own, for callers on many threads: a server, a host
// program.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"

namespace tq {

struct ServiceStatus {
  EngineStatus engine;      // after its last step
  size_t n_requests = 0;    // submitted and not ended
  double step_seconds = 0;  // how long the step under way has taken; 0: none is
  // Why the engine is not to be relied on any more: it broke (kInternal), or its device failed
  // (kDevice). Empty: nothing.
  std::string fault;
  ErrorCode fault_code = ErrorCode::kInternal;
};

// Requests are taken at any time from any thread; one that is submitted gets exactly one output
// that ends it, also when it is refused, when the engine breaks and when the service goes.
// Callbacks run on the engine's thread: they must be short, and may submit and cancel. One that
// throws is not called again, and its request is cancelled.
class Service {
 public:
  // As Engine's constructor, and throws what that throws; the model must not be used by others
  // until the service is gone.
  Service(Model& model, std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> eos_ids,
          const EngineOptions& options = {});
  // Cancels what is left, and returns when all of it has been told.
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Returns the request's number (Output::request) at once. What Engine::add would throw becomes
  // its output: kError with the code.
  int64_t submit(Request request);
  // Takes effect with the next step. Unknown and finished numbers are ignored.
  void cancel(int64_t request);
  // Returns when no request is left. Not from a callback.
  void wait();
  // Submitted and not ended.
  size_t n_requests() const;
  ServiceStatus status() const;

 private:
  struct Command {
    int64_t request;
    bool cancels;  // or submits
    Request what;
  };
  using OnOutput = std::function<void(const Output&)>;
  struct Live {
    int64_t engine_number = 0;  // 0: not added yet
    OnOutput on_output;
  };

  void run(Device& device);
  void add(int64_t request, Request what);
  void tell(int64_t request, Output output);
  // Calls back; false when the callback threw.
  static bool call(int64_t request, const std::function<void()>& callback);
  void note_fault(const Error& fault);
  void fail_all();

  Engine engine_;                           // the thread's
  std::unordered_map<int64_t, Live> live_;  // likewise
  std::optional<Error> broken_;             // likewise: why the engine is not to be used any more

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Command> commands_;
  int64_t next_ = 1;
  size_t n_open_ = 0;
  bool stopping_ = false;
  ServiceStatus status_;  // but for n_requests and step_seconds
  std::optional<std::chrono::steady_clock::time_point> step_began_;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace tq
