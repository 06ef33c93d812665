#include "server/host.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "session/prompt.h"

namespace tq {

ServedModel Host::served() const {
  const ChatTemplate* tools = tool_template ? tool_template.get() : chat_template.get();
  const int32_t n_tokens = loaded.tokenizer->vocab_size();
  return {.service = service.get(),
          .tokenizer = loaded.tokenizer,
          .chat_template = chat_template.get(),
          .tool_template = tools,
          .sampling = loaded.sampling,
          .context = loaded.memory.context,
          .n_sequences = loaded.memory.sequences,
          .n_tokens = static_cast<int32_t>(std::min<int64_t>(n_tokens, loaded.model->spec().vocab)),
          .grammars = std::make_shared<Grammars>(loaded.tokenizer, loaded.not_text)};
}

std::unique_ptr<Host> load_host(const HostOptions& options, const OpenModel& open) {
  auto host = std::make_unique<Host>();
  host->loaded = open({.max_sequences = options.max_sequences, .text = true, .shared_pages = true});
  if (!host->loaded.tokenizer) {
    fail(ErrorCode::kInvalidArgument, "{} has no tokenizer.json: a server needs it",
         options.model.path);
  }
  host->chat_template = open_chat_template(*host->loaded.checkpoint, options.chat_template, false);
  if (!host->chat_template) {
    info("{} has no chat template: only /v1/completions answers (--chat-template FILE gives one)",
         options.model.path);
  } else if (options.chat_template.empty()) {
    host->tool_template = open_chat_template(*host->loaded.checkpoint, "", true);
  }
  if (options.host_cache_bytes > 0 && host->loaded.backend->on_host()) {
    fail(ErrorCode::kInvalidArgument,
         "--host-cache is for models on a GPU: on the CPU all pages are in host memory, and a "
         "longer --ctx or larger --max-num-seqs has more of them");
  }
  host->service =
      std::make_unique<Service>(*host->loaded.model, host->loaded.tokenizer, host->loaded.eos_ids,
                                EngineOptions{.kv_format = options.model.kv(),
                                              .n_pages = host->loaded.memory.n_pages,
                                              .suppressed_ids = host->loaded.not_text,
                                              .host_cache_bytes = options.host_cache_bytes});
  return host;
}

}  // namespace tq
