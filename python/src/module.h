// What the parts of the Python module share. Python's lock is held where a binding begins; whatever
// takes time gives it up.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/json.h"

namespace tq::python {

namespace nb = nanobind;

// Those of each part.
void bind_llm(nb::module_& module);
void bind_files(nb::module_& module);
void bind_codecs(nb::module_& module);
void bind_logits(nb::module_& module);
void bind_server(nb::module_& module);

// A Python function for threads that do not hold the lock, or None.
class PyFunction {
 public:
  explicit PyFunction(nb::object function)
      : function_(function.is_none() ? nullptr : new nb::object(std::move(function)), release) {}

  explicit operator bool() const { return function_ != nullptr; }
  // With the lock. Throws nb::python_error.
  template <typename... Args>
  nb::object operator()(Args&&... args) const {
    return (*function_)(std::forward<Args>(args)...);
  }

 private:
  static void release(nb::object* function) {
    if (!Py_IsInitialized()) return;  // the program is ending, and Python has gone
    const nb::gil_scoped_acquire lock;
    delete function;
  }

  std::shared_ptr<nb::object> function_;
};

// How far an operation is, told to a Python function, or to none. What the function raises, and
// Ctrl-C where it is Python's main thread that asks, ends the operation.
class Watch {
 public:
  explicit Watch(nb::object function) : told_(std::move(function)) {}

  // On any thread, without the lock. Not every call is told: Python takes its time.
  void tell(int64_t done, int64_t total);
  bool stops() const { return stops_; }
  // For an operation that calls this on its own thread only: throws what ends it.
  void tell_or_throw(int64_t done, int64_t total);

  // Runs the operation without the lock. What a call of tell() raised takes the place of the error
  // with which the operation ended because of that.
  template <typename Run>
  void run(const Run& operation) {
    try {
      const nb::gil_scoped_release unlock;
      operation();
    } catch (...) {
      if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
      throw;
    }
    if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
  }

 private:
  PyFunction told_;
  std::atomic<bool> stops_ = false;
  std::exception_ptr raised_;  // with Python's lock
  std::chrono::steady_clock::time_point last_;
};

// A JSON text that this package has made.
Json parse(const std::string& text);

}  // namespace tq::python
