// Models by their names on the hub, wherever a command takes MODEL.
#pragma once

#include <string>

#include "cli/command.h"
#include "hub/hub_name.h"

namespace tq {

// From now on a model that is no file or folder and has the form of a name on the hub is looked for
// in the cache, and pulled where it is not there. `global` is used when that happens.
void find_models_by_name(const GlobalOptions& global);

// While it lives, a connection that its other end closes (SIGPIPE, which OpenSSL may raise below an
// older libcurl) and a limit of file sizes (SIGXFSZ, ulimit -f) are errors of what is called, not
// the end of the process.
class NetworkSignals {
 public:
  NetworkSignals();
  ~NetworkSignals();
  NetworkSignals(const NetworkSignals&) = delete;
  NetworkSignals& operator=(const NetworkSignals&) = delete;

 private:
  void (*pipe_)(int);
  void (*file_size_)(int);
};

// A repository's name with what stands behind it. Throws kInvalidArgument, and says what a name is.
HubName read_hub_name(const std::string& text);

}  // namespace tq
