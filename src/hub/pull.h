// pull: brings a model of a hub into the cache, or finds it there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hub/environment.h"
#include "hub/hub_name.h"

namespace tq {

struct PullOptions {
  std::vector<std::string> include;  // globs; empty: what running the model takes (file_choice.h)
  int connections = 8;
  std::function<bool()> cancelled;                            // may be empty
  std::function<void(int64_t done, int64_t total)> progress;  // bytes; may be empty
};

struct PullReport {
  fs::path snapshot;  // the folder that holds the files
  fs::path model;     // what to open: the folder, or the GGUF file; empty where --include left none
  std::string commit;
  std::vector<std::string> files;
  int64_t bytes = 0;    // of all these files
  int64_t fetched = 0;  // that came over the network now
};

// Asks the hub what the name means now and fetches what is not there; offline, finds what is there.
// All of a model is there before its files are seen in the cache. Throws kNotFound (also
// offline, of what is not there), kUnsupported (a licence to accept), kInvalidArgument (a token
// that the hub refuses, a branch in the way), kNoSpace before anything is fetched, kCorrupt, kIo,
// kCancelled.
PullReport pull(const HubEnvironment& environment, const HubName& name, const PullOptions& options);

// A model by name: from the cache if it is there, which does not use the network, else pulled.
// Throws as above.
fs::path find_or_pull(const HubName& name, const PullOptions& options);

}  // namespace tq
