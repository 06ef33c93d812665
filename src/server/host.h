// Host: a model that was loaded to answer many, and what stands on it: what an Api serves, for
// `tq serve` and for programs that have the engine inside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "server/api.h"
#include "session/open.h"
#include "session/options.h"

namespace tq {

struct HostOptions {
  HostOptions() { model.ctx = kLongestContext; }

  ModelOptions model;
  std::string chat_template;  // a name, a file or the text itself; empty: the model's own
  int64_t max_sequences = 8;
  int64_t host_cache_bytes = 0;
};

template <typename Visit>
void visit_template_option(HostOptions& options, Visit&& visit) {
  visit(OptionText{"chat-template",
                   "A named template of the model, or a Jinja file, instead of the model's own"},
        options.chat_template, AnyValue{});
}
// What sequences share.
template <typename Visit>
void visit_sharing_options(HostOptions& options, Visit&& visit) {
  visit(OptionText{"max-num-seqs",
                   "Answers that are computed at a time; they share the memory for contexts"},
        options.max_sequences, Range{1, 1024});
  visit(OptionText{"host-cache",
                   "Host memory, such as 4GiB, for keys and values that the GPU has no room for "
                   "any more, in case they are asked for again; 0: none"},
        options.host_cache_bytes, ByteSize{});
}
template <typename Visit>
void visit_options(HostOptions& options, Visit&& visit) {
  visit_options(options.model, visit);
  visit_template_option(options, visit);
  visit_sharing_options(options, visit);
}

struct Host {
  LoadedModel loaded;
  std::unique_ptr<ChatTemplate> chat_template;
  std::unique_ptr<ChatTemplate> tool_template;
  std::unique_ptr<Service> service;  // the last: it uses the model

  // Refers to this.
  ServedModel served() const;
};

// Loads the model by `open` (open_model() with some way to show progress). Throws what that throws,
// and kInvalidArgument for a model without a tokenizer and for options that do not fit.
using OpenModel = std::function<LoadedModel(const ModelNeeds& needs)>;
std::unique_ptr<Host> load_host(const HostOptions& options, const OpenModel& open);

}  // namespace tq
