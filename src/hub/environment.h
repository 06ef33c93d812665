// What the environment says about hubs, in the variables of Hugging Face's own tools.
#pragma once

#include <string>

#include "base/file.h"

namespace tq {

struct HubEnvironment {
  std::string endpoint;  // HF_ENDPOINT or https://huggingface.co, without a slash at its end
  fs::path cache;        // HF_HUB_CACHE, or "hub" in HF_HOME (~/.cache/huggingface)
  std::string token;     // HF_TOKEN or the token file's; empty: none, also by
                         // HF_HUB_DISABLE_IMPLICIT_TOKEN
  bool offline = false;  // HF_HUB_OFFLINE
};

// Where models are kept, as above; nothing else is read.
fs::path hub_cache_folder();
bool hub_is_offline();

// Throws kInvalidArgument for an endpoint that is no address and a token that no header can hold,
// kIo for a token file that is there and cannot be read. Messages never show the token.
HubEnvironment read_hub_environment();

}  // namespace tq
