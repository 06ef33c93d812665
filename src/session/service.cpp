#include "session/service.h"

#include <exception>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace tq {

Service::Service(Model& model, std::shared_ptr<const Tokenizer> tokenizer,
                 std::vector<int32_t> eos_ids, const EngineOptions& options)
    : engine_(model, std::move(tokenizer), std::move(eos_ids), options),
      thread_([this, &model] { run(model.backend()); }) {}

Service::~Service() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

int64_t Service::submit(Request request) {
  const std::lock_guard lock(mutex_);
  const int64_t number = next_++;
  ++n_open_;
  commands_.push_back({number, false, std::move(request)});
  changed_.notify_all();
  return number;
}

void Service::cancel(int64_t request) {
  const std::lock_guard lock(mutex_);
  commands_.push_back({request, true, {}});
  changed_.notify_all();
}

void Service::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return n_open_ == 0; });
}

size_t Service::n_requests() const {
  const std::lock_guard lock(mutex_);
  return n_open_;
}

ServiceStatus Service::status() const {
  const std::lock_guard lock(mutex_);
  ServiceStatus status = status_;
  status.n_requests = n_open_;
  if (step_began_) {
    status.step_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - *step_began_).count();
  }
  return status;
}

void Service::run(Device& device) {
  try {
    device.attach_thread();
  } catch (const std::exception& error) {
    broken_.emplace(ErrorCode::kDevice, error.what());
    note_fault(*broken_);
  }
  bool busy = false;
  while (true) {
    std::vector<Command> commands;
    bool stopping = false;
    {
      std::unique_lock lock(mutex_);
      status_.engine = engine_.status();
      step_began_.reset();
      changed_.wait(lock, [&] { return busy || stopping_ || !commands_.empty(); });
      commands.swap(commands_);
      stopping = stopping_;
      if (stopping && commands.empty() && n_open_ == 0) return;
      step_began_ = std::chrono::steady_clock::now();
    }
    for (Command& command : commands) {
      if (!command.cancels) {
        add(command.request, std::move(command.what));
      } else if (const auto found = live_.find(command.request); found != live_.end()) {
        engine_.cancel(found->second.engine_number);
      }
    }
    if (stopping) {
      for (const auto& [request, live] : live_) engine_.cancel(live.engine_number);
    }
    try {
      busy = !broken_ && engine_.step();
    } catch (const std::exception& error) {  // a bug: requests that fail do not come here
      broken_.emplace(ErrorCode::kInternal, error.what());
      busy = false;
      note_fault(*broken_);
    }
    if (broken_) fail_all();
  }
}

void Service::add(int64_t request, Request what) {
  live_[request].on_output = std::move(what.on_output);
  what.on_output = [this, request](const Output& output) { tell(request, output); };
  if (what.on_prefill) {
    what.on_prefill = [this, request, tell = std::move(what.on_prefill)](int64_t done,
                                                                         int64_t total) {
      if (!call(request, [&] { tell(done, total); })) engine_.cancel(live_[request].engine_number);
    };
  }
  if (broken_) return;  // fail_all() tells it
  try {
    live_[request].engine_number = engine_.add(std::move(what));
  } catch (const Error& error) {
    tell(request,
         {.finish = FinishReason::kError, .error = error.what(), .error_code = error.code()});
  } catch (const std::exception& error) {  // no memory for it
    tell(request, {.finish = FinishReason::kError, .error = error.what()});
  }
}

void Service::tell(int64_t request, Output output) {
  const auto found = live_.find(request);
  if (found == live_.end()) return;
  output.request = request;
  Live& live = found->second;
  const bool ends = output.finish != FinishReason::kNone;
  if (output.finish == FinishReason::kError && output.error_code == ErrorCode::kDevice) {
    note_fault({ErrorCode::kDevice, output.error});
  }
  if (ends) {  // whoever is told so sees what that left
    const std::lock_guard lock(mutex_);
    status_.engine = engine_.status();
  }
  const OnOutput on_output = ends ? std::move(live.on_output) : live.on_output;
  if (on_output && !call(request, [&] { on_output(output); })) {
    live.on_output = nullptr;
    if (!ends) engine_.cancel(live.engine_number);
  }
  if (!ends) return;
  live_.erase(found);
  const std::lock_guard lock(mutex_);
  --n_open_;
  changed_.notify_all();
}

bool Service::call(int64_t request, const std::function<void()>& callback) {
  try {
    callback();
    return true;
  } catch (const std::exception& error) {
    warn("request {} is cancelled, as what takes its output failed: {}", request, error.what());
    return false;
  }
}

void Service::note_fault(const Error& fault) {
  const std::lock_guard lock(mutex_);
  status_.fault = fault.what();
  status_.fault_code = fault.code();
}

void Service::fail_all() {
  while (!live_.empty()) {
    tell(live_.begin()->first,
         {.finish = FinishReason::kError, .error = broken_->what(), .error_code = broken_->code()});
  }
}

}  // namespace tq
