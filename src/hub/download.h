// Download: fetches files of a hub into the blobs of its cache, in parallel ranges, each going on
// where an earlier run ended. A blob gets its name when all of it is there and has the right hash.
// One thread drives it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hub/environment.h"
#include "hub/hub_client.h"
#include "hub/hub_name.h"
#include "hub/listing.h"

namespace tq {

struct DownloadItem {
  HubFile file;
  std::string url;
  fs::path blob;
  fs::path lock;  // of the blob (file_lock.h)
};

struct DownloadOptions {
  int connections = 8;                                        // at once, at least 1
  std::function<bool()> cancelled;                            // may be empty
  std::function<void(int64_t done, int64_t total)> progress;  // bytes of all items; may be empty
};

// Bytes that came over the network. Throws kCancelled, kCorrupt for a file that does not have its
// hash twice, kNoSpace, kIo where the network or the server fails again and again, and what
// fail_answer() throws; whatever it throws, what came so far is kept for the next time.
int64_t download(HubClient& client, const std::vector<DownloadItem>& items,
                 const DownloadOptions& options, const HubEnvironment& environment,
                 const HubName& name);

}  // namespace tq
